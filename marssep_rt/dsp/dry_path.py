"""The input as it was, until the target of its samples is there."""

from __future__ import annotations

from collections import deque

import numpy as np

from marssep_rt.arrays import Array


class DryPath:
    """The input's samples at its own rate, which wait for their target."""

    def __init__(self, channels: int) -> None:
        self.blocks: deque[Array] = deque()
        self.length = 0
        self.nothing: Array = np.zeros((channels, 0), np.float32)

    def put(self, x: Array) -> None:
        """Append [C, n]."""
        self.blocks.append(x)
        self.length += x.shape[1]

    def take(self, n: int) -> Array:
        """The next n samples, [C, n]."""
        taken = [self.nothing]
        self.length -= n
        while n:
            block = self.blocks.popleft()
            if block.shape[1] > n:
                self.blocks.appendleft(block[:, n:])
                block = block[:, :n]
            taken.append(block)
            n -= block.shape[1]
        return np.concatenate(taken, axis=1)
