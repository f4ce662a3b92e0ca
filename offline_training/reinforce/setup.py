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
from offline_training.encoders.audio_image import TorchAudioEncoder
from offline_training.encoders.builtin import BuiltinEncoder, open_encoders
from offline_training.reinforce import anchor
from offline_training.reinforce.config import ReinforceRecipe
from offline_training.reinforce.reinforcement import Anchors, Hearing
from offline_training.reinforce.reward import FrozenEncoder
from offline_training.training.prepared_run import PreparedRun
from offline_training.utils.run import RunError


@dataclass(frozen=True)
class RewardSources:
    """What rewards, by file.

    Attributes:
        encoders: A checkpoint of align, or a bundle; None: the built-in one.
        judge: A judge of ``marssep train judge``, for the held-out reward in the log.
    """

    encoders: Path | None = None
    judge: Path | None = None


@dataclass(frozen=True)
class Ears:
    """The frozen encoders of a reinforcement run.

    Attributes:
        ear: Rewards.
        dim: Size of its vectors.
        judge: The held-out judge, if any.
    """

    ear: FrozenEncoder
    dim: int
    judge: FrozenEncoder | None = None


def open_ears(sources: RewardSources, device: str = "cpu") -> Ears:
    """The encoders of a run; raises CheckpointError, EncoderError or BundleError where a file has none."""
    audio = open_encoders(sources.encoders).audio
    assert isinstance(audio, TorchAudioEncoder)
    judge = None
    if sources.judge is not None:
        judge = FrozenEncoder(Judge(sources.judge, BuiltinEncoder()).encoders.audio, device)
    return Ears(FrozenEncoder(audio, device), audio.shape.dim, judge)


def check_ears(ears: Ears, rewarding: QueryTable) -> None:
    """Raise RunError where encoders cannot be of the space of the query table that they reward with."""
    if ears.dim != rewarding.dim:
        raise RunError(
            f"the encoders that reward give vectors of {ears.dim} numbers, the query table those of "
            f"{rewarding.dim} (encoder {rewarding.encoder}); name its encoders with --encoders"
        )


def prepare_hearing(
    prepared: PreparedRun,
    rewarding: QueryTable,
    ears: Ears,
    report: Callable[[int, int], None] = lambda *_: None,
) -> Hearing:
    """What listens in a run; the anchor is fitted once and kept in the run's folder as ``anchor.pt``.

    Args:
        prepared: The run.
        rewarding: Query table by the encoders that reward, on which the anchor is fitted.
        ears: The encoders.
        report: Called with the steps of the fit that are done, and their number.

    Raises:
        RunError: The encoders are not of the table's space, or it has no recordings to fit the anchor on.
        CheckpointError: The anchor that is there cannot be used.
    """
    recipe, device = prepared.recipe, prepared.options.device
    assert isinstance(recipe, ReinforceRecipe)
    check_ears(ears, rewarding)
    fuse: Any = anchor.mean_anchor
    if recipe.anchor == "mlbp":
        path = prepared.options.folder / "anchor.pt"
        if not path.exists():
            model, figures = anchor.fit(rewarding, report=report)
            anchor.save(model, path, rewarding.encoder, figures)
        fuse = anchor.load(path, rewarding.encoder).to(device)
    anchors = Anchors(rewarding, ears.ear, fuse, device, recipe.reinforce.ear_alone)
    return Hearing(ears.ear, anchors, ears.judge)
