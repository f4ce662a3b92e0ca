"""Everything that a separator is measured on, set by set: how much it gains, how often it makes things worse,
what it leaks.

``marssep train suite``. A set is a generator of ``questions``; a figure is never a mean alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from marssep_rt.dsp.mixer import Controls
from offline_training.data.lexicon import read_lines, read_paraphrases
from offline_training.evaluation import questions as q
from offline_training.evaluation.bootstrap import interval
from offline_training.evaluation.listeners import Listener, Mixing
from offline_training.evaluation.metrics import ratio_db, sdr, si_sdr
from offline_training.evaluation.questions import Question, Questions, Sources, Voice
from offline_training.utils.recipe_files import LEXICON

BATCH = 8


@dataclass(frozen=True)
class Answer:
    """Figures of one question in dB; NaN where they mean nothing (gains of an absent target)."""

    label: str
    si_sdri: float
    sdri: float
    level: float


def batches(questions: Questions) -> Iterator[list[Question]]:
    """Up to BATCH questions at a time."""
    while group := list(islice(questions, BATCH)):
        yield group


def measure(listener: Listener, questions: Questions) -> list[Answer]:
    """An answer for every question; none if the listener cannot take masks out and a question needs it."""
    answers: list[Answer] = []
    for group in batches(questions):
        if not listener.mixes and any(ask.drop is not None for q in group for ask in q.asks):
            return []
        for question, output in zip(group, outputs(listener, group), strict=True):
            mixture, target = (
                torch.from_numpy(x[: len(output)]) for x in (question.mixture, question.target)
            )
            there = bool(target.any())
            answers.append(
                Answer(
                    question.label,
                    float(si_sdr(output, target) - si_sdr(mixture, target)) if there else float("nan"),
                    float(sdr(output, target) - sdr(mixture, target)) if there else float("nan"),
                    float(ratio_db(output.square().sum(), mixture.square().sum())),
                )
            )
    return answers


def outputs(listener: Listener, group: Sequence[Question]) -> list[Tensor]:
    """The output [samples] for every question.

    The masks of several asks are united and those of dropped sounds taken out where the listener can; other
    listeners' outputs are added.
    """
    asks = [(row, ask) for row, question in enumerate(group) for ask in question.asks]
    drops = [(row, ask.drop) for row, ask in asks if ask.drop is not None]
    of = np.array([row for row, _ in asks] + [row for row, _ in drops])
    vectors = np.stack([ask.query for _, ask in asks] + [vector for _, vector in drops])
    others = np.zeros_like(vectors)
    for i, (_, ask) in enumerate(asks):
        if ask.other is not None:
            others[i] = ask.other
    mixing = None
    if listener.mixes:
        dropped = np.arange(len(of)) >= len(asks)
        same = (of[:, None] == of) & ~np.eye(len(of), dtype=bool) & ~dropped[:, None]
        mixing = Mixing((same & ~dropped).astype(np.float32), (same & dropped).astype(np.float32))
    found = listener.separate(np.stack([group[row].mixture for row in of]), vectors, others, mixing)
    mine = [np.flatnonzero(of[: len(asks)] == row) for row in range(len(group))]
    targets = [found[rows[0]] if listener.mixes else found[rows].sum(0) for rows in mine]
    return [limited(target, question) for target, question in zip(targets, group, strict=True)]


def limited(target: Tensor, question: Question) -> Tensor:
    """An output [samples] with the smallest attenuation limit of what is asked, as the runtime mixes it."""
    limits = [ask.limit_db for ask in question.asks if ask.limit_db is not None]
    return with_limit(target, question, min(limits)) if limits else target


def with_limit(target: Tensor, question: Question, limit_db: float) -> Tensor:
    """An output [samples] with an attenuation limit in dB, by the runtime's mixer settings."""
    a, b = Controls(limit_db=limit_db).coefficients()
    return a * target + b * torch.from_numpy(question.mixture[: len(target)])


def summary(answers: Sequence[Answer]) -> dict[str, Any]:
    """Mean with its 95 % interval, median, 5 % quantile and share made worse; of absent targets the level of
    the output.
    """
    gains = np.array([a.si_sdri for a in answers])
    if np.isnan(gains).all():
        levels = np.array([a.level for a in answers])
        return {
            "questions": len(answers),
            "level_db": round(float(levels.mean()), 2),
            "level_db_median": round(float(np.median(levels)), 2),
            "level_db_95_percent": round(float(np.quantile(levels, 0.95)), 2),
        }
    return {
        "questions": len(answers),
        "si_sdri_db": round(float(gains.mean()), 2),
        "si_sdri_db_95": [round(x, 2) for x in interval(gains, np.mean)],
        "median_db": round(float(np.median(gains)), 2),
        "worst_5_percent_db": round(float(np.quantile(gains, 0.05)), 2),
        "made_worse": round(float((gains < 0).mean()), 4),
        "sdri_db": round(float(np.mean([a.sdri for a in answers])), 2),
    }


def read_words() -> dict[str, tuple[str, ...]]:
    """The frozen list of what people type, ``recipes/lexicon/words.txt``: word -> labels that are right."""
    return {
        word: tuple(x.strip() for x in rest.split(",")) for word, rest in read_lines(LEXICON / "words.txt")
    }


def paraphrases(labels: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The frozen paraphrases of labels that can be mixed."""
    return {phrase: (label,) for phrase, label in read_paraphrases() if label in labels}


def sets(sources: Sources, voice: Voice, count: int) -> dict[str, Callable[[], Questions]]:
    """All sets by name, each drawn when called; ``count``: mixtures of the larger ones."""
    few = max(20, count // 3)
    said = paraphrases(list(sources.clips))
    words = read_words()
    families = {word: labels for word, labels in words.items() if len(labels) > 1}
    new = sources.unseen_pairs() if sources.unseen else []
    return {
        "seen": lambda: q.by_label(sources, voice, count),
        "seen, the other named": lambda: q.with_other(sources, voice, few),
        "seen, the other taken out": lambda: q.without_other(sources, voice, few),
        "seen, the same without": lambda: q.by_label(sources, voice, few),
        "absent": lambda: q.absent(sources, voice, few),
        "unseen, text": lambda: q.asked(sources, new, lambda pair: q.said(voice, pair.target.label)),
        "unseen, one recording": lambda: q.by_recordings(sources, voice, 0, 1, new),
        "unseen, three recordings": lambda: q.by_recordings(sources, voice, 0, 3, new),
        "words": lambda: q.by_words(sources, voice, words, 3),
        "words, as labels": lambda: q.by_words(sources, voice, words, 3, as_label=True),
        "families": lambda: q.by_words(sources, voice, families, 3),
        "paraphrases": lambda: q.by_words(sources, voice, said, 1),
        "paraphrases, as labels": lambda: q.by_words(sources, voice, said, 1, as_label=True),
        "one new recording": lambda: q.by_recordings(sources, voice, few, 1),
        "three new recordings": lambda: q.by_recordings(sources, voice, few, 3),
        "one image": lambda: q.by_images(sources, voice, count, 1),
        "images": lambda: q.by_images(sources, voice, count),
        "images, as labels": lambda: q.label_for_images(sources, voice, count),
        "two at once": lambda: q.two_at_once(sources, voice, few),
        "wild": lambda: q.wild(sources, voice, few),
        "speech": lambda: q.speech(sources, voice, max(100, few)),
    }


def run(
    listener: Listener,
    asked: Mapping[str, Callable[[], Questions]],
    only: Sequence[str] = (),
    report: Callable[[str, dict[str, Any]], None] = lambda *_: None,
) -> dict[str, dict[str, Any]]:
    """A summary of every set (or of those in ``only``); sets that the model cannot be asked are left out."""
    results: dict[str, dict[str, Any]] = {}
    for name, draw in asked.items():
        if only and name not in only:
            continue
        answers = measure(listener, draw())
        if answers:
            results[name] = summary(answers)
            report(name, results[name])
    return results
