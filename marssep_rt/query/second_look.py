"""A second look: what a first pass gave is heard, and the query is asked again with what that tells.

A small policy chooses how far the query is drawn to what came out and to the labels that are heard, and how
strongly the label that stayed behind is pushed away. Its weights belong to the model:
``tests/benchmarks/second_look.py --fit`` reinforces them, and they travel in the bundle's ``sounds.json``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from marssep_rt.arrays import Array
from marssep_rt.utils.vectors import unit_vector

DISTINCT = 0.6  # labels nearer to the query, in cosine similarity, are not pushed away
TEMPERATURE = 0.1  # of the labels that are near the query and heard
LEAST_SHARE = 1e-6
FEATURES = 10


@dataclass(frozen=True)
class Pass:
    """What a first pass gave in one window.

    Attributes:
        target: Unit vector of the target by the audio encoder, [1, D]; [0, 0] where it is silent.
        residual: The same of the residual.
        energies: Of target and input, [2].
    """

    target: Array
    residual: Array
    energies: Array


@dataclass(frozen=True)
class FirstPass:
    """What a first pass gave in a stretch of sound.

    Attributes:
        target: Unit vectors of windows of the target by the audio encoder, [W, D] with W of at least 1.
        residual: The same of the residual.
        share: The target's energy over the input's.
    """

    target: Array
    residual: Array
    share: float

    @classmethod
    def of(cls, passes: Iterable[Pass]) -> FirstPass | None:
        """All of some windows together; None where target or residual is silent in each of them."""
        passes = list(passes)
        out = [x.target for x in passes if len(x.target)]
        rest = [x.residual for x in passes if len(x.residual)]
        if not out or not rest:
            return None
        target, dry = np.sum([x.energies for x in passes], axis=0)
        return cls(np.concatenate(out), np.concatenate(rest), float(target / max(dry, 1e-12)))


@dataclass(frozen=True)
class Choice:
    """One way to ask again.

    Attributes:
        heard: Weight of what came out against the query's own vector.
        labels: Weight of the labels that are near the query and heard.
        away: Length of the vector of the label that is pushed away, 0 to 1; the graph's input ``other``.
        leaked: How much a label counts less as staying behind for being heard in what came out.
    """

    heard: float = 0.0
    labels: float = 0.0
    away: float = 0.0
    leaked: float = 0.5

    def check(self) -> None:
        """Raise ValueError for weights that make no query."""
        if not (0 <= self.away <= 1 and 0 <= self.leaked <= 1):
            raise ValueError("away and leaked are 0 to 1")
        if not (0 <= self.heard < math.inf and 0 <= self.labels < math.inf):
            raise ValueError("heard and labels are at least 0")


@dataclass(frozen=True)
class SecondLook:
    """The policy of a model.

    Attributes:
        vectors: Unit vectors of the training labels, [L, D].
        choices: What it chooses from.
        weights: Of the constant 1 and the features, one row a choice, [C, 1 + FEATURES].
    """

    vectors: Array
    choices: tuple[Choice, ...]
    weights: Array

    @classmethod
    def of(cls, data: Mapping[str, Any], vectors: Array) -> SecondLook:
        """From what a bundle holds; raises ValueError, KeyError or TypeError for anything else."""
        choices = tuple(Choice(**{k: float(v) for k, v in dict(c).items()}) for c in data["choices"])
        for choice in choices:
            choice.check()
        weights = np.array(data["weights"], np.float32)
        if weights.shape != (len(choices), 1 + FEATURES) or not np.isfinite(weights).all():
            raise ValueError(f"the second look needs {len(choices)} x {1 + FEATURES} weights")
        return cls(vectors, choices, weights)

    def dump(self) -> dict[str, Any]:
        """As a bundle holds it."""
        return {
            "choices": [asdict(c) for c in self.choices],
            "weights": np.round(self.weights, 4).astype(float).tolist(),
        }

    @property
    def key(self) -> bytes:
        """Equal for policies that choose alike."""
        return b"".join((repr(self.choices).encode(), self.weights.tobytes(), self.vectors.tobytes()))

    def again(self, query: Array, heard: FirstPass) -> tuple[Array, Array]:
        """What to ask in a second pass.

        Args:
            query: Unit vector of the first pass, [D].
            heard: What it gave.

        Returns:
            Unit vector of the query and the vector of what is pushed away (zeros: nothing), float32 [D].
        """
        if not (self.vectors @ query < DISTINCT).any():
            return query, np.zeros_like(query)  # no label could stay behind
        return self.made(self.choices[self.chosen(query, heard)], query, heard)

    def chosen(self, query: Array, heard: FirstPass) -> int:
        """The number of the most likely choice."""
        scores = self.weights @ np.concatenate([[1.0], self.features(query, heard)])
        return int(np.argmax(scores))

    def features(self, query: Array, heard: FirstPass) -> Array:
        """What the policy decides by, float32 [FEATURES].

        The target's share, how near target and residual are to the query and to each other, how well the
        query is known, and how clearly its nearest label and the one to push away are heard in both.
        """
        near, out, rest = self._cosines(query, heard)
        target, residual = (unit_vector(x.mean(axis=0)) for x in (heard.target, heard.residual))
        nearest, away = int(near.argmax()), self._left_behind(near, out, rest, Choice().leaked)
        distinct = near < DISTINCT
        return np.array(
            [
                math.log10(max(heard.share, LEAST_SHARE)),
                target @ query,
                residual @ query,
                near[nearest],
                out[nearest],
                out[distinct].max() - out[nearest],
                rest[away],
                near[away],
                rest[away] - out[away],
                target @ residual,
            ],
            np.float32,
        )

    def made(self, choice: Choice, query: Array, heard: FirstPass) -> tuple[Array, Array]:
        """What a choice asks, see ``again``."""
        near, out, rest = self._cosines(query, heard)
        likely = (near + np.maximum(out, rest)) / TEMPERATURE
        meant = unit_vector(np.exp(likely - likely.max()) @ self.vectors)
        vector = unit_vector(query + choice.labels * meant)
        vector = unit_vector(vector + choice.heard * unit_vector(heard.target.mean(axis=0)))
        away = self.vectors[self._left_behind(near, out, rest, choice.leaked)]
        return vector, (choice.away * away).astype(np.float32)

    def _cosines(self, query: Array, heard: FirstPass) -> tuple[Array, Array, Array]:
        """Of every label to the query, and to the window of target and of residual that it is nearest to."""
        out, rest = ((self.vectors @ x.T).max(axis=1) for x in (heard.target, heard.residual))
        return self.vectors @ query, out, rest

    @staticmethod
    def _left_behind(near: Array, out: Array, rest: Array, leaked: float) -> int:
        """The label that is clearest in the residual and least in the target, of those unlike the query."""
        return int(np.argmax(np.where(near < DISTINCT, rest - leaked * out, -np.inf)))
