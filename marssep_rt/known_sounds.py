"""Honest open vocabulary: how far a query is from everything that the separator was trained on.

A bundle's ``sounds.json`` holds the vectors of the trained labels and, for each kind of query, the similarity to the nearest of them
under which a query counts as unknown (fitted by marssep-train vocabulary).
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from marssep_rt.bundle import Bundle, BundleError

Array = npt.NDArray[np.float32]
FILE = "sounds.json"


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

    def doubt(self, vector: Array, kind: str, name: str) -> str | None:
        """A warning where a query of ``kind`` (text, audio, image) is further from all labels than what is known; else None."""
        near = self.nearest(vector)
        if kind not in self.thresholds or near[0][1] >= self.thresholds[kind]:
            return None
        sounds = ", ".join(label for label, _ in near)
        return f"“{name}” is far from every sound that the model was trained on; the nearest are {sounds}; expect a poor separation"
