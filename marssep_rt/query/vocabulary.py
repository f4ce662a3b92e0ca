"""The sounds that the separator was trained on: how far a query is from all of them, and which of them an example shows.

A bundle's ``sounds.json`` holds the vectors of the trained labels and, for each kind of query, the similarity to the nearest of them
under which a query counts as unknown (fitted by marssep-train vocabulary).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from marssep_rt.arrays import Array
from marssep_rt.errors import BundleError
from marssep_rt.model.bundle import Bundle

FILE = "sounds.json"
EXAMPLES = ("audio", "image")
EVIDENCE = 0.4  # how much another part of a query weighs against an example's own similarity
OWN = 0.5  # how much of an example stays beside the sound that it is taken for


@dataclass(frozen=True)
class KnownSounds:
    """``labels`` and their unit ``vectors`` [L, D]; ``thresholds``: kind of query -> least cosine of a known one."""

    labels: tuple[str, ...]
    vectors: Array
    thresholds: dict[str, float]

    @classmethod
    def of(cls, bundle: Bundle) -> KnownSounds | None:
        """What the bundle says; None where it says nothing. Raises BundleError for a damaged file."""
        if not bundle.has(FILE):
            return None
        try:
            data = json.loads(bundle.read(FILE))
            vectors = np.frombuffer(base64.b64decode(data["vectors"]), np.float16).astype(np.float32)
            labels = tuple(map(str, data["labels"]))
            return cls(labels, vectors.reshape(len(labels), bundle.query_dim), {k: float(v) for k, v in data["thresholds"].items()})
        except (ValueError, KeyError, TypeError) as e:
            raise BundleError(f"{FILE} in the bundle {bundle.path} cannot be read") from e

    def dump(self, encoder: str, figures: dict[str, Any]) -> bytes:
        """The content of ``sounds.json``; ``figures``: how well the thresholds tell known from unknown."""
        packed = base64.b64encode(self.vectors.astype(np.float16).tobytes()).decode()
        data = {"encoder": encoder, "labels": list(self.labels), "thresholds": self.thresholds, "figures": figures, "vectors": packed}
        return (json.dumps(data, ensure_ascii=False, indent=1) + "\n").encode()

    def nearest(self, vector: Array, count: int = 3) -> list[tuple[str, float]]:
        """The nearest trained labels and their cosines, nearest first."""
        similarity = self.vectors @ vector
        return [(self.labels[i], float(similarity[i])) for i in np.argsort(-similarity)[:count]]

    def settle(self, parts: Sequence[tuple[str, Array]]) -> list[tuple[Array, str]]:
        """A query's (kind, unit vector) parts as (unit vector, label): examples are drawn to the trained sound that they show, words stay
        ("").

        A recording's or picture's vector lies beside its label's and the separator follows it worse than the label itself, so the nearest
        label is put before it (OmniSep's Query-Aug keeps nothing else); an example further from all of them than known ones are stays what
        it is. What is nearest is decided with the other parts in mind: words, or more pictures, tell a violin from a viola.
        """
        similarity = [self.vectors @ v for _, v in parts]
        settled = []
        for (kind, vector), own in zip(parts, similarity, strict=True):
            if kind in EXAMPLES and own.max() >= self.thresholds.get(kind, np.inf):
                best = int((own + EVIDENCE * (np.sum(similarity, axis=0) - own)).argmax())
                drawn = self.vectors[best] + OWN * vector
                settled.append((drawn / np.linalg.norm(drawn), self.labels[best]))
            else:
                settled.append((vector, ""))
        return settled

    def doubt(self, vector: Array, kind: str, name: str) -> str | None:
        """A warning where a query of ``kind`` (text, audio, image) is further from all labels than what is known; else None."""
        near = self.nearest(vector)
        if kind not in self.thresholds or near[0][1] >= self.thresholds[kind]:
            return None
        sounds = ", ".join(label for label, _ in near)
        return f"“{name}” is far from every sound that the model was trained on; the nearest are {sounds}; expect a poor separation"
