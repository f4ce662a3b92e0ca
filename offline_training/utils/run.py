"""Whether a run may go on with a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class RunError(ValueError):
    """A training cannot go on; the message says why in one sentence."""


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
