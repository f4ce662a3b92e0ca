"""The pictures of docs/evaluation.md: five separations that matter to users, and what they gain.

    python tests/benchmarks/figures.py --corpus cache/corpus --split test [--bundle BUNDLE] -o FOLDER

Each scene is the first draw of its own seed; none is picked for its result.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

import marssep_rt
from offline_training.data.corpus import SAMPLE_RATE, Corpus
from offline_training.data.eval_mixtures import EvalConfig
from offline_training.evaluation.metrics import si_sdr
from offline_training.evaluation.plots import spectrograms
from offline_training.evaluation.questions import Sources, at_level, louder, pick


class Scene(NamedTuple):
    """A query, the label of its recording, and what plays beside it with its level in dB."""

    query: str
    target: str
    beside: dict[str, float]


SCENES = {
    "separation": Scene("speech", "male speech", {"keyboard typing": -3.0}),
    "dog_under_speech": Scene("dog barking", "dog barking", {"female speech": 3.0}),
    "guitar_in_a_band": Scene("acoustic guitar", "acoustic guitar", {"drum kit": 0.0, "piano": -3.0}),
    "bird_in_rain": Scene("birds", "birds chirping", {"rain": 0.0}),
    "siren_in_traffic": Scene("siren", "siren", {"traffic": 3.0}),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, default=Path("cache/corpus"))
    parser.add_argument("--split", default="test")
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    corpus = Corpus(options.corpus)
    clips, sources = corpus.by_label(options.split), Sources(corpus, EvalConfig(split=options.split))
    for number, (name, scene) in enumerate(SCENES.items()):
        rng = np.random.default_rng(number)
        parts = [sources.audio(pick(clips[scene.target], rng), rng)]
        parts += [
            louder(sources.audio(pick(clips[label], rng), rng), level)
            for label, level in scene.beside.items()
        ]
        target, *others = at_level(parts)
        mixture = np.sum([target, *others], axis=0)
        output = marssep_rt.separate(mixture, query=scene.query, bundle=options.bundle).audio
        before, after = (
            float(si_sdr(torch.from_numpy(x), torch.from_numpy(target))) for x in (mixture, output)
        )
        print(f"{name}: {after - before:+.1f} dB")
        shown = {
            f"mixture: {scene.target} with {', '.join(scene.beside)}": mixture,
            f"target: {scene.target}": target,
            f"output for the query “{scene.query}”": output,
        }
        spectrograms(shown, SAMPLE_RATE, options.output / f"{name}.png")


if __name__ == "__main__":
    main()
