"""Supervised training of the base policy: mix-and-separate, -SNR and mask losses, averaged weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from offline_training.data.corpus import Corpus
from offline_training.data.mixtures import Batch
from offline_training.data.query_table import QueryTable
from offline_training.training.config import SuperviseRecipe
from offline_training.training.objective import loss_terms
from offline_training.training.trainer import Trainer


class Supervision:
    """How a supervised run learns: the loss on the mixtures' targets.

    Args:
        recipe: The settings.
    """

    def __init__(self, recipe: SuperviseRecipe) -> None:
        self.frozen_norms = recipe.train.frozen_norms

    def completed(self, stored: dict[str, Any]) -> dict[str, Any]:
        """A stored recipe as it is: earlier runs said everything."""
        return stored

    def begin(self, trainer: Trainer, start: Path | None, last: Mapping[str, Any] | None) -> None:
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


def supervised_trainer(
    folder: Path,
    corpus: Corpus,
    table: QueryTable,
    recipe: SuperviseRecipe,
    device: str = "cpu",
    start: Path | None = None,
    changed: bool = False,
) -> Trainer:
    """A supervised run; its arguments and errors are those of ``Trainer``."""
    return Trainer(folder, corpus, table, recipe, Supervision(recipe), device, start, changed)
