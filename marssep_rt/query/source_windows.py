"""Consecutive windows of a whole sound, for the audio encoder."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import soxr

from marssep_rt.arrays import Array
from marssep_rt.audio_io.source import AudioSource


def source_windows(source: AudioSource, rate: int, seconds: float) -> Iterator[Array]:
    """Read a sound to its end.

    Args:
        source: The sound.
        rate: Sample rate of the windows in Hz.
        seconds: Their length.

    Yields:
        Mono windows, float32 [T]; the last one ends with silence, and what is not finite is silence.
    """
    size, chunk = round(seconds * rate), round(seconds * source.samplerate)
    while len(block := source.read(chunk)):
        mono = np.nan_to_num(block, nan=0.0, posinf=0.0, neginf=0.0).mean(axis=1)
        at_rate = mono if source.samplerate == rate else soxr.resample(mono, source.samplerate, rate, "HQ")
        yield np.pad(at_rate[:size], (0, max(0, size - len(at_rate)))).astype(np.float32)
