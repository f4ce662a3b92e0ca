"""From the target at the model's rate to the outputs at the file's rate: mixed with the input as it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import soxr

from marssep_rt.arrays import Array
from marssep_rt.audio_io.writer import resampled
from marssep_rt.dsp.dry_path import DryPath


class BlockWriter(Protocol):
    """Takes an output block by block."""

    def write(self, x: Array) -> None:
        """Append float32 [C, n]."""


class OutputStage:
    """Writes a * target + b * input for every output, and exactly as many frames as were read.

    The input is not resampled: with a mix of 0 it comes out as it was, target and residual add up to it, and
    what lies above the model's band passes with the dry path.

    Args:
        model_rate: Sample rate of the model in Hz.
        sample_rate: Sample rate of the file in Hz.
        channels: Of the file.
        mixes: (a, b) for every writer, see ``Controls.coefficients``.
        writers: One writer for each output.
    """

    def __init__(
        self,
        model_rate: int,
        sample_rate: int,
        channels: int,
        mixes: Sequence[tuple[float, float]],
        writers: Sequence[BlockWriter],
    ) -> None:
        other_rate = sample_rate != model_rate
        self.resampler = soxr.ResampleStream(model_rate, sample_rate, channels) if other_rate else None
        self.dry = DryPath(channels)
        self.early: Array = self.dry.nothing  # target whose input has not been read: the resampler rounds up
        self.mixes, self.writers = mixes, writers

    def write(self, target: Array, last: bool) -> None:
        """Write the next [C, n] of the target at the model's rate; the last one ends with the input."""
        if self.resampler is not None:
            target = resampled(self.resampler, target, last)
        target = np.concatenate([self.early, target], axis=1)
        if last:
            missing = max(0, self.dry.length - target.shape[1])
            target = np.pad(target, ((0, 0), (0, missing)))
        n = min(target.shape[1], self.dry.length)
        self.early = target[:, n:]
        dry, target = self.dry.take(n), target[:, :n]
        for (a, b), writer in zip(self.mixes, self.writers, strict=True):
            writer.write(np.float32(a) * target + np.float32(b) * dry)
