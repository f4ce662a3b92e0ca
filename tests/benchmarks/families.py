"""What it is worth to narrow a family ("animals") to what can be heard, and at which temperature.

    python tests/benchmarks/families.py --corpus cache/corpus --split val [--bundle BUNDLE] [--fit FILE.json]

Asked are the words for several labels that people type, each over some mixtures. The file of ``--fit`` is for
``marssep export bundle --families``.
"""

import json
from dataclasses import replace
from pathlib import Path

import asking
import numpy as np

from marssep_rt.query.vocabulary import Vocabulary
from marssep_rt.query.words import Words
from marssep_rt.utils.atomic_io import write_whole
from offline_training.encoders.builtin import BuiltinEncoder
from offline_training.evaluation import questions, suite
from offline_training.evaluation.bootstrap import interval
from offline_training.evaluation.listeners import BundleListener
from offline_training.evaluation.voice import EncoderVoice

TEMPERATURES = (None, 0.05, 0.1, 0.15, 0.25, 0.4)  # None: the middle of the family


def main():
    parser = asking.parser(__doc__, 3)
    parser.add_argument("--fit", type=Path)
    options = parser.parse_args()
    bundle, sources = asking.opened(options)
    known, words = Vocabulary.of(bundle), Words.of(bundle)
    listener = BundleListener(bundle)
    encoder = BuiltinEncoder(text=bundle.path)
    families = {word: labels for word, labels in suite.read_words().items() if len(labels) > 1}
    gains = {}
    for temperature in TEMPERATURES:
        voice = EncoderVoice(
            encoder,
            sources.corpus,
            known=replace(known, family_temperature=temperature),
            labels_of=words.labels_of,
        )
        asked = questions.by_words(sources, voice, families, options.mixtures)
        gains[temperature] = np.array([a.si_sdri for a in suite.measure(listener, asked)])
        low, high = interval(gains[temperature] - gains[None], np.mean)
        print(
            f"temperature {temperature}: {gains[temperature].mean():.2f} dB on {len(gains[None])} mixtures, "
            f"{(gains[temperature] < 0).mean():.0%} made worse, {low:+.2f}..{high:+.2f} dB over the middle",
            flush=True,
        )
    best = max(gains, key=lambda t: gains[t].mean())
    if options.fit and best is not None:
        fit = {"temperature": best, "gain_db": round(float((gains[best] - gains[None]).mean()), 2)}
        write_whole(options.fit, (json.dumps(fit) + "\n").encode())


if __name__ == "__main__":
    main()
