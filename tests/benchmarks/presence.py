"""How well the presence meter tells mixtures with the queried sound from mixtures without: ROC-AUC, and the
fit of its curve.

    python tests/benchmarks/presence.py --corpus cache/corpus --split test [--mixtures 400]
    python tests/benchmarks/presence.py --corpus cache/corpus --split val --bundle mine --fit presence.json

Every mixture is asked twice, for its target and for a sound that is not in it, and the meter is read at its
end.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from marssep_rt.dsp.mixer import Controls
from marssep_rt.dsp.presence import PresenceCurve, PresenceMeter, share_db
from marssep_rt.dsp.stream_processor import StreamProcessor
from marssep_rt.model import bundle as bundles
from marssep_rt.model.bundle import Bundle
from marssep_rt.model.providers import open_graph
from marssep_rt.model.stream import GraphInfo
from marssep_rt.query.encoders import audio_encoder, text_encoder
from marssep_rt.utils.atomic_io import write_whole
from offline_training.data.corpus import Corpus
from offline_training.data.eval_mixtures import EvalConfig, draw_pairs, render
from offline_training.evaluation.vocabulary_fit import roc_auc

HOPS_AT_ONCE = 20


def signs(bundle: Bundle, corpus: Corpus, split: str, mixtures: int) -> tuple[np.ndarray, np.ndarray]:
    """Share in dB and similarity of every question, [2 * mixtures, 2], and whether the sound is there, [2 *
    mixtures].
    """
    session, used = open_graph(bundle, "cpu")
    listener, words = audio_encoder(bundle.path), text_encoder(bundle.path)
    config = EvalConfig(split=split, mixtures=mixtures)
    found, there = [], []
    for pair in draw_pairs(corpus, config):
        mixture, _, _ = render(corpus, pair, config)
        for label, present in ((pair.target.label, True), (pair.absent_label, False)):
            query = words.embed(label)
            hops = StreamProcessor(session, used, 1, query, Controls(), HOPS_AT_ONCE)
            hop = hops.info.hop
            meter = PresenceMeter(1, hop, hops.info.sample_rate)
            for at in range(0, len(mixture) - hops.size + 1, hops.size):
                hops.process(mixture[None, at : at + hops.size])
                for part in range(0, hops.size, hop):
                    meter.add(hops.target[:, part : part + hop], hops.dry[:, part : part + hop])
            meter.listen(listener, query)
            similarity = 0.0 if meter.similarity is None else meter.similarity
            found.append((share_db(meter.target_energy, meter.input_energy), similarity))
            there.append(present)
    return np.array(found), np.array(there)


def auc(score: np.ndarray, there: np.ndarray) -> float:
    return roc_auc(score[there], score[~there])


def interval(score: np.ndarray, there: np.ndarray) -> tuple[float, float]:
    """95 % bootstrap interval of the AUC over mixtures (both questions of a mixture are drawn together)."""
    rng, pairs = np.random.default_rng(0), np.arange(len(score)).reshape(-1, 2)
    drawn = [pairs[rng.integers(0, len(pairs), len(pairs))].ravel() for _ in range(500)]
    low, high = np.percentile([auc(score[i], there[i]) for i in drawn], [2.5, 97.5])
    return float(low), float(high)


def logistic(x: np.ndarray, there: np.ndarray, steps: int = 50) -> np.ndarray:
    """Weights of a logistic regression with a constant, by Newton's method."""
    x = np.column_stack([np.ones(len(x)), x])
    w = np.zeros(x.shape[1])
    for _ in range(steps):
        p = 1 / (1 + np.exp(-x @ w))
        w += np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x + 1e-6 * np.eye(len(w)), x.T @ (there - p))
    return w


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--corpus", required=True)
    options.add_argument("--split", default="test")
    options.add_argument("--mixtures", type=int, default=400)
    options.add_argument("--bundle", type=Path, default=None)
    options.add_argument(
        "--fit", type=Path, help="write the curve for marssep export bundle --presence (on val)"
    )
    given = options.parse_args()
    bundle = bundles.load(given.bundle)
    x, there = signs(bundle, Corpus(Path(given.corpus)), given.split, given.mixtures)
    curve = PresenceCurve.of(GraphInfo.of(open_graph(bundle, "cpu")[0]).presence)
    if given.fit:
        fitted = {
            "both": np.round(logistic(x, there), 3).tolist(),
            "share": np.round(logistic(x[:, :1], there), 3).tolist(),
        }
        write_whole(given.fit, json.dumps(fitted) + "\n")
        curve = PresenceCurve.of(fitted)
    both = np.array([curve.probability(share, similarity) for share, similarity in x])
    alone = np.array([curve.probability(share, None) for share, _ in x])
    for name, score in (
        ("share and similarity", both),
        ("share alone", alone),
        ("similarity alone", x[:, 1]),
    ):
        low, high = interval(score, there)
        print(
            f"{given.split}, {given.mixtures} mixtures, {name}: "
            f"ROC-AUC {auc(score, there):.3f} ({low:.3f} .. {high:.3f})"
        )
    print(
        f"right at 0.5: {((both >= 0.5) == there).mean():.3f}, "
        f"share alone {((alone >= 0.5) == there).mean():.3f}"
    )


if __name__ == "__main__":
    main()
