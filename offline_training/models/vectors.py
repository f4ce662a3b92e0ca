"""Unit vectors as tensors."""

from __future__ import annotations

from torch import Tensor


def to_unit(x: Tensor) -> Tensor:
    """Rows at length one; a zero row stays zero."""
    return x / x.norm(dim=-1, keepdim=True).clamp(min=1e-6)


def mean_vector(vectors: Tensor) -> Tensor:
    """The normalised mean of unit rows, [1, D]."""
    mean = vectors.float().mean(0, keepdim=True)
    return mean / mean.norm(dim=-1, keepdim=True).clamp(min=1e-6)
