"""Tiny trainings of separators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from offline_training.data.corpus import Corpus
from offline_training.data.query_table import QueryTable
from offline_training.data.training_data import TrainingData
from offline_training.reinforce.config import ReinforceRecipe
from offline_training.reinforce.reinforcement import Hearing, reinforced_trainer
from offline_training.training.config import SuperviseRecipe
from offline_training.training.prepared_run import prepare_run
from offline_training.training.supervised import supervised_trainer
from offline_training.training.trainer import Trainer
from offline_training.utils.run import RunOptions


def supervised(
    folder: Path, corpus: Corpus, table: QueryTable, recipe: SuperviseRecipe, **options: Any
) -> Trainer:
    """A supervised run in ``folder``; ``options``: of ``RunOptions``."""
    return supervised_trainer(prepare_run(RunOptions(folder, **options), recipe), TrainingData(corpus, table))


def reinforced(
    folder: Path, data: TrainingData, recipe: ReinforceRecipe, hearing: Hearing, **options: Any
) -> Trainer:
    """A reinforcement run in ``folder``; ``options``: of ``RunOptions``."""
    return reinforced_trainer(prepare_run(RunOptions(folder, **options), recipe), data, hearing)
