"""Settings of an alignment and of its stages, as recipes give them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, Self

from offline_training.alignment.mel_views import ViewConfig
from offline_training.encoders.audio_image import EncoderShape
from offline_training.utils.recipe import Key, share

QUICK_STEPS = 4
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
    """One stage of an alignment."""

    number: Annotated[int, Key("Of the stage; 0 pre-trains, 1 to 3 are the paper's.", least=0, most=9)]
    steps: Annotated[int, Key("Steps of the stage.", least=1)]
    batch: Annotated[int, Key("Items of a batch.", least=2)] = 64
    lr: Annotated[float, Key("Highest learning rate; it falls to zero by a cosine.", least=0)] = 1e-3
    weight_decay: Annotated[float, Key("AdamW's, of matrices and kernels.", least=0)] = 0.05
    warmup: Annotated[int, Key("Steps in which the learning rate rises from zero.", least=0)] = 100
    trains: Annotated[tuple[str, ...], Key("Beginnings of the names of the parameters that move.")] = (
        "audio.head",
        "image.head",
        "log_scale",
    )
    weights: Annotated[dict[str, float], Key(f"Of the losses: {', '.join(TERMS)}.", least=0)] = field(
        default_factory=dict
    )
    select: Annotated[
        tuple[str, ...],
        Key("Figures whose sum on val decides which encoders are handed on; none: the last ones."),
    ] = ("audio_top1",)
    validate_every: Annotated[int, Key("Steps between validations.", least=1)] = 250
    ema: Annotated[float, share("Decay of averaged weights that are handed on then; 0: none.")] = 0.0

    def __post_init__(self) -> None:
        unknown = set(self.weights) - set(TERMS)
        if unknown:
            raise ValueError(
                f"stage {self.number} weighs unknown losses: {', '.join(sorted(unknown))}; "
                f"known are {', '.join(TERMS)}"
            )


@dataclass(frozen=True)
class EncodersConfig:
    """The sizes of new encoders."""

    audio: Annotated[dict[str, Any], Key("", table=EncoderShape)] = field(default_factory=dict)
    image: Annotated[dict[str, Any], Key("", table=EncoderShape)] = field(default_factory=dict)


@dataclass(frozen=True)
class AlignmentConfig:
    """A recipe of kind align or judge."""

    stages: tuple[StageConfig, ...]
    margin: Annotated[float, Key("Of triplets, on cosine distance.", least=0)] = 0.2
    mixture_margin: Annotated[float, Key("Of the clean sound over its mixture.", least=0)] = 0.15
    temperature: Annotated[float, Key("Of the contrasts to begin with.", least=1e-3)] = 0.07
    thin_label_power: Annotated[float, share("Labels are drawn by number of items to this power.")] = 0.5
    seed: Annotated[int, Key("Of the weights and of all draws.", least=0)] = 1
    bf16: Annotated[bool, Key("bfloat16 where the processor computes in it.")] = True
    held_out_labels: Annotated[tuple[str, ...], Key("Labels that never train.", named=True)] = ()
    splits: Annotated[tuple[Literal["train", "val"], ...], Key("What trains; val only in a last lap.")] = (
        "train",
    )
    fresh: Annotated[
        tuple[Literal["audio", "image"], ...], Key("Which of the encoders of --start begin anew.")
    ] = ()
    one_hot: Annotated[bool, Key("Every label is an axis of its own: a plain classifier.")] = False
    fold: Annotated[
        tuple[int, int] | None, Key("Part and number of parts that are left out; see --fold.", least=0)
    ] = None
    vector_views: Annotated[int, Key("Views of an item that a large encoder embeds.", least=1)] = 3
    stored_views: Annotated[
        int,
        Key("Views of a clip that the ear's lower layers hear once; 0: new ones in every step.", least=0),
    ] = 0
    val_pairs: Annotated[int, Key("Mixtures that heads on a large encoder are measured on.", least=1)] = 100
    encoders: Annotated[EncodersConfig, Key("", earlier="towers")] = field(default_factory=EncodersConfig)
    views: ViewConfig = field(default_factory=ViewConfig)

    def with_steps(self, steps: int) -> Self:
        """The same with another number of steps in every stage; warm-ups are shortened where they would not
        fit.
        """
        stages = tuple(replace(s, steps=steps, warmup=min(s.warmup, steps // 4)) for s in self.stages)
        return replace(self, stages=stages)

    def quick(self) -> Self:
        """A run of seconds, to see whether everything runs; its result is good for nothing."""
        stages = tuple(replace(s, batch=min(8, s.batch), validate_every=QUICK_STEPS) for s in self.stages)
        return replace(self, stages=stages, vector_views=1, val_pairs=8).with_steps(QUICK_STEPS)

    def for_heads(self) -> Self:
        """The stages that align heads on a large encoder: no pre-training, and heads are all that moves."""
        stages = tuple(
            replace(s, trains=("audio", "image", "log_scale")) for s in self.stages if s.number != 0
        )
        return replace(self, stages=stages)
