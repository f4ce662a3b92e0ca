"""Contrastive losses of the alignment stages (MARS-Sep eq. 7 to 9); pure functions on unit vectors."""

from __future__ import annotations

import torch
from torch import Tensor


def info_nce(a: Tensor, b: Tensor, labels: Tensor, scale: Tensor) -> Tensor:
    """Symmetric InfoNCE of the pairs (a_i, b_i), [N, D] each: a scalar in nats.

    Rows of the same label are neither positives nor negatives of each other. ``scale`` is one over the
    temperature.
    """
    logits = a @ b.T * scale
    others = (labels[:, None] == labels[None, :]) & ~torch.eye(
        len(labels), dtype=torch.bool, device=labels.device
    )
    logits = logits.masked_fill(others, -1e9)
    wanted = torch.arange(len(labels), device=labels.device)
    return (
        torch.nn.functional.cross_entropy(logits, wanted)
        + torch.nn.functional.cross_entropy(logits.T, wanted)
    ) / 2


def classes(
    vectors: Tensor, labels: Tensor, anchors: Tensor, scale: Tensor, smoothing: float = 0.05
) -> Tensor:
    """Cross-entropy over all labels' anchors [L, D]: InfoNCE whose negatives are every label there is."""
    return torch.nn.functional.cross_entropy(vectors @ anchors.T * scale, labels, label_smoothing=smoothing)


def triplet(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float) -> Tensor:
    """mean relu(margin + cos(anchor, negative) - cos(anchor, positive)); rows [N, D]."""
    return torch.relu(margin + (anchor * negative).sum(-1) - (anchor * positive).sum(-1)).mean()


def hardest(anchor: Tensor, candidates: Tensor, anchor_labels: Tensor, candidate_labels: Tensor) -> Tensor:
    """For each anchor the nearest candidate of another label, [N, D]; every anchor needs one."""
    with torch.no_grad():
        similarity = anchor @ candidates.T
        similarity = similarity.masked_fill(anchor_labels[:, None] == candidate_labels[None, :], -2.0)
    return candidates[similarity.argmax(1)]


def consistency(a: Tensor, b: Tensor) -> Tensor:
    """1 - mean cosine of two views of the same thing; rows [N, D]."""
    return 1 - (a * b).sum(-1).mean()
