"""What can be asked for during training: phrases, recordings and images of every label, as vectors of
one encoder.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from marssep_rt.query.vocabulary import EXAMPLES, Vocabulary
from offline_training.utils.vectors import unit

Vectors = npt.NDArray[np.float32]
# the split of vectors that only training asks with: altered excerpts, vectors by an encoder that never met
# the clip
ROUGH = "rough"
OMNI_WEIGHTS = {"image": 2.0, "text": 2.0, "audio": 1.0}  # OmniSep's query mix-up


@dataclass(frozen=True)
class Examples:
    """Recordings or images of one label as unit vectors [n, D], each with its split (or ROUGH) and its
    group (recording, image).
    """

    vectors: Vectors
    splits: tuple[str, ...]
    groups: tuple[str, ...]

    def of_group(self, group: str) -> npt.NDArray[np.intp]:
        """Row numbers of one recording."""
        return np.array([i for i, g in enumerate(self.groups) if g == group], np.intp)

    def of(self, *splits: str, other_than: str | None = None) -> npt.NDArray[np.intp]:
        """Row numbers in ``splits``, not of the group ``other_than`` where there is another."""
        rows = np.array([i for i, s in enumerate(self.splits) if s in splits], np.intp)
        others = np.array([i for i in rows if self.groups[i] != other_than], np.intp)
        return others if len(others) else rows


def omni(parts: Mapping[str, Vectors | None]) -> Vectors:
    """The blend of queries of several kinds, weighted as in OmniSep as far as there are any. Unit norm."""
    return unit(np.sum([OMNI_WEIGHTS[k] * q for k, q in parts.items() if q is not None], axis=0))


def blend(parts: Sequence[tuple[str, Vectors]], known: Vocabulary | None) -> Vectors:
    """One query from (kind, vector) parts as users ask: examples snapped, parts of a kind averaged, kinds
    weighted by ``omni``.
    """
    vectors = [v for v, _ in known.snap_to_labels(parts)] if known is not None else [v for _, v in parts]
    kinds = [kind for kind, _ in parts]
    means = {
        k: unit(np.mean([v for v, kind in zip(vectors, kinds, strict=True) if kind == k], axis=0))
        for k in dict.fromkeys(kinds)
    }
    return omni(means)


class QueryTable:
    """Phrases and unit vectors of each label; a label's first phrase is the label itself. ``audio`` and
    ``image``: examples, where any.

    ``families``: names of sums of labels -> members, and ``family_vectors`` [phrases, D] of each;
    ``classes``: sounds that have a place in the space, [D], but no recordings in the corpus.
    """

    def __init__(
        self,
        phrases: dict[str, list[str]],
        vectors: dict[str, Vectors],
        encoder: str,
        audio: dict[str, Examples] | None = None,
        image: dict[str, Examples] | None = None,
        families: dict[str, tuple[str, ...]] | None = None,
        family_vectors: dict[str, Vectors] | None = None,
        classes: dict[str, Vectors] | None = None,
    ) -> None:
        self.phrases, self.vectors, self.encoder = phrases, vectors, encoder
        self.audio, self.image = audio or {}, image or {}
        self.families, self.family_vectors, self.classes = families or {}, family_vectors or {}, classes or {}
        self.index = {label: i for i, label in enumerate(phrases)}

    @property
    def dim(self) -> int:
        return int(next(iter(self.vectors.values())).shape[1])

    def vectors_of(self, label: str) -> Vectors:
        """Unit vectors [phrases, D] of a label."""
        return self.vectors[label]

    def label_vector(self, label: str) -> Vectors:
        """The vector of the label's own words, [D]."""
        return self.vectors[label][0]

    @cached_property
    def known(self) -> Vocabulary:
        """The labels with training recordings (all labels, where there are none) as what every example is
        taken for.
        """
        labels = [
            label for label in self.phrases if label in self.audio and "train" in self.audio[label].splits
        ] or list(self.phrases)
        return Vocabulary(
            tuple(labels),
            np.stack([self.label_vector(label) for label in labels]),
            dict.fromkeys(EXAMPLES, -1.0),
        )

    def siblings(self, labels: list[str], count: int) -> dict[str, list[str]]:
        """The ``count`` labels nearest in meaning to each of ``labels``, among them."""
        matrix = np.stack([self.label_vector(label) for label in labels])
        similarity = matrix @ matrix.T
        np.fill_diagonal(similarity, -2.0)
        return {
            label: [labels[j] for j in np.argsort(-similarity[i])[:count]] for i, label in enumerate(labels)
        }

    def held_out_query(self, label: str, kind: str, split: str, seed: int) -> Vectors | None:
        """A query of ``kind`` for measuring on ``split``; None where the label has no such example.

        text: the label; audio: one training recording; image: three images of ``split``; omni: all that
        there are, weighted as in OmniSep. Examples are snapped to labels as in the runtime.
        """
        rng = np.random.default_rng(seed)
        parts: list[tuple[str, Vectors]] = []
        if kind in ("text", "omni"):
            parts.append(("text", self.label_vector(label)))
        if kind in ("audio", "omni") and label in self.audio:
            parts.append(("audio", self.audio[label].vectors[int(rng.choice(self.audio[label].of("train")))]))
        if kind in ("image", "omni") and label in self.image:
            rows = self.image[label].of(split)
            parts += [
                ("image", self.image[label].vectors[i])
                for i in rng.choice(rows, min(3, len(rows)), replace=False)
            ]
        return blend(parts, self.known) if parts else None

    def recordings_query(self, label: str, count: int, other_than: str, seed: int) -> Vectors | None:
        """The mean of ``count`` training or validation recordings of a label but ``other_than``; None where
        there are none.
        """
        examples = self.audio.get(label)
        if examples is None:
            return None
        rng = np.random.default_rng(seed)
        groups = sorted(
            {
                g
                for g, s in zip(examples.groups, examples.splits, strict=True)
                if g != other_than and s in ("train", "val")
            }
        )
        if not groups:
            return None
        chosen = rng.choice(groups, min(count, len(groups)), replace=False)
        clean = {g: [i for i in examples.of_group(g) if examples.splits[i] != ROUGH] for g in chosen}
        return unit(np.mean([examples.vectors[int(rng.choice(rows))] for rows in clean.values()], axis=0))

    def save(self, path: Path) -> None:
        """Written as one ``.npz`` without pickle."""
        labels = [label for label, phrases in self.phrases.items() for _ in phrases]
        phrases = [phrase for group in self.phrases.values() for phrase in group]
        examples: dict[str, Any] = {}
        for kind, table in (("audio", self.audio), ("image", self.image)):
            if table:
                examples[f"{kind}_labels"] = np.array([label for label, e in table.items() for _ in e.splits])
                examples[f"{kind}_splits"] = np.array([s for e in table.values() for s in e.splits])
                examples[f"{kind}_groups"] = np.array([g for e in table.values() for g in e.groups])
                examples[f"{kind}_vectors"] = np.concatenate([e.vectors for e in table.values()])
        if self.families:
            examples["family_names"] = np.array([name for name, v in self.family_vectors.items() for _ in v])
            examples["family_vectors"] = np.concatenate(list(self.family_vectors.values()))
            examples["families"] = np.array(
                [f"{name}\n{label}" for name, members in self.families.items() for label in members]
            )
        if self.classes:
            examples |= {
                "class_names": np.array(list(self.classes)),
                "class_vectors": np.stack(list(self.classes.values())),
            }
        np.savez(
            path,
            labels=np.array(labels),
            phrases=np.array(phrases),
            encoder=np.array(self.encoder),
            vectors=np.concatenate(list(self.vectors.values())),
            **examples,
        )

    @classmethod
    def load(cls, path: Path) -> QueryTable:
        with np.load(path, allow_pickle=False) as stored:
            data = {name: stored[name] for name in stored}  # a lazy file reads an array at every access
        rows = _rows(data["labels"])
        family_vectors: dict[str, Vectors] = {}
        if "families" in data:
            vectors = data["family_vectors"]
            family_vectors = {name: vectors[index] for name, index in _rows(data["family_names"]).items()}
        classes: dict[str, Vectors] = {}
        if "class_names" in data:
            classes = dict(zip(map(str, data["class_names"]), data["class_vectors"], strict=True))
        return cls(
            {label: [str(data["phrases"][i]) for i in index] for label, index in rows.items()},
            {label: data["vectors"][index] for label, index in rows.items()},
            str(data["encoder"]),
            _examples(data, "audio"),
            _examples(data, "image"),
            _families(data.get("families", ())),
            family_vectors,
            classes,
        )


def _examples(data: Mapping[str, npt.NDArray[Any]], kind: str) -> dict[str, Examples]:
    """The examples of a kind by label, of a stored table; none where it has none."""
    if f"{kind}_labels" not in data:
        return {}
    splits, groups, vectors = (data[f"{kind}_{part}"] for part in ("splits", "groups", "vectors"))
    return {
        label: Examples(vectors[index], tuple(map(str, splits[index])), tuple(map(str, groups[index])))
        for label, index in _rows(data[f"{kind}_labels"]).items()
    }


def _families(pairs: Iterable[Any]) -> dict[str, tuple[str, ...]]:
    """Family -> members, of lines "family, line break, member"."""
    found: dict[str, tuple[str, ...]] = {}
    for pair in pairs:
        name, _, label = str(pair).partition("\n")
        found[name] = (*found.get(name, ()), label)
    return found


def _rows(labels: npt.NDArray[np.str_]) -> dict[str, list[int]]:
    """Row numbers of each label, labels in the order in which they first stand."""
    rows: dict[str, list[int]] = {}
    for i, label in enumerate(labels):
        rows.setdefault(str(label), []).append(i)
    return rows
