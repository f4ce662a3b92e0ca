"""Where a training is kept and how it begins, and whether it may go on there with a recipe."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class RunError(ValueError):
    """A training cannot go on; the message says why in one sentence."""


@dataclass(frozen=True)
class RunOptions:
    """Where a run is kept and how it begins, whatever it trains.

    Attributes:
        folder: Where it is kept; a run that is there already goes on.
        device: cpu or cuda.
        start: What a new run begins with: a checkpoint, or a folder with one.
        changed: An existing run may go on with another recipe than it was begun with.
    """

    folder: Path
    device: str = "cpu"
    start: Path | None = None
    changed: bool = False


def check_folder(folder: Path) -> None:
    """Raise RunError where a folder cannot be made or written into; nothing is made yet."""
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not place.is_dir():
        raise RunError(f"{place} is a file; name another folder")
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as e:
        raise RunError(f"nothing can be written into {place} ({(e.strerror or str(e)).lower()})") from e


def differences(before: Any, now: Any, at: str = "") -> list[str]:
    """What differs between two recipes as plain data, one line a setting: ``train.lr: 0.001 -> 0.002``."""
    if isinstance(before, dict) and isinstance(now, dict):
        lines = []
        for key in dict.fromkeys([*before, *now]):
            lines += differences(
                before.get(key, "unset"), now.get(key, "unset"), f"{at}.{key}" if at else str(key)
            )
        return lines
    lists = isinstance(before, (list, tuple)) and isinstance(now, (list, tuple))
    same = list(before) == list(now) if lists else before == now
    return [] if same else [f"{at}: {before} -> {now}"]


def check_recipe(folder: Path, before: Any, now: Any, changed: bool = False) -> None:
    """Raises RunError where a run was begun with another recipe, unless ``changed`` says that it is meant."""
    different = differences(before, now)
    if different and not changed:
        raise RunError(
            f"the run in {folder} was begun with another recipe ({'; '.join(different)}); "
            "take another folder, or --allow-recipe-change"
        )
