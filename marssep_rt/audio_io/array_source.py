"""Samples in memory, read like a file."""

from __future__ import annotations

import numpy as np

from marssep_rt.arrays import Array
from marssep_rt.audio_io.metadata import Metadata
from marssep_rt.audio_io.source import AudioSource


class ArraySource(AudioSource):
    """An array as a sound.

    Args:
        samples: float32 [C, n].
        sample_rate: In Hz.
    """

    def __init__(self, samples: Array, sample_rate: int) -> None:
        self.samples, self.samplerate, self.position = samples, sample_rate, 0
        self.channels, self.frames = samples.shape
        self.seconds = self.frames / sample_rate
        self.subtype, self.metadata, self.notes = "FLOAT", Metadata(), []

    def read(self, frames: int) -> Array:
        """See ``AudioSource.read``."""
        block = self.samples[:, self.position : self.position + frames]
        self.position += block.shape[1]
        return np.array(block.T, np.float32)  # a copy: who reads may write into it

    def close(self) -> None:
        """Nothing is open."""
