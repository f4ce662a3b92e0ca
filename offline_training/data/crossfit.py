"""Cross-fitting: encoders that were trained without a share of the recordings and images.

An encoder knows its own training items too well: their vectors lie near their label as no user's recording or
image will. A separator that is to follow users' examples must be trained with vectors that are as far
off as theirs, and only an encoder that has never met an item can give such a vector.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable


def left_out(items: Iterable[tuple[str, str, str]], fold: int, folds: int) -> frozenset[str]:
    """Paths that fold ``fold`` (0 .. folds - 1) does without; items are (label, group, path).

    Groups go as a whole, every group of a label in turn to another fold, so that no two folds share any; a
    label with a single group keeps it: a label that an encoder has never met at all says nothing about the
    labels that the others know.
    """
    if not 0 <= fold < folds or folds < 2:
        raise ValueError(f"fold {fold} of {folds}: there must be at least 2, counted from 0")
    paths: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for label, group, path in items:
        paths[label][group].append(path)
    return frozenset(
        path
        for groups in paths.values()
        if len(groups) > 1
        for i, group in enumerate(sorted(groups))
        if i % folds == fold
        for path in groups[group]
    )
