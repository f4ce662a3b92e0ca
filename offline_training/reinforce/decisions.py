"""The Gaussian policy over decisions: how sharp and how open a mask is; pure functions on tensors.

A decision is a pair: the logarithm of a factor on logits, and their shift (``models/openness.py``). The head
decides for every frame; the policy acts for blocks of frames. The mean of a block's decisions is the centre
of a Gaussian with a fixed deviation, and what is drawn moves every decision of the block alike. A draw at the
centre therefore is the deployed mask itself. All functions work decision by decision; what reduces over
decisions stands in ``surrogate``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from offline_training.models.openness import opened

Deviations = tuple[float, float]  # of sharpness and shift


def block_means(values: Tensor, frames: int) -> Tensor:
    """Means over blocks of frames; the last block may be shorter.

    Args:
        values: [..., T, N].
        frames: Of a block.

    Returns:
        [..., blocks, N].
    """
    return torch.stack([part.mean(-2) for part in values.split(frames, dim=-2)], dim=-2)


def of_frames(values: Tensor, frames: int, total: int) -> Tensor:
    """The value of its block for every frame, [..., blocks, N] -> [..., total, N]."""
    return values.repeat_interleave(frames, dim=-2)[..., :total, :]


def weights(audible: Tensor, frames: int) -> Tensor:
    """How much every decision counts: the share of a full block in whose frames any bin is audible.

    Args:
        audible: 1 where a bin is audible, else 0, [..., T, bands].
        frames: Of a block.

    Returns:
        [..., blocks, 2], 0..1.
    """
    heard = audible.amax(-1, keepdim=True).split(frames, dim=-2)
    return torch.stack([part.sum(-2) / frames for part in heard], dim=-2).expand(*audible.shape[:-2], -1, 2)


def scale(values: Tensor, deviations: Deviations) -> Tensor:
    """The deviations as a tensor where ``values`` are."""
    return torch.tensor(deviations, dtype=torch.float32, device=values.device)


@torch.no_grad()
def sample(centre: Tensor, deviations: Deviations) -> Tensor:
    """Decisions drawn around ``centre`` [..., blocks, 2] by torch's global generator; no gradient flows
    through them.
    """
    return centre + scale(centre, deviations) * torch.randn(centre.shape, device=centre.device)


def log_prob(decisions: Tensor, centre: Tensor, deviations: Deviations) -> Tensor:
    """Log-density of each decision under its Gaussian."""
    sigma = scale(centre, deviations)
    return -0.5 * ((decisions - centre) / sigma).square() - sigma.log() - 0.5 * math.log(2 * math.pi)


def entropy(centre: Tensor, deviations: Deviations) -> Tensor:
    """Differential entropy of each decision in nats; the deviation is fixed, so it is, too."""
    return (scale(centre, deviations).log() + 0.5 * math.log(2 * math.pi * math.e)).expand(centre.shape)


def kl(centre: Tensor, reference: Tensor, deviations: Deviations) -> Tensor:
    """KL of the Gaussians around ``centre`` and ``reference`` for each decision in nats."""
    return 0.5 * ((centre - reference) / scale(centre, deviations)).square()


def acted(raw: Tensor, decided: Tensor, offset: Tensor, frames: int) -> Tensor:
    """Logits of the mask that decisions give.

    Args:
        raw: Logits before any decision, [Q, T, bands].
        decided: The head's decisions for every frame, [Q, T, 2].
        offset: Decisions less the centre they were drawn around, [Q, blocks, 2].
        frames: Of a block.

    Returns:
        [Q, T, bands]; for an offset of zero the deployed mask's.
    """
    return opened(raw, decided + of_frames(offset, frames, raw.shape[-2]))
