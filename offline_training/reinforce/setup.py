"""A reinforcement run put together from files: what hears, what it is compared with, and the policy that is
trained.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from offline_training.alignment.judge import Judge
from offline_training.data.query_table import QueryTable
from offline_training.encoders.builtin import BuiltinEncoder, open_encoders
from offline_training.reinforce import anchor
from offline_training.reinforce.config import ReinforceRecipe
from offline_training.reinforce.reinforcement import Anchors, Hearing
from offline_training.reinforce.reward import FrozenEncoder


@dataclass(frozen=True)
class RewardSources:
    """What rewards, by file.

    Attributes:
        encoders: A checkpoint of align, or a bundle; None: the built-in one.
        table: Query table by those encoders, on which the anchor is fitted; None: the one queried with.
        judge: A judge of ``marssep train judge``, for the held-out reward in the log.
    """

    encoders: Path | None = None
    table: QueryTable | None = None
    judge: Path | None = None


def prepare_hearing(
    folder: Path,
    table: QueryTable,
    recipe: ReinforceRecipe,
    sources: RewardSources,
    device: str = "cpu",
    report: Callable[[int, int], None] = lambda *_: None,
) -> Hearing:
    """What listens in a run of ``folder``; the anchor is fitted once and kept in ``anchor.pt``.

    Args:
        folder: The run's folder.
        table: What is queried with.
        recipe: The run's recipe.
        sources: What rewards.
        device: cpu or cuda.
        report: Called with the steps of the fit that are done, and their number.

    Raises:
        RunError: The table has no recordings to fit the anchor on.
        CheckpointError: A file cannot be used.
    """
    rewarding = sources.table or table
    ear = FrozenEncoder(open_encoders(sources.encoders).audio, device)
    fuse: Any = anchor.mean_anchor
    if recipe.anchor == "mlbp":
        path = folder / "anchor.pt"
        if not path.exists():
            model, figures = anchor.fit(rewarding, report=report)
            anchor.save(model, path, rewarding.encoder, figures)
        fuse = anchor.load(path, rewarding.encoder).to(device)
    judge = None
    if sources.judge is not None:
        judge = FrozenEncoder(Judge(sources.judge, BuiltinEncoder()).encoders.audio, device)
    return Hearing(ear, Anchors(rewarding, ear, fuse, device), judge)
