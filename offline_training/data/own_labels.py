"""Labels of one's own corpus: what of them a query table lacks, and phrases for those that no lexicon has."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from offline_training.data.corpus import BACKGROUNDS, CorpusError
from offline_training.data.lexicon import FRAMES
from offline_training.utils.wording import first_few

PHRASES = 5


def with_own_labels(phrases: Mapping[str, list[str]], labels: Iterable[str]) -> dict[str, list[str]]:
    """Phrases of labels, and a few simple ones of every label that has none, such as "the sound of" it.

    Args:
        phrases: Label -> phrases.
        labels: Labels of a corpus; places that nobody asks for are left out.
    """
    own = sorted(set(labels) - set(phrases) - set(BACKGROUNDS))
    return {
        **phrases,
        **{label: [label, *(frame.format(label) for frame in FRAMES[: PHRASES - 1])] for label in own},
    }


def check_table(labels: Iterable[str], known: Collection[str]) -> None:
    """Raise CorpusError where a query table does not know labels that are to be validated.

    Args:
        labels: Labels that a validation draws from.
        known: Labels of the query table.
    """
    lacking = sorted(set(labels) - set(known))
    if lacking:
        raise CorpusError(
            f"the query table does not know {first_few(lacking)}, which the corpus has; make it again from "
            "this corpus: marssep train embed --corpus FOLDER -o FILE.npz"
        )
