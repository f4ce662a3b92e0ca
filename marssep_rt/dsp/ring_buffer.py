"""A bounded single-producer single-consumer ring of samples, without locks.

Only the writer moves ``written`` and only the reader moves ``read_``; both are plain integers, whose
assignment is atomic in CPython, and each side publishes its move after its copy.
"""

from __future__ import annotations

import numpy as np

from marssep_rt.arrays import Array


class RingBuffer:
    """``capacity`` samples of ``channels`` channels, [C, n] in and out."""

    def __init__(self, channels: int, capacity: int) -> None:
        self.data: Array = np.zeros((channels, capacity), np.float32)
        self.capacity = capacity
        self.written = 0
        self.read_ = 0

    def available(self) -> int:
        return self.written - self.read_

    def space(self) -> int:
        return self.capacity - self.available()

    def write(self, x: Array) -> None:
        """Append [C, n]; the caller has checked ``space()``."""
        n = x.shape[1]
        at = self.written % self.capacity
        first = min(n, self.capacity - at)
        self.data[:, at : at + first] = x[:, :first]
        if first < n:
            self.data[:, : n - first] = x[:, first:]
        self.written += n

    def write_zeros(self, n: int) -> None:
        """Append n samples of silence; the caller has checked ``space()``."""
        at = self.written % self.capacity
        first = min(n, self.capacity - at)
        self.data[:, at : at + first] = 0.0
        self.data[:, : n - first] = 0.0
        self.written += n

    def read(self, out: Array) -> None:
        """Fill [C, n]; the caller has checked ``available()``."""
        n = out.shape[1]
        at = self.read_ % self.capacity
        first = min(n, self.capacity - at)
        out[:, :first] = self.data[:, at : at + first]
        if first < n:
            out[:, first:] = self.data[:, : n - first]
        self.read_ += n

    def skip(self, n: int) -> None:
        """Drop the next n samples; the caller has checked ``available()``."""
        self.read_ += n
