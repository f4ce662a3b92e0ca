"""How well vectors find their labels, and how far a target is from its mixture (MARS-Sep's table 10)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def retrieval(vectors: Tensor, targets: Sequence[int], labels: Tensor) -> tuple[float, float]:
    """Top-1 and top-5 of vectors [N, D] among label vectors [L, D], as fractions."""
    best = (vectors @ labels.T).topk(min(5, len(labels)), dim=1).indices
    wanted = torch.tensor(list(targets))[:, None]
    return (best[:, :1] == wanted).any(1).float().mean().item(), (best == wanted).any(1).float().mean().item()


def discriminability(labels: Tensor, targets: Tensor, mixtures: Tensor) -> Tensor:
    """cos(label, target) - cos(label, mixture) of every pair, [N]; unit rows [N, D]."""
    return (labels * (targets - mixtures)).sum(-1)
