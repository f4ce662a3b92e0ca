"""Recipes of kind supervise."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, Self

from offline_training.data.eval_mixtures import EvalConfig
from offline_training.data.mixtures import MixtureConfig
from offline_training.models.registry import SeparatorRecipe
from offline_training.utils.recipe import Key, share

QUICK_STEPS = 6


@dataclass(frozen=True)
class TrainConfig:
    """Steps, learning rate and losses of a training; the weights are in the units of ``losses``."""

    steps: Annotated[int, Key("Steps of the run.", least=1)] = 20_000
    warmup_steps: Annotated[int, Key("Steps in which the learning rate rises from zero.", least=0)] = 300
    decay_steps: Annotated[int, Key("Last steps, in which it falls to zero.", least=0)] = 2_000
    lr: Annotated[float, Key("Learning rate between the two.", least=0)] = 1e-3
    weight_decay: Annotated[float, Key("AdamW's, of matrices and kernels.", least=0)] = 0.05
    betas: Annotated[tuple[float, float], share("AdamW's decays of the moments.")] = (0.9, 0.98)
    optimiser: Annotated[
        Literal["adamw", "muon"], Key("What moves matrices and kernels; AdamW moves the rest in any case.")
    ] = "adamw"
    clip: Annotated[float, Key("Largest norm of a gradient.", least=0)] = 1.0
    ema: Annotated[float, share("Decay of the averaged weights, which are measured and kept.")] = 0.999
    snr_weight: Annotated[float, Key("Weight of -SNR.", least=0)] = 1.0
    magnitude_weight: Annotated[float, Key("Weight of compressed magnitudes.", least=0)] = 10.0
    bce_weight: Annotated[float, Key("Weight of the mask loss, which falls to zero.", least=0)] = 2.0
    bce_steps: Annotated[int, Key("Steps until then.", least=0)] = 1_000
    absent_weight: Annotated[float, Key("Weight of leakage where the sound is absent.", least=0)] = 0.3
    validate_every: Annotated[int, Key("Steps between validations.", least=1)] = 500
    log_every: Annotated[int, Key("Steps that an entry of the log is the mean of.", least=1)] = 20
    workers: Annotated[int, Key("Processes that draw batches; 0: none beside the training.", least=0)] = 1
    seed: Annotated[int, Key("Of the weights and of all draws.", least=0)] = 1
    shards: Annotated[int, Key("Draws of [mixtures] queries that make a batch.", least=1)] = 1
    frozen_norms: Annotated[bool, Key("Batch norms keep the statistics that they begin with.")] = False
    patience: Annotated[
        int, Key("Validations without a new best after which the run ends; 0: never.", least=0)
    ] = 0


@dataclass(frozen=True)
class SuperviseRecipe:
    """A recipe of kind supervise. Without [separator] a run has the separator of its start."""

    bf16: Annotated[bool, Key("bfloat16 where the processor or GPU computes in it.")] = True
    separator: SeparatorRecipe | None = None
    train: TrainConfig = field(default_factory=TrainConfig)
    mixtures: MixtureConfig = field(default_factory=MixtureConfig)
    validation: EvalConfig = field(default_factory=EvalConfig)

    def completed(self, stored: dict[str, Any]) -> dict[str, Any]:
        """The stored recipe of a run that goes on with this one: earlier versions said everything."""
        return stored

    def grown(self, separator: dict[str, Any]) -> dict[str, Any]:
        """A network as plain data with the parts that the recipe needs beside those of its start."""
        return separator

    def with_steps(self, steps: int) -> Self:
        """The same for another number of steps; warm-up and decay are shortened where they would not fit."""
        warmup, decay = min(self.train.warmup_steps, steps // 4), min(self.train.decay_steps, steps // 2)
        train = replace(self.train, steps=steps, warmup_steps=warmup, decay_steps=decay)
        return replace(self, train=train)

    def quick(self) -> Self:
        """A run of seconds, to see whether everything runs; its result is good for nothing."""
        train = replace(self.train, validate_every=QUICK_STEPS // 2, log_every=1, workers=0)
        mixtures = replace(
            self.mixtures, seconds=min(1.0, self.mixtures.seconds), queries=min(4, self.mixtures.queries)
        )
        validation = replace(
            self.validation,
            mixtures=8,
            seconds=1.0,
            unseen_mixtures=min(2, self.validation.unseen_mixtures),
            least_training_clips=1,
        )
        made = replace(self, train=train, mixtures=mixtures, validation=validation)
        return made.with_steps(QUICK_STEPS)
