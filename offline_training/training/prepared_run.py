"""A run of a separator before its data is loaded: everything that can be known is checked first."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from offline_training.data.corpus import Corpus
from offline_training.data.eval_mixtures import draw_pairs, measured_clips
from offline_training.data.own_labels import check_table
from offline_training.data.training_data import TrainingData
from offline_training.models import registry
from offline_training.models.unet import ADDED
from offline_training.training.config import SuperviseRecipe
from offline_training.utils import checkpoint_io
from offline_training.utils.checkpoint_io import CheckpointError
from offline_training.utils.recipe import RecipeError, as_json, read
from offline_training.utils.run import RunError, RunOptions, check_folder, check_recipe
from offline_training.utils.wording import first_few

# what a checkpoint of a smaller network may lack: the parts begin untrained
MAY_LACK = tuple(f"unet.{part}" for part in ADDED)


@dataclass(frozen=True)
class PreparedRun:
    """A run whose folder, checkpoints and recipe fit each other, see ``prepare_run``.

    Attributes:
        options: Where it is kept and how it begins.
        recipe: The settings.
        begun: The checkpoint of ``options.start``, if any.
        last: The checkpoint that it goes on from; None for a new run.
    """

    options: RunOptions
    recipe: SuperviseRecipe
    begun: Mapping[str, Any] | None = None
    last: Mapping[str, Any] | None = None

    def separator(self, query_dim: int | None) -> dict[str, Any]:
        """The network as plain data: the recipe's, else that of the start."""
        return network(self.recipe, self.begun, query_dim)

    def check(self, data: TrainingData) -> None:
        """Check that the run can begin or go on with its data.

        Raises:
            RunError: The query table is of another space.
            CorpusError: Corpus or table lack what the validation needs.
        """
        encoder = data.table.encoder
        if self.last is not None:
            if self.last.get("encoder", encoder) != encoder:
                raise RunError(
                    f"the run in {self.options.folder} asks with vectors of the encoder "
                    f"{self.last['encoder']}, the query table is of {encoder}"
                )
        elif self.begun is not None and self.begun.get("encoder") != encoder:
            raise RunError(
                f"{self.options.start} was trained on encoder {self.begun.get('encoder')}, the query table "
                f"is of {encoder}; see marssep train rebase"
            )
        unseen = self.recipe.mixtures.held_out_labels
        draw_pairs(data.corpus, self.recipe.validation, unseen)
        check_table(measured_clips(data.corpus, self.recipe.validation, unseen), data.table.index)

    def unknown_labels(self, corpus: Corpus) -> str:
        """A warning about labels that are to be held out and that the corpus does not have; "" for none."""
        unknown = sorted(set(self.recipe.mixtures.held_out_labels) - set(corpus.labels()))
        said = f"held_out_labels names labels that the corpus does not have: {first_few(unknown)}"
        return said if unknown else ""


def prepare_run(options: RunOptions, recipe: SuperviseRecipe) -> PreparedRun:
    """Read what a run begins with or goes on from, and check it.

    Args:
        options: Where the run is kept and how it begins.
        recipe: The settings.

    Raises:
        RunError: Its folder cannot be written, or the run there was begun with another recipe.
        CheckpointError: A checkpoint is missing, damaged, no separator, or does not fit the recipe's network.
        RecipeError: The start's network cannot have the parts that the recipe needs.
    """
    check_folder(options.folder)
    begun = None if options.start is None else checkpoint_io.load(options.start)
    path = options.folder / "last.pt"
    last = checkpoint_io.load(path) if path.exists() else None
    if last is not None:
        check_recipe(options.folder, stored_recipe(recipe, last), as_json(recipe), options.changed)
        check_weights(path, network(recipe, begun, query_dim_of(last)), last["model"])
    elif begun is not None:
        assert options.start is not None
        check_weights(options.start, network(recipe, begun, query_dim_of(begun)), begun["weights"], MAY_LACK)
    return PreparedRun(options, recipe, begun, last)


def network(
    recipe: SuperviseRecipe, begun: Mapping[str, Any] | None, query_dim: int | None
) -> dict[str, Any]:
    """The network of a run as plain data: the recipe's, else that of its start, with the parts that the
    recipe needs.

    Args:
        recipe: The settings.
        begun: The checkpoint that it begins with, if any.
        query_dim: Size of the query vectors, where the network does not say it; None leaves its default.

    Raises:
        RecipeError: The network cannot have these parts.
    """
    separator = {} if begun is None else begun["separator"]
    if recipe.separator is not None:
        separator = asdict(recipe.separator)
    size = {} if query_dim is None else {"query_dim": query_dim}
    return recipe.grown({**separator, "unet": {**size, **separator.get("unet", {})}})


def query_dim_of(content: Mapping[str, Any]) -> int | None:
    """The size of the query vectors of a checkpoint's separator, if it says it."""
    size = content["separator"].get("unet", {}).get("query_dim")
    return None if size is None else int(size)


def check_weights(
    path: Path, separator: Mapping[str, Any], weights: Mapping[str, Any], may_lack: tuple[str, ...] = ()
) -> None:
    """Raise CheckpointError where the weights of a checkpoint do not fit a network, given as plain data."""
    try:
        checkpoint_io.load_weights(registry.build(separator), weights, may_lack=may_lack)
    except CheckpointError as e:
        raise CheckpointError(
            f"{path} holds another network than the recipe's [separator] ({e}); take the recipe that it was "
            "trained with, or leave out [separator]"
        ) from e


def stored_recipe(recipe: SuperviseRecipe, content: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe of ``last.pt`` with every default filled in, as far as its keys are still known."""
    stored = recipe.completed(json.loads(content["recipe"]))
    try:
        return as_json(read(type(recipe), stored))
    except RecipeError:
        return stored
