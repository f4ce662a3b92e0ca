"""Supervised losses of the base policy; pure functions on tensors."""

from __future__ import annotations

import torch
from torch import Tensor

from offline_training.models.separator import COMPRESSION


def negative_snr(estimate: Tensor, target: Tensor, ceiling_db: float = 25.0) -> Tensor:
    """-SNR in dB of each row [Q, samples] -> [Q]; bends over softly near ``ceiling_db``, so that easy rows do
    not dominate.
    """
    power = target.square().sum(-1)
    error = (estimate - target).square().sum(-1)
    return 10 * torch.log10((error + 10 ** (-ceiling_db / 10) * power + 1e-8) / (power + 1e-8))


def leakage(estimate: Tensor, mixture: Tensor, floor_db: float = -25.0) -> Tensor:
    """Output level over mixture level in dB for absent targets, [Q, samples] -> [Q], no less than
    ``floor_db`` asked for.
    """
    power = mixture.square().sum(-1)
    return 10 * torch.log10(
        (estimate.square().sum(-1) + 10 ** (floor_db / 10) * power + 1e-8) / (power + 1e-8)
    )


def compressed_magnitude_l1(mask: Tensor, mixture_power: Tensor, target_power: Tensor) -> Tensor:
    """L1 between compressed band magnitudes, relative to the mixture's; masks and powers [Q, T, bands] ->
    [Q].
    """
    exponent = COMPRESSION / 2
    mixture = (mixture_power + 1e-8).pow(exponent)
    target = (target_power + 1e-8).pow(exponent)
    # a mask scales the magnitude; clamped, since the power's slope at zero is infinite
    estimate = mixture * mask.clamp(min=1e-4).pow(COMPRESSION)
    return (estimate - target).abs().sum((1, 2)) / mixture.sum((1, 2))


def weighted_bce(logits: Tensor, mixture_power: Tensor, target_power: Tensor) -> Tensor:
    """The paper's mask loss (its section 2): binary dominance targets, bins weighted by loudness; [Q, T,
    bands] -> [Q].
    """
    dominant = (target_power > 0.25 * mixture_power).to(logits.dtype)  # magnitude above half of the mixture's
    weight = torch.log1p(mixture_power.sqrt()).clamp(1e-3, 10)
    per_bin = torch.nn.functional.binary_cross_entropy_with_logits(logits, dominant, reduction="none")
    return (per_bin * weight).sum((1, 2)) / weight.sum((1, 2))
