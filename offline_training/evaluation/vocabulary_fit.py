"""From which distance on a query is out of vocabulary, and how well that tells known from unknown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from marssep_rt.query.vocabulary import Vocabulary
from offline_training.data.lexicon import read_lines, read_paraphrases
from offline_training.encoders.base import Encoder, Vectors
from offline_training.utils.recipe_files import LEXICON

Scores = npt.NDArray[np.float64]
FALSE_ALARMS = 0.05  # of known queries may be doubted


def roc_auc(known: Scores, unknown: Scores) -> float:
    """Probability that a known query scores higher than an unknown one, ties counted half (Mann-Whitney)."""
    differences = known[:, None] - unknown[None, :]
    return float((differences > 0).mean() + 0.5 * (differences == 0).mean())


def read_unrelated() -> dict[str, list[str]]:
    """Phrases of ``recipes/lexicon/out_of_vocabulary.txt`` by their kind."""
    return {
        kind: [p.strip() for p in rest.split("|")]
        for kind, rest in read_lines(LEXICON / "out_of_vocabulary.txt")
    }


def similarity(vectors: Vectors, labels: Vectors) -> Scores:
    """Cosine of each row to the nearest label, [N]."""
    return np.asarray((vectors @ labels.T).max(axis=1), np.float64)


def fit(
    encoder: Encoder,
    labels: Sequence[str],
    sounds: Vectors | None = None,
    images: Vectors | None = None,
    trained: int | None = None,
) -> tuple[Vocabulary, dict[str, Any]]:
    """The known sounds of an encoder and the figures of their thresholds.

    Text: the threshold doubts 5 % of every second frozen paraphrase; all rates and areas are measured on the
    other halves. ``sounds`` and ``images``: vectors of validation examples of known labels, of which 5 %
    are doubted. ``trained``: how many of ``labels``, the first ones, an example may be taken for; the rest
    are families and other words with a place.
    """
    anchors = encoder.embed_text(list(labels))
    known = similarity(encoder.embed_text([p for p, label in read_paraphrases() if label in labels]), anchors)
    unrelated = {
        kind: similarity(encoder.embed_text(phrases), anchors) for kind, phrases in read_unrelated().items()
    }
    thresholds = {"text": float(np.quantile(known[::2], FALSE_ALARMS))}
    doubted = float((known[1::2] < thresholds["text"]).mean())
    figures: dict[str, Any] = {"threshold": round(thresholds["text"], 4), "doubted_known": round(doubted, 4)}
    for kind, scores in unrelated.items():
        figures[f"roc_auc_{kind}"] = round(roc_auc(known[1::2], scores[1::2]), 4)
        figures[f"doubted_{kind}"] = round(float((scores[1::2] < thresholds["text"]).mean()), 4)
    for kind, vectors in (("audio", sounds), ("image", images)):
        if vectors is not None and len(vectors):
            thresholds[kind] = float(np.quantile(similarity(vectors, anchors), FALSE_ALARMS))
            figures[f"threshold_{kind}"] = round(thresholds[kind], 4)
    return Vocabulary(tuple(labels), np.asarray(anchors, np.float32), thresholds, trained), figures
