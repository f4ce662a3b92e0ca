"""Supervised training of the base policy: mix-and-separate, -SNR and mask losses, averaged weights."""

from __future__ import annotations

from typing import Any

from offline_training.data.mixtures import Batch
from offline_training.data.training_data import TrainingData
from offline_training.training.config import SuperviseRecipe
from offline_training.training.objective import loss_terms
from offline_training.training.prepared_run import PreparedRun
from offline_training.training.trainer import Trainer


class Supervision:
    """How a supervised run learns: the loss on the mixtures' targets.

    Args:
        recipe: The settings.
    """

    def __init__(self, recipe: SuperviseRecipe) -> None:
        self.frozen_norms = recipe.train.frozen_norms

    def begin(self, trainer: Trainer, prepared: PreparedRun) -> None:
        """Take over a trainer."""
        self.run = trainer

    def content(self) -> dict[str, Any]:
        """Nothing more than the trainer's own."""
        return {}

    def update(self, batch: Batch) -> dict[str, float]:
        """One step of the optimiser; a non-finite gradient is skipped and counted as ``skipped``.

        Raises:
            RunError: The loss is no number.
        """
        run = self.run
        run.model.train(not self.frozen_norms)
        terms = loss_terms(run.model, batch, run.config, run.step, run.autocast)
        norm, finite = run.descend(terms["loss"], batch)
        run.stepped()
        return {**{k: v.item() for k, v in terms.items()}, "norm": norm, "skipped": 0.0 if finite else 1.0}


def supervised_trainer(prepared: PreparedRun, data: TrainingData) -> Trainer:
    """A supervised run; its arguments and errors are those of ``Trainer``."""
    return Trainer(prepared, data, Supervision(prepared.recipe))
