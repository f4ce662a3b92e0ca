"""Settings of an alignment and of its stages, as recipes give them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from offline_training.utils import checkpoint_io

TERMS = (
    "audio_labels",
    "image_labels",
    "audio_text",
    "audio_audio",
    "audio_triplet",
    "mixture_triplet",
    "consistency",
    "audio_image",
    "image_triplet",
    "image_text",
    "keep",
    "near",
)


@dataclass(frozen=True)
class StageConfig:
    """``trains``: name prefixes of the parameters that move; ``weights``: of the loss terms; ``select``:
    figures whose sum on val decides which towers are handed on (none: the last); ``ema``: decay of the
    averaged weights that are handed on then, 0 for none.
    """

    number: int
    steps: int
    batch: int = 64
    lr: float = 1e-3
    weight_decay: float = 0.05
    warmup: int = 100
    trains: tuple[str, ...] = ("audio.head", "image.head", "log_scale")
    weights: dict[str, float] = field(default_factory=dict)
    select: tuple[str, ...] = ("audio_top1",)
    validate_every: int = 250
    ema: float = 0.0

    def __post_init__(self) -> None:
        unknown = set(self.weights) - set(TERMS)
        if unknown:
            raise ValueError(
                f"stage {self.number} weighs unknown losses: {', '.join(sorted(unknown))}; "
                f"known are {', '.join(TERMS)}"
            )


@dataclass(frozen=True)
class AlignmentConfig:
    """``margin`` on cosine distance; ``mixture_margin`` of the clean sound over its mixture; ``temperature``
    to start from.
    """

    stages: tuple[StageConfig, ...]
    margin: float = 0.2
    mixture_margin: float = 0.15
    temperature: float = 0.07
    thin_label_power: float = 0.5
    seed: int = 1
    bf16: bool = True

    @classmethod
    def of(cls, recipe: dict[str, Any]) -> AlignmentConfig:
        """From a recipe's plain data; raises TypeError or ValueError for unknown settings."""
        plain = dict(recipe)
        stages = tuple(StageConfig(**checkpoint_io.with_tuples(stage)) for stage in plain.pop("stages", []))
        return cls(stages=stages, **plain)
