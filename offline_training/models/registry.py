"""Separators by what checkpoints and recipes say of them: building, describing, loading."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from offline_training.models.omnisep import PaperConfig, PaperSeparator, PaperSpectral
from offline_training.models.separator import MaskSeparator, SeparatorConfig
from offline_training.models.stft import SpectralConfig
from offline_training.models.unet import UNetConfig
from offline_training.utils.checkpoint_io import load, load_weights
from offline_training.utils.recipe import Key, read

Separator = MaskSeparator | PaperSeparator


@dataclass(frozen=True)
class SeparatorRecipe:
    """A separator as recipes and checkpoints describe it; what is not set has the network's default."""

    network: Annotated[Literal["streaming", "paper"], Key("The streaming network, or the paper's own.")] = (
        "streaming"
    )
    spectral: Annotated[dict[str, Any], Key("The keys of [separator.spectral] below.")] = field(
        default_factory=dict
    )
    unet: Annotated[dict[str, Any], Key("The keys of [separator.unet] below.")] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.config()

    def config(self) -> SeparatorConfig | PaperConfig:
        """The settings of the network; raises RecipeError for those that it does not have."""
        if self.network == "paper":
            spectral = read(PaperSpectral, self.spectral, "separator.spectral")
            return replace(read(PaperConfig, self.unet, "separator.unet"), spectral=spectral)
        return SeparatorConfig(
            read(SpectralConfig, self.spectral, "separator.spectral"),
            read(UNetConfig, self.unet, "separator.unet"),
        )


def build(data: Mapping[str, Any]) -> Separator:
    """An untrained separator from plain data as it stands in recipes and checkpoints (``SeparatorRecipe``).

    Raises:
        RecipeError: A setting is unknown or has a value that it cannot have.
    """
    config = read(SeparatorRecipe, data, "separator").config()
    return PaperSeparator(config) if isinstance(config, PaperConfig) else MaskSeparator(config)


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
