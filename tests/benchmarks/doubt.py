"""How well the words' distance from everything that training asked for tells that a separation fails, and
what an attenuation limit for doubted words is worth.

    python tests/benchmarks/doubt.py --corpus cache/corpus --split val [--bundle BUNDLE] [--fit doubt.json]

Asked are trained labels, paraphrases, words that people type, and labels that training never heard. The file
of ``--fit`` is for ``marssep export bundle --doubt``.
"""

import json
from itertools import islice
from pathlib import Path

import asking
import numpy as np
import torch

from marssep_rt.query.vocabulary import Vocabulary
from marssep_rt.query.words import Words
from marssep_rt.utils.atomic_io import write_whole
from offline_training.encoders.builtin import BuiltinEncoder
from offline_training.evaluation import questions, suite
from offline_training.evaluation.listeners import BundleListener
from offline_training.evaluation.metrics import si_sdr
from offline_training.evaluation.voice import EncoderVoice

LIMITS = (200.0, 30.0, 25.0, 20.0, 15.0, 12.0, 9.0, 6.0)  # dB; the first is none
COSINES = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


def asked(sources, voice, mixtures):
    """(set, question) of all words."""
    said = suite.paraphrases(list(sources.clips))
    sets = {
        "labels": questions.by_label(sources, voice, mixtures),
        "paraphrases": islice(questions.by_words(sources, voice, said, 1), 0, None, 2),
        "words": islice(questions.by_words(sources, voice, suite.read_words(), 3), 0, None, 2),
        "unseen": questions.asked(
            sources, sources.unseen_pairs(), lambda pair: questions.said(voice, pair.target.label)
        ),
    }
    return [(name, question) for name, several in sets.items() for question in several]


def gains(listener, given):
    """SI-SDR improvement in dB under every limit, [questions, LIMITS]."""
    rows = []
    for start in range(0, len(given), suite.BATCH):
        group = [question for _, question in given[start : start + suite.BATCH]]
        for question, output in zip(group, suite.outputs(listener, group), strict=True):
            mixture, target = (
                torch.from_numpy(x[: len(output)]) for x in (question.mixture, question.target)
            )
            before = si_sdr(mixture, target)
            mixed = [suite.with_limit(output, question, limit) for limit in LIMITS]
            rows.append([float(si_sdr(one, target) - before) for one in mixed])
    return np.array(rows)


def main():
    parser = asking.parser(__doc__, 60)
    parser.add_argument("--fit", type=Path)
    options = parser.parse_args()
    bundle, sources = asking.opened(options, mixtures=options.mixtures, unseen_mixtures=100)
    known = Vocabulary.of(bundle)
    # without the vocabulary, which would limit the doubted words
    voice = EncoderVoice(BuiltinEncoder(text=bundle.path), sources.corpus, words=Words.of(bundle))
    given = asked(sources, voice, options.mixtures)
    gain = gains(BundleListener(bundle), given)
    places = known.vectors[: known.asked]
    cosine = np.array([(places @ question.asks[0].query).max() for _, question in given])
    related = np.corrcoef(cosine, gain[:, 0])[0, 1]
    print(f"{len(given)} questions; correlation of cosine and gain {related:.2f}")
    limits = ", ".join(f"{limit:g}" for limit in LIMITS[1:])
    print(f"cosine        questions   gain in dB without limit, then at {limits} dB")
    for low, high in zip((-1.0, *COSINES), (*COSINES, 1.01), strict=True):
        rows = (cosine >= low) & (cosine < high)
        if rows.any():
            means = " ".join(f"{x:6.2f}" for x in gain[rows].mean(0))
            print(f"{low:5.2f}..{high:4.2f} {rows.sum():9}     {means}")
    best = max(
        ((c, k) for c in COSINES for k in range(len(LIMITS))),
        key=lambda pick: np.where(cosine < pick[0], gain[:, pick[1]], gain[:, 0]).mean(),
    )
    after = np.where(cosine < best[0], gain[:, best[1]], gain[:, 0])
    for name in dict.fromkeys(name for name, _ in given):
        rows = np.array([of == name for of, _ in given])
        print(f"{name}: {gain[rows, 0].mean():.2f} dB, with the best rule {after[rows].mean():.2f} dB")
    rule = {"cosine": best[0], "limit_db": LIMITS[best[1]]}
    print(json.dumps(rule))
    if options.fit:
        write_whole(options.fit, (json.dumps(rule) + "\n").encode())


if __name__ == "__main__":
    main()
