"""What it is worth to narrow queries to what can be heard: families ("animals"), and examples by the labels
that they may show.

    python tests/benchmarks/narrowing.py [--corpus cache/corpus] [--images IMAGES.csv] [--fit FILE.json]

Asked are the words for several labels that people type, each over some mixtures, and mixtures by one image,
by three, or by one recording of the same split. The temperature for images is that of one. The file of
``--fit`` is for ``marssep export bundle --narrowing``.
"""

import json
from dataclasses import replace
from pathlib import Path

import asking
import numpy as np

from marssep_rt.query.vocabulary import EXAMPLES, Vocabulary
from marssep_rt.query.words import Words
from marssep_rt.utils.atomic_io import write_whole
from offline_training.data.images import ImageBank
from offline_training.encoders.builtin import BuiltinEncoder
from offline_training.evaluation import questions, suite
from offline_training.evaluation.bootstrap import interval
from offline_training.evaluation.listeners import BundleListener
from offline_training.evaluation.voice import EncoderVoice

TEMPERATURES = (None, 0.05, 0.1, 0.15, 0.25, 0.4)  # None: the middle of the family
SNAP_TEMPERATURES = (None, 0.05, 0.1, 0.2)  # None: one label


def main():
    parser = asking.parser(__doc__, 3)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--pairs", type=int, default=400, help="mixtures that are asked for by examples")
    parser.add_argument("--fit", type=Path)
    options = parser.parse_args()
    bundle, sources = asking.opened(options)
    known, words = Vocabulary.of(bundle), Words.of(bundle)
    listener, encoder = BundleListener(bundle), BuiltinEncoder(text=bundle.path)
    bank = None if options.images is None else ImageBank(options.images)

    def best_of(what, temperatures, vocabulary_at, ask):
        """The best temperature of a way to ask, and what it gains over the first one in dB."""
        gains = {}
        for temperature in temperatures:
            vocabulary = vocabulary_at(temperature)
            voice = EncoderVoice(encoder, sources.corpus, bank, vocabulary, words)
            gains[temperature] = np.array([a.si_sdri for a in suite.measure(listener, ask(voice))])
            base = gains[temperatures[0]]
            low, high = interval(gains[temperature] - base, np.mean)
            figures = f"{gains[temperature].mean():.2f} dB, {(gains[temperature] < 0).mean():.0%} made worse"
            over = f"{low:+.2f}..{high:+.2f} dB over the first"
            print(f"{what} ({len(base)}), temperature {temperature}: {figures}, {over}", flush=True)
        best = max(gains, key=lambda t: gains[t].mean())
        return best, round(float((gains[best] - base).mean()), 2)

    families = {word: labels for word, labels in suite.read_words().items() if len(labels) > 1}
    heard, gain = best_of(
        "families",
        TEMPERATURES,
        lambda t: replace(known, family_temperature=t),
        lambda voice: questions.by_words(sources, voice, families, options.mixtures),
    )
    if heard is None:
        return
    asks = {"audio": lambda voice: questions.by_recordings(sources, voice, options.pairs // 2, 1)}
    if bank is not None:
        asks["three images"] = lambda voice: questions.by_images(sources, voice, options.pairs)
        asks["image"] = lambda voice: questions.by_images(sources, voice, options.pairs, 1)
    fit = {"temperature": heard, "gain_db": gain, "snap_temperatures": {}, "snap_gains_db": {}}
    for kind, ask in asks.items():

        def vocabulary_at(t, kind=kind):
            temperatures = {} if t is None else {kind.split()[-1].rstrip("s"): t}
            return replace(known, family_temperature=heard, snap_temperatures=temperatures)

        best, gain = best_of(kind, SNAP_TEMPERATURES, vocabulary_at, ask)
        if best is not None and kind in EXAMPLES:
            fit["snap_temperatures"][kind], fit["snap_gains_db"][kind] = best, gain
    if options.fit:
        write_whole(options.fit, (json.dumps(fit) + "\n").encode())


if __name__ == "__main__":
    main()
