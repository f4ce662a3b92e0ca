"""The supervised loss of a batch: every term, and their weighted sum."""

from __future__ import annotations

import torch
from torch import Tensor

from offline_training.data.mixtures import Batch
from offline_training.models.registry import Separator
from offline_training.models.separator import Spectra
from offline_training.models.streaming_state import Memory
from offline_training.training import losses
from offline_training.training.config import TrainConfig


def loss_terms(
    model: Separator, batch: Batch, config: TrainConfig, step: int, autocast: torch.dtype | None
) -> dict[str, Tensor]:
    """Mean of every loss term over its rows, and their weighted sum as ``loss``. Spectra and losses in fp32,
    the U-Net as asked.
    """
    usable = whole_hops(model, batch)
    with torch.no_grad():
        spectra = model.spectra(batch["mixtures"][:, None, :usable], Memory()).repeat(batch["mixture_of"])
    with torch.autocast(
        batch["targets"].device.type, dtype=autocast or torch.bfloat16, enabled=autocast is not None
    ):
        logits = model.logits(spectra, batch["queries"], Memory(), batch["others"])
    return mask_losses(model, spectra, logits.float(), batch, config, step)


def whole_hops(model: Separator, batch: Batch) -> int:
    """Samples of a batch that the separator's frames cover."""
    hop = model.config.spectral.hop
    return batch["targets"].shape[1] // hop * hop


def mask_losses(
    model: Separator, spectra: Spectra, logits: Tensor, batch: Batch, config: TrainConfig, step: int
) -> dict[str, Tensor]:
    """``loss_terms`` of masks' logits [Q, T, bands] for the batch's mixtures as ``spectra``, a row for every
    query.
    """
    rows, absent, targets = batch["mixture_of"], batch["absent"], batch["targets"]
    with torch.no_grad():
        target_power = model.spectra(targets[:, None, : whole_hops(model, batch)], Memory()).band_power
    mask = torch.sigmoid(logits)
    estimate = model.apply_mask(spectra, mask, Memory())[:, 0, model.latency :]
    reference = targets[:, : estimate.shape[1]]
    mixture = batch["mixtures"][rows, : estimate.shape[1]]
    present = (~absent).float()
    share = 1.0 / len(rows)
    terms = {
        "snr": (losses.negative_snr(estimate, reference) * present).sum() * share,
        "magnitude": (losses.compressed_magnitude_l1(mask, spectra.band_power, target_power)).sum() * share,
        "absent": (losses.leakage(estimate, mixture) * (1 - present)).sum() * share,
    }
    total = (
        config.snr_weight * terms["snr"]
        + config.magnitude_weight * terms["magnitude"]
        + config.absent_weight * terms["absent"]
    )
    if step < config.bce_steps:
        terms["bce"] = losses.weighted_bce(logits, spectra.band_power, target_power).mean()
        total = total + config.bce_weight * (1 - step / config.bce_steps) * terms["bce"]
    terms["loss"] = total
    return terms
