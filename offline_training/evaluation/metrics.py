"""Signal-to-distortion ratios in dB; pure functions over the last dimension."""

from __future__ import annotations

import torch
from torch import Tensor

EPSILON = 1e-9


def si_sdr(estimate: Tensor, target: Tensor) -> Tensor:
    """Scale-invariant SDR (Le Roux et al. 2019), zero-mean, [..., samples] -> [...] dB."""
    estimate = estimate - estimate.mean(-1, keepdim=True)
    target = target - target.mean(-1, keepdim=True)
    scale = (estimate * target).sum(-1, keepdim=True) / (target.square().sum(-1, keepdim=True) + EPSILON)
    projected = scale * target
    return ratio_db(projected.square().sum(-1), (estimate - projected).square().sum(-1))


def sdr(estimate: Tensor, target: Tensor) -> Tensor:
    """Plain SDR (the SNR of the estimate), [..., samples] -> [...] dB."""
    return ratio_db(target.square().sum(-1), (estimate - target).square().sum(-1))


def ratio_db(power: Tensor, reference: Tensor) -> Tensor:
    """10 log10(power / reference), finite for silence."""
    return 10 * torch.log10((power + EPSILON) / (reference + EPSILON))
