"""What can be asked for during training: phrases of every label and their vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]


class QueryTable:
    """Phrases and unit vectors of each label; a label's first phrase is the label itself."""

    def __init__(self, phrases: dict[str, list[str]], vectors: dict[str, Vectors], encoder: str) -> None:
        self.phrases, self.vectors, self.encoder = phrases, vectors, encoder
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

    def siblings(self, labels: list[str], count: int) -> dict[str, list[str]]:
        """The ``count`` labels nearest in meaning to each of ``labels``, among them."""
        matrix = np.stack([self.label_vector(label) for label in labels])
        similarity = matrix @ matrix.T
        np.fill_diagonal(similarity, -2.0)
        return {label: [labels[j] for j in np.argsort(-similarity[i])[:count]] for i, label in enumerate(labels)}

    def save(self, path: Path) -> None:
        """Written as one ``.npz`` without pickle."""
        labels = [label for label, phrases in self.phrases.items() for _ in phrases]
        phrases = [phrase for group in self.phrases.values() for phrase in group]
        np.savez(path, labels=np.array(labels), phrases=np.array(phrases), encoder=np.array(self.encoder),
                 vectors=np.concatenate(list(self.vectors.values())))  # fmt: skip

    @classmethod
    def load(cls, path: Path) -> QueryTable:
        with np.load(path, allow_pickle=False) as data:
            phrases: dict[str, list[str]] = {}
            rows: dict[str, list[int]] = {}
            for i, (label, phrase) in enumerate(zip(data["labels"], data["phrases"], strict=True)):
                phrases.setdefault(str(label), []).append(str(phrase))
                rows.setdefault(str(label), []).append(i)
            vectors = data["vectors"]
            return cls(phrases, {label: vectors[index] for label, index in rows.items()}, str(data["encoder"]))
