"""Separators by what checkpoints and recipes say of them: building, describing, loading."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from offline_training.models.omnisep import PaperConfig, PaperSeparator, PaperSpectral
from offline_training.models.separator import MaskSeparator, SeparatorConfig
from offline_training.models.stft import SpectralConfig
from offline_training.models.unet import UNetConfig
from offline_training.utils.checkpoint_io import load, load_weights, with_tuples

Separator = MaskSeparator | PaperSeparator


def build(data: Mapping[str, Any]) -> Separator:
    """An untrained separator from plain data as it stands in recipes and checkpoints: ``network`` streaming
    (default) or paper, its ``spectral`` and ``unet`` settings; raises TypeError for unknown settings,
    ValueError for an unknown network.
    """
    unet, spectral, network = (
        with_tuples(data.get("unet", {})),
        dict(data.get("spectral", {})),
        data.get("network", "streaming"),
    )
    if network == "paper":
        return PaperSeparator(PaperConfig(PaperSpectral(**spectral), **unet))
    if network != "streaming":
        raise ValueError(f"network is {network!r}; choose streaming or paper")
    return MaskSeparator(SeparatorConfig(SpectralConfig(**spectral), UNetConfig(**unet)))


def describe(model: Separator) -> dict[str, Any]:
    """The model's configuration as plain data."""
    plain = asdict(model.config)
    spectral = plain.pop("spectral")
    network = "paper" if isinstance(model, PaperSeparator) else "streaming"
    unet = plain if network == "paper" else plain["unet"]
    return {
        "network": network,
        "spectral": spectral,
        "unet": {k: list(v) if isinstance(v, tuple) else v for k, v in unet.items()},
    }


def load_separator(path: Path) -> tuple[Separator, dict[str, Any]]:
    """The averaged model of a checkpoint, in eval mode, and the checkpoint's other content."""
    content = load(path)
    model = build(content["separator"])
    load_weights(model, content["weights"])
    return model.eval(), content
