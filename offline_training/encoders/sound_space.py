"""The query space made of sound: a projection of a pre-trained trunk's embeddings, and where labels, classes
and families lie in it.

What sounds alike lies together, so a separator that is asked by places in this space also follows queries
that it was never trained on. The projection is closed-form (within-class covariance normalisation, then the
principal axes): it keeps what the trunk knows of other sounds. Words are placed by the recordings that they
name:

* a label: the mean of its training recordings;
* a class of the trunk's classifier: the recordings that score highest for it;
* a family: the mean of its members.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from offline_training.data.audio_windows import windows
from offline_training.data.corpus import BACKGROUNDS, Corpus
from offline_training.data.lexicon import read_lines
from offline_training.data.query_table import QueryTable
from offline_training.encoders.audio_image import EncoderShape, TorchAudioEncoder
from offline_training.encoders.tflite_weights import load_trunk
from offline_training.encoders.yamnet import NAME, YamnetMel, YamnetTrunk
from offline_training.utils.checkpoint_io import CheckpointError
from offline_training.utils.precision import half
from offline_training.utils.recipe import Key, share
from offline_training.utils.recipe_files import LEXICON
from offline_training.utils.vectors import unit

SPACE_ID = "marssep-sound-1"  # names the space: queries by text, sound and image all live in it
Features = npt.NDArray[np.float32]


@dataclass(frozen=True)
class SpaceConfig:
    """A recipe of kind space."""

    dim: Annotated[int, Key("Dimensions of the space.", least=1)] = 384
    shrinkage: Annotated[
        float, share("Of the within-class covariance towards a multiple of the identity.")
    ] = 0.3
    unseen: Annotated[tuple[str, ...], Key("Labels that take no part.", named=True)] = ()
    class_recordings: Annotated[
        int, Key("Recordings that say where a class of the classifier lies.", least=1)
    ] = 8


@dataclass(frozen=True)
class Windows:
    """Trunk embeddings of the windows of clips: features [N, 1024], and of each window its clip's number."""

    features: Features
    clip: npt.NDArray[np.int64]


@torch.no_grad()
def embed_windows(
    trunk: YamnetTrunk, corpus: Corpus, report: Callable[[int, int], None] = lambda *_: None
) -> Windows:
    """Mean patch embedding of every loud window of every clip that is not in test."""
    trunk = trunk.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    analysis, precision = YamnetMel(), half()
    found: list[Features] = []
    numbers: list[int] = []
    for i, clip in enumerate(corpus.clips):
        if clip.split != "test":
            pieces = np.stack(windows(corpus.samples(clip)))
            with torch.autocast("cpu", dtype=precision or torch.bfloat16, enabled=precision is not None):
                found.append(trunk(analysis(torch.from_numpy(pieces))).float().mean(1).numpy())
            numbers += [i] * len(pieces)
        report(i + 1, len(corpus.clips))
    return Windows(np.concatenate(found), np.array(numbers))


def recording_weights(labels: Sequence[str], groups: Sequence[str]) -> npt.NDArray[np.float64]:
    """Weights of items, sum 1: recordings of a label count alike, labels by the root of their number of
    recordings.
    """
    items = [f"{label}\n{group}" for label, group in zip(labels, groups, strict=True)]
    _, inverse, counts = np.unique(items, return_inverse=True, return_counts=True)
    of_label: dict[str, set[str]] = {}
    for label, group in zip(labels, groups, strict=True):
        of_label.setdefault(label, set()).add(group)
    sizes = np.array([len(of_label[label]) for label in labels], np.float64)
    weights = 1.0 / counts[inverse] / np.sqrt(sizes)
    return np.asarray(weights / weights.sum(), np.float64)


def fit(
    features: Features, labels: Sequence[str], groups: Sequence[str], config: SpaceConfig
) -> dict[str, Tensor]:
    """``SoundHead``'s mean, deviation and linear map from trunk embeddings [N, F] of training windows."""
    compressed = np.log1p(features).astype(np.float64)
    mean, deviation = compressed.mean(0), compressed.std(0) + 1e-3
    x = (compressed - mean) / deviation
    weights = recording_weights(labels, groups)
    centre = weights @ x
    names = np.array(labels)
    within = np.zeros((x.shape[1], x.shape[1]))
    for label in np.unique(names):
        rows = names == label
        share = weights[rows][:, None]
        apart = x[rows] - (share * x[rows]).sum(0) / share.sum()
        within += apart.T @ (apart * share)
    total = ((x - centre) * weights[:, None]).T @ (x - centre)
    within = (1 - config.shrinkage) * within + config.shrinkage * np.trace(within) / len(within) * np.eye(
        len(within)
    )
    values, vectors = np.linalg.eigh(within)
    whiten = vectors * values**-0.5 @ vectors.T
    axes = np.linalg.eigh(whiten @ total @ whiten)[1][:, ::-1][:, : config.dim]
    axes = axes * np.sign(
        axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])]
    )  # an eigenvector's sign is anybody's choice
    projection = whiten @ axes
    return {
        "mean": tensor(mean),
        "deviation": tensor(deviation),
        "linear.weight": tensor(projection.T),
        "linear.bias": tensor(-centre @ projection),
    }


def tensor(x: npt.NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(x, np.float32))


def mean_of_recordings(vectors: Features, groups: Sequence[str]) -> Features:
    """The unit mean [D] of unit rows, every recording counted once."""
    names = np.array(groups)
    return unit(np.mean([unit(vectors[names == g].mean(0)) for g in np.unique(names)], axis=0))


def class_places(vectors: Features, logits: Features, groups: Sequence[str], count: int) -> Features:
    """Where the classifier's classes lie, [classes, D]: the mean over the ``count`` recordings whose windows
    score highest for a class.

    ``logits`` [N, classes] are standardised over windows: a class that always scores low has its best
    recordings all the same.
    """
    scores = (logits - logits.mean(0)) / (logits.std(0) + 1e-6)
    names = np.array(groups)
    places = np.zeros((logits.shape[1], vectors.shape[1]), np.float32)
    for number in range(logits.shape[1]):
        best: dict[str, int] = {}
        for row in np.argsort(-scores[:, number])[:200]:
            best.setdefault(str(names[row]), int(row))
            if len(best) == count:
                break
        rows = list(best.values())
        share = np.exp(scores[rows, number] - scores[rows, number].max())
        places[number] = unit(share @ vectors[rows] / share.sum())
    return places


def read_families(labels: Collection[str]) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Families of ``recipes/lexicon/families.txt``: name -> (words for it, members among ``labels``), where
    there are two members.
    """
    families = {}
    for name, rest in read_lines(LEXICON / "families.txt"):
        words, _, members = rest.partition(" / ")
        present = tuple(m.strip() for m in members.split(",") if m.strip() in labels)
        if len(present) > 1:
            families[name] = (
                tuple(w.strip() for w in words.split(",") if w.strip() not in ("", "-")),
                present,
            )
    return families


def read_classes(known: Collection[str]) -> dict[str, list[str]]:
    """Which of a classifier's classes are the same sound as a label or family of ours,
    ``recipes/lexicon/classes.txt``: class -> names.
    """
    same: dict[str, list[str]] = {}
    for name, rest in read_lines(LEXICON / "classes.txt"):
        for one in rest.split("|"):
            same.setdefault(one.strip(), []).append(name)
    return {one: [name for name in names if name in known] for one, names in same.items()}


def place_words(
    vectors: Features,
    labels: Sequence[str],
    groups: Sequence[str],
    class_places: Mapping[str, Features],
    unseen: Collection[str],
) -> QueryTable:
    """The table of places: of labels, families and the classes that are neither.

    ``vectors`` [N, D] of training items with their labels and recordings. An unseen label lies where the
    classes of its name lie, or nowhere.
    """
    names = np.array(labels)
    recordings = np.array(groups)
    places: dict[str, Features] = {
        label: mean_of_recordings(vectors[names == label], recordings[names == label])
        for label in sorted(set(labels) - set(unseen))
    }
    same = read_classes({*places, *unseen})
    for label in sorted(unseen):
        mine = [class_places[c] for c, owners in same.items() if label in owners and c in class_places]
        if mine:
            places[label] = unit(np.mean(mine, axis=0))
    families = read_families(places.keys() - set(unseen))
    of_family = {
        name: unit(np.mean([places[m] for m in members], axis=0))[None]
        for name, (_, members) in families.items()
    }
    ours = read_classes({*places, *families})
    own = {c: v for c, v in class_places.items() if not ours.get(c)}
    return QueryTable(
        {label: [label] for label in places},
        {label: v[None] for label, v in places.items()},
        SPACE_ID,
        None,
        None,
        {name: members for name, (_, members) in families.items()},
        of_family,
        own,
    )


def build_ear(trunk: YamnetTrunk, fitted: Mapping[str, Tensor], dim: int) -> TorchAudioEncoder:
    """An audio encoder of the trunk and a fitted head, its correction still zero."""
    encoder = TorchAudioEncoder(EncoderShape(dim=dim, trunk=NAME))
    assert isinstance(encoder.trunk, YamnetTrunk)
    encoder.trunk.load_state_dict(trunk.state_dict())
    encoder.head.load_state_dict({**encoder.head.state_dict(), **fitted})
    return encoder.eval()


@dataclass(frozen=True)
class Space:
    """A fitted space: the audio encoder into it and the places of words in it."""

    ear: TorchAudioEncoder
    places: QueryTable


def make(
    trunk: Path, corpus: Corpus, config: SpaceConfig, report: Callable[[int, int], None] = lambda *_: None
) -> Space:
    """Fit the space on the training clips of a corpus; raises CheckpointError for a trunk of another kind or
    without its classifier.
    """
    network = YamnetTrunk().eval()
    content = load_trunk(trunk, NAME, network)
    if "classifier_weight" not in content:
        raise CheckpointError(
            f"{trunk} has no classifier; make it again with: marssep train trunk yamnet.tflite -o {trunk}"
        )
    found = embed_windows(network, corpus, report)
    clips = [corpus.clips[i] for i in found.clip]
    kept = np.array([c.split == "train" and c.label not in config.unseen for c in clips])
    sounds = np.array([c.label not in BACKGROUNDS for c in clips])
    labels, groups = np.array([c.label for c in clips]), np.array([c.group for c in clips])
    fitting = kept & sounds
    fitted = fit(found.features[fitting], labels[fitting].tolist(), groups[fitting].tolist(), config)
    ear = build_ear(network, fitted, config.dim)
    with torch.no_grad():
        vectors = ear.head(torch.from_numpy(found.features)[:, None]).numpy()
    logits = (
        found.features @ content["classifier_weight"].float().numpy().T
        + content["classifier_bias"].float().numpy()
    )
    places = class_places(vectors[kept], logits[kept], groups[kept].tolist(), config.class_recordings)
    named = dict(zip(read_class_names(), places, strict=True))
    return Space(
        ear, place_words(vectors[kept], labels[kept].tolist(), groups[kept].tolist(), named, config.unseen)
    )


def read_class_names() -> list[str]:
    """Names of the classifier's classes in its order, ``recipes/lexicon/audioset_classes.txt``."""
    return (LEXICON / "audioset_classes.txt").read_text(encoding="utf-8").splitlines()
