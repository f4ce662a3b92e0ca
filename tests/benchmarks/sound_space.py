"""How well the space of sound tells labels apart, seen and unseen, and where words lie in it.

    python tests/benchmarks/sound_space.py --trunk yamnet.pt --corpus cache/corpus --windows cache/windows.npz

Twenty-five labels are drawn by lot and take no part in the fit. Seen: clips of val, nearest label among the
seen ones. Unseen: a clip and the mean of three other recordings of its label, against all seen labels: how
many of them are further away, and how often all are. Classes: every label that AudioSet names is placed by
the recordings that score highest for its classes, its own recordings left out.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from offline_training.data.corpus import BACKGROUNDS, Corpus
from offline_training.encoders.audio_image import SoundHead
from offline_training.encoders.sound_space import (
    SpaceConfig,
    class_places,
    embed_windows,
    fit,
    mean_of_recordings,
    read_class_names,
    read_classes,
)
from offline_training.encoders.tflite_weights import load_trunk
from offline_training.encoders.yamnet import FEATURES, NAME, YamnetTrunk
from offline_training.utils.vectors import unit

LEFT_OUT = 25


class Windows:
    """Windows of train and val with their labels, recordings and splits."""

    def __init__(self, corpus: Corpus, features: np.ndarray, clip: np.ndarray) -> None:
        clips = [corpus.clips[i] for i in clip]
        kept = np.array([c.label not in BACKGROUNDS for c in clips])
        self.features, self.clip = features[kept], clip[kept]
        self.labels, self.groups, self.splits = (
            np.array([getattr(c, name) for c in clips])[kept] for name in ("label", "group", "split")
        )


def vectors(data: Windows, fitted: dict[str, torch.Tensor], dim: int) -> np.ndarray:
    head = SoundHead(FEATURES, dim, 0.0).eval()
    head.load_state_dict({**head.state_dict(), **fitted})
    with torch.no_grad():
        return head(torch.from_numpy(data.features)[:, None]).numpy()


def plain(data: Windows, rows: np.ndarray) -> np.ndarray:
    """The trunk's embedding itself, compressed and standardised."""
    x = np.log1p(data.features)
    return unit((x - x[rows].mean(0)) / (x[rows].std(0) + 1e-3))


def told_apart(data: Windows, space: np.ndarray, left_out: set[str]) -> str:
    seen = sorted(set(data.labels) - left_out)
    train = data.splits == "train"
    means = np.stack(
        [
            mean_of_recordings(space[m], data.groups[m])
            for m in (train & (data.labels == label) for label in seen)
        ]
    )
    top1, top5 = [], []
    for number in np.unique(data.clip[(data.splits == "val") & np.isin(data.labels, seen)]):
        rows = data.clip == number
        order = np.argsort(-(means @ unit(space[rows].mean(0))))
        wanted = seen.index(data.labels[rows][0])
        top1.append(order[0] == wanted)
        top5.append(wanted in order[:5])
    rng = np.random.default_rng(1)
    further, nearest = [], []
    for label in sorted(left_out):
        mine = np.flatnonzero(data.labels == label)
        groups = sorted(set(data.groups[mine]))
        for row in rng.choice(mine, min(25, len(mine)), replace=False):
            others = [g for g in groups if g != data.groups[row]]
            chosen = rng.choice(others, min(3, len(others)), replace=False)
            query = unit(np.mean([space[rng.choice(mine[data.groups[mine] == g])] for g in chosen], axis=0))
            rivals = means @ space[row] < query @ space[row]
            further.append(rivals.mean())
            nearest.append(rivals.all())
    seen_ones = f"seen: top-1 {np.mean(top1):.3f}, top-5 {np.mean(top5):.3f}"
    unseen = f"further away {np.mean(further):.3f}, all of them {np.mean(nearest):.3f}"
    return f"{seen_ones}; unseen, by three recordings: {unseen}"


def classes(data: Windows, space: np.ndarray, logits: np.ndarray, count: int) -> str:
    train = data.splits == "train"
    labels = sorted(set(data.labels))
    means = np.stack(
        [
            mean_of_recordings(space[m], data.groups[m])
            for m in (train & (data.labels == label) for label in labels)
        ]
    )
    named: dict[str, list[int]] = {}
    names = read_class_names()
    for name, owners in read_classes(labels).items():
        for label in owners:
            named.setdefault(label, []).append(names.index(name))
    cosine, rank = [], []
    for label, numbers in named.items():
        others = train & (data.labels != label)
        places = class_places(space[others], logits[others][:, numbers], data.groups[others], count)
        place = unit(places.mean(0))
        own = labels.index(label)
        cosine.append(place @ means[own])
        rank.append((means @ place > cosine[-1]).sum())
    rank = np.array(rank)
    sample = f"{len(named)} labels by their classes, {count} recordings each"
    found = f"{sample}: cosine to the label's own place {np.mean(cosine):.3f}"
    return f"{found}, nearest of all labels {np.mean(rank == 0):.2f}, among five {np.mean(rank < 5):.2f}"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--trunk", required=True, type=Path)
    options.add_argument("--corpus", required=True, type=Path)
    options.add_argument("--windows", type=Path, help="kept here, since it takes minutes to make")
    given = options.parse_args()
    corpus, trunk = Corpus(given.corpus), YamnetTrunk().eval()
    content = load_trunk(given.trunk, NAME, trunk)
    if given.windows is not None and given.windows.exists():
        with np.load(given.windows) as kept:
            features, clip = kept["features"], kept["clip"]
    else:
        found = embed_windows(
            trunk, corpus, lambda done, total: print(f"\r{done}/{total}", end="", flush=True)
        )
        features, clip = found.features, found.clip
        if given.windows is not None:
            np.savez(given.windows, features=features, clip=clip)
    data = Windows(corpus, features, clip)
    often = [label for label in sorted(set(data.labels)) if len(set(data.groups[data.labels == label])) >= 4]
    left_out = set(np.random.default_rng(0).choice(often, LEFT_OUT, replace=False))
    rows = (data.splits == "train") & ~np.isin(data.labels, list(left_out))
    print(f"the trunk's embedding: {told_apart(data, plain(data, rows), left_out)}")
    labels, groups = data.labels[rows].tolist(), data.groups[rows].tolist()
    for dim, shrinkage in ((384, 0.1), (384, 0.3), (384, 0.6), (256, 0.3), (512, 0.3)):
        space = vectors(
            data, fit(data.features[rows], labels, groups, SpaceConfig(dim=dim, shrinkage=shrinkage)), dim
        )
        print(f"{dim} dimensions, shrinkage {shrinkage}: {told_apart(data, space, left_out)}")
    train = data.splits == "train"
    whole = fit(data.features[train], data.labels[train].tolist(), data.groups[train].tolist(), SpaceConfig())
    logits = (
        data.features @ content["classifier_weight"].float().numpy().T
        + content["classifier_bias"].float().numpy()
    )
    for count in (4, 8, 16):
        print(classes(data, vectors(data, whole, 384), logits, count))


if __name__ == "__main__":
    main()
