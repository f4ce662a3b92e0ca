"""Queries by recordings, plain and tuned (``marssep query --audio ... --tune``), on other recordings of the
same label.

    python tests/benchmarks/tuned_queries.py --corpus cache/corpus [--bundle BUNDLE] [--recordings 3]
        [--background 40] [--seen 8]

Unseen: the held-out labels of a recipe of supervise that the bundle's vocabulary does not name; their
recordings are those of train and val, since nothing was trained on them. Seen: labels of the vocabulary with
enough recordings in val, drawn by lot. A label's query is made of ``--recordings`` recordings; its mixtures
hold its other recordings beside seen labels of val at -5 to 5 dB. ``--background``: that many training
recordings of other labels are the user's own backgrounds. "mean": the recordings' vectors without snapping to
labels; "found": what the search ended with, kept or not. ``--no-tuning`` measures plain and mean alone.
"""

import argparse
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from marssep_rt.model import bundle as bundles
from marssep_rt.query import tune as tuning
from marssep_rt.query.audio_input import read_windows
from marssep_rt.query.build import build_query, embed_audio
from marssep_rt.query.types import QueryRequest
from marssep_rt.query.vocabulary import Vocabulary
from marssep_rt.utils.vectors import unit_vector
from offline_training.cli.measuring import held_out_labels
from offline_training.data.corpus import BACKGROUNDS, SAMPLE_RATE, Clip, Corpus
from offline_training.data.eval_mixtures import EvalConfig, Pair, measured_clips, render
from offline_training.evaluation.bootstrap import interval
from offline_training.evaluation.listeners import BundleListener, Listener
from offline_training.evaluation.metrics import si_sdr

COLUMNS = ("plain", "mean", "tuned", "found")


@dataclass
class Task:
    """A label, the recordings that ask for it, and others that it is measured on."""

    label: str
    asking: list[Clip]
    measured: list[Clip]
    rng: np.random.Generator


def task(label: str, clips: list[Clip], count: int) -> Task | None:
    """None where there are too few recordings."""
    rng = np.random.default_rng(zlib.crc32(label.encode()))
    groups = sorted({c.group for c in clips})
    if len(groups) < 2:
        return None
    chosen = list(rng.choice(groups, min(count, len(groups) - 1), replace=False))
    asking = [[c for c in clips if c.group == g] for g in chosen]
    return Task(
        label,
        [g[int(rng.integers(len(g)))] for g in asking],
        [c for c in clips if c.group not in chosen],
        rng,
    )


def write_clip(corpus: Corpus, clip: Clip, path: Path) -> Path:
    import soundfile

    soundfile.write(path, corpus.audio(clip), SAMPLE_RATE)
    return path


def gains(
    listener: Listener, corpus: Corpus, pairs: list[Pair], config: EvalConfig, vectors: np.ndarray
) -> np.ndarray:
    """SI-SDR improvements [pairs, vectors] in dB."""
    import torch

    rows = []
    for pair in pairs:
        mixture, target, _ = render(corpus, pair, config)
        found = listener.separate(np.repeat(mixture[None], len(vectors), 0), vectors)
        wanted, before = (torch.from_numpy(x[None, : found.shape[1]]) for x in (target, mixture))
        rows.append((si_sdr(found, wanted.expand_as(found)) - si_sdr(before, wanted)).numpy())
    return np.stack(rows)


def told(name: str, rows: np.ndarray) -> str:
    """For every column the mean, the share made worse, and the mean difference to plain with its interval."""
    parts = [f"{name}: {len(rows)} mixtures"]
    for i, column in enumerate(COLUMNS[: rows.shape[1]]):
        parts.append(f"{column} {rows[:, i].mean():.2f} dB, made worse {np.mean(rows[:, i] < 0):.1%}")
        if i:
            low, high = interval(rows[:, i] - rows[:, 0], np.mean)
            parts.append(f"difference {np.mean(rows[:, i] - rows[:, 0]):+.2f} ({low:.2f} .. {high:.2f})")
    return "; ".join(parts)


class Comparison:
    """Plain and tuned queries for the labels of a corpus, by the options of the command line."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given, self.corpus, self.bundle = given, Corpus(given.corpus), bundles.load(given.bundle)
        self.config = EvalConfig(seconds=3.0)
        self.held_out = held_out_labels(given.unseen)
        self.known = set(Vocabulary.of(self.bundle).labels)
        self.seen = measured_clips(self.corpus, self.config, self.held_out)
        self.listener = BundleListener(self.bundle, 1)

    def unseen_tasks(self) -> list[Task]:
        """Tasks of the held-out labels that the vocabulary does not name."""
        clips = {
            label: [c for c in self.corpus.clips if c.label == label and c.split in ("train", "val")]
            for label in self.held_out
            if label not in self.known
        }
        return [t for label, group in clips.items() if (t := task(label, group, self.given.recordings))]

    def seen_tasks(self) -> list[Task]:
        """Tasks of labels of the vocabulary with enough recordings, drawn by lot."""
        many = [
            label
            for label, group in self.seen.items()
            if label in self.known and len({c.group for c in group}) > self.given.recordings
        ]
        count = min(self.given.seen, len(many))
        drawn = sorted(np.random.default_rng(0).choice(many, count, replace=False))
        return [t for label in drawn if (t := task(label, self.seen[label], self.given.recordings))]

    def backgrounds(self, job: Task) -> list:
        """Windows of training recordings of other labels, as a user's own backgrounds."""
        outside = (job.label, *self.held_out, *BACKGROUNDS)
        train = [c for c in self.corpus.clips if c.split == "train" and c.label not in outside]
        file = self.given.work / "background.wav"
        chosen = job.rng.choice(len(train), self.given.background, replace=False)
        return [read_windows(write_clip(self.corpus, train[number], file)) for number in chosen]

    def pairs(self, job: Task) -> list[Pair]:
        """Mixtures of the label's other recordings and of seen labels."""
        others = [label for label in self.seen if label != job.label]
        made = []
        for _ in range(self.given.mixtures):
            other = self.seen[others[int(job.rng.integers(len(others)))]]
            drawn = (x[int(job.rng.integers(len(x)))] for x in (job.measured, other))
            made.append(Pair(*drawn, float(job.rng.uniform(-5, 5)), "", int(job.rng.integers(2**31))))
        return made

    def rows(self, job: Task) -> np.ndarray:
        """The gains of one task, which are also printed."""
        given = self.given
        paths = [
            write_clip(self.corpus, c, given.work / f"{job.label}_{i}.wav") for i, c in enumerate(job.asking)
        ]
        own = self.backgrounds(job)
        began = time.process_time()
        request = QueryRequest(audios=paths)
        plain, decided = build_query(self.bundle, request).vector, ""
        vectors = [plain, unit_vector(np.mean([embed_audio(path, self.bundle) for path in paths], axis=0))]
        if not given.no_tuning:
            result = tuning.tune(self.bundle, request, own, tuning.TuneOptions(threads=given.threads))
            vectors += [result.query.vector, result.vector]
            cosine = float(plain @ result.vector)
            gained = f"{result.plain_db:.2f} -> {result.tuned_db:.2f}"
            decided = f"decided on {gained}, kept {result.kept}, cosine {cosine:.2f}"
        spent = time.process_time() - began
        rows = gains(self.listener, self.corpus, self.pairs(job), self.config, np.stack(vectors))
        means = ", ".join(
            f"{name} {mean:.2f}" for name, mean in zip(COLUMNS, rows.mean(axis=0), strict=False)
        )
        print(f"{job.label}: {means} dB; {decided}; {spent:.0f} s of a core", flush=True)
        return rows


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--corpus", required=True, type=Path)
    options.add_argument("--bundle", type=Path)
    options.add_argument("--unseen", default="sound_queries", type=Path)
    options.add_argument("--recordings", default=3, type=int)
    options.add_argument("--background", default=0, type=int)
    options.add_argument("--seen", default=8, type=int)
    options.add_argument("--mixtures", default=24, type=int)
    options.add_argument("--threads", default=1, type=int)
    options.add_argument("--no-tuning", action="store_true")
    options.add_argument("--set", choices=("unseen", "seen"), action="append")
    options.add_argument(
        "--work", type=Path, default=Path("/tmp/tuned_queries"), help="for the recordings as files"
    )
    given = options.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    comparison = Comparison(given)
    tasks = {"unseen": comparison.unseen_tasks(), "seen": comparison.seen_tasks()}
    for name in given.set or ("unseen", "seen"):
        every = [comparison.rows(job) for job in tasks[name]]
        if every:
            print(told(f"{name}, {len(every)} labels", np.concatenate(every)), flush=True)


if __name__ == "__main__":
    main()
