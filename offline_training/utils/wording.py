"""Lists in sentences."""

from __future__ import annotations

from collections.abc import Sequence

SHOWN = 5


def first_few(items: Sequence[str], shown: int = SHOWN, mark: str = ", ") -> str:
    """The first items of a list, and how many more there are: "a, b and 3 more"."""
    rest = len(items) - shown
    return mark.join(items[:shown]) + (f" and {rest} more" if rest > 0 else "")
