"""Streaming sample-rate conversion with little delay, for devices that do not support 48 kHz.

The filter is a polyphase windowed sinc with a delay of about 0.7 ms. Files are resampled by soxr, whose
better filters take 20 ms.
"""

from __future__ import annotations

from math import gcd

import numpy as np

from marssep_rt.arrays import Array
from marssep_rt.contract import RESAMPLER


class StreamResampler:
    """[C, n] at ``source`` Hz in, [C, m] at ``target`` Hz out; ``delay`` is the filter's, in seconds.

    Args:
        source: Sample rate of the input in Hz.
        target: Sample rate of the output in Hz.
        channels: Of both.
        half_width: The delay of the filter in samples of the input.
        phase: How much earlier the output comes, in 1/up samples of the input.
    """

    def __init__(
        self,
        source: int,
        target: int,
        channels: int,
        half_width: int = RESAMPLER.half_width,
        phase: int = 0,
    ) -> None:
        if source < 1 or target < 1:
            raise ValueError("sample rates must be positive")
        common = gcd(source, target)
        self.up, self.down = target // common, source // common
        self.taps = 2 * half_width
        self.delay = half_width / source
        cutoff = RESAMPLER.cutoff * min(1.0, target / source)
        # phase p of ``up`` interpolates at the fractional position p / up between two input samples
        position = np.arange(self.taps)[None, :] - (half_width - 1) - np.arange(self.up)[:, None] / self.up
        window = np.kaiser(2 * 4096 + 1, RESAMPLER.kaiser_beta)
        weights = np.interp(position / half_width, np.linspace(-1, 1, len(window)), window)
        kernel = cutoff * np.sinc(cutoff * position) * weights
        self.kernel: Array = (kernel / kernel.sum(axis=1, keepdims=True)).astype(np.float32)
        self.history: Array = np.zeros((channels, self.taps - 1), np.float32)
        # position of the next output, in 1/up input samples, from the first unread input sample
        self.phase = phase

    def process(self, x: Array) -> Array:
        """All outputs that the input so far allows."""
        joined = np.concatenate([self.history, x], axis=1)
        n = x.shape[1]
        count = max(0, -(-(n * self.up - self.phase) // self.down))
        ticks = self.phase + self.down * np.arange(count)
        start, phase = ticks // self.up, ticks % self.up
        windows = np.lib.stride_tricks.sliding_window_view(joined, self.taps, axis=1)[:, start]
        out = np.einsum("cmt,mt->cm", windows, self.kernel[phase])
        self.phase += self.down * count - self.up * n
        self.history = joined[:, n:]
        return np.ascontiguousarray(out, dtype=np.float32)
