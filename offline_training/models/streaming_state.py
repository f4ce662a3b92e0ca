"""Explicit streaming state: what each causal layer must remember of the past, as named tensors.

One code path serves training and streaming: a layer asks the memory for its past frames, and gets zeros at
the start of a stream. Running a whole recording at once is the same as starting from nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


class Memory:
    """The past (read) and the future (written) of every stateful layer; a layer's name is its key in both."""

    def __init__(self, past: Mapping[str, Tensor] | None = None) -> None:
        self.past = past
        self.future: dict[str, Tensor] = {}

    def extend(self, name: str, x: Tensor, frames: int, dim: int) -> Tensor:
        """``x`` with ``frames`` frames of its own past put before it along ``dim``; keeps the last ``frames``
        for the next call.
        """
        if self.past is None:
            shape = list(x.shape)
            shape[dim] = frames
            past = x.new_zeros(shape)
        else:
            past = self.past[name].to(x.dtype)
        joined = torch.cat([past, x], dim=dim)
        self.future[name] = joined[
            (slice(None),) * dim + (slice(-frames, None),)
        ]  # counted from the end: n may be dynamic
        return joined
