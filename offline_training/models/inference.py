"""Whole mixtures through a separator."""

from __future__ import annotations

import torch
from torch import Tensor

from offline_training.models.registry import Separator
from offline_training.models.separator import Spectra
from offline_training.models.streaming_state import Memory


def separate(
    model: Separator,
    mixture: Tensor,
    query: Tensor,
    autocast: torch.dtype | None,
    other: Tensor | None = None,
) -> Tensor:
    """Mono mixtures [B, samples] and queries [B, D] -> estimates aligned to the mixture, [B, samples -
    latency] or a little less.
    """
    hop = model.config.spectral.hop
    usable = mixture.shape[1] // hop * hop
    memory = Memory()
    spectra: Spectra = model.spectra(mixture[:, None, :usable], memory)
    with torch.autocast(mixture.device.type, dtype=autocast or torch.bfloat16, enabled=autocast is not None):
        logits = model.logits(spectra, query, memory, other)
    return model.apply_mask(spectra, torch.sigmoid(logits.float()), memory)[:, 0, model.latency :]
