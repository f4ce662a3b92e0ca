"""A reinforcement run put together from files: what hears, what it is compared with, and the policy that is
trained.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from offline_training.alignment.judge import Judge
from offline_training.data.corpus import Corpus
from offline_training.data.query_table import QueryTable
from offline_training.encoders.builtin import BuiltinEncoder, open_towers
from offline_training.reinforce import anchor
from offline_training.reinforce.reward import TowerEar
from offline_training.reinforce.trainer import Anchors, Reinforcer
from offline_training.utils.run import RunError

ANCHORS = ("mlbp", "mean")


def prepare(
    folder: Path,
    corpus: Corpus,
    table: QueryTable,
    recipe: dict[str, Any],
    start: Path,
    towers: Path | None = None,
    rewarding: QueryTable | None = None,
    judge: Path | None = None,
    device: str = "cpu",
    changed: bool = False,
    report: Callable[[int, int], None] = lambda *_: None,
) -> Reinforcer:
    """The run in ``folder`` of a recipe of kind reinforce, begun or to be gone on with.

    ``table`` holds what is asked with; ``towers`` (a checkpoint of align, a bundle, None: the built-in one)
    reward, and ``rewarding`` is the table of their own vectors (None: ``table``), on which the anchor is
    fitted. ``judge``: the held-out reward in the log. Raises RunError, CheckpointError, and TypeError or
    ValueError for settings that are none.
    """
    settings = dict(recipe)
    kind = settings.pop("anchor", "mlbp")
    if kind not in ANCHORS:
        raise RunError(f"anchor is {kind!r}; choose {' or '.join(ANCHORS)}")
    rewarding = rewarding or table
    ear = TowerEar(open_towers(towers).audio, device)
    fuse: Any = anchor.mean_anchor
    if kind == "mlbp":
        path = folder / "anchor.pt"
        if not path.exists():
            model, figures = anchor.fit(rewarding, report=report)
            anchor.save(model, path, rewarding.encoder, figures)
        fuse = anchor.load(path, rewarding.encoder).to(device)
    heard = TowerEar(Judge(judge, BuiltinEncoder()).towers.audio, device) if judge is not None else None
    return Reinforcer(
        folder,
        corpus,
        table,
        settings,
        ear,
        Anchors(rewarding, ear, fuse, device),
        device,
        start,
        heard,
        changed,
    )
