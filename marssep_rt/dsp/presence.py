"""Presence: how likely the target sound is in the input right now.

Two measures enter: the target's share of the input energy, and, if the bundle has an audio encoder, the
cosine similarity of the target's embedding and the query. A logistic curve over both gives a number between 0
and 1. The curve belongs to the model: ``tests/benchmarks/presence.py --fit`` fits it on mixtures of the split
``val`` with the sound present and absent, and it travels in the graph's metadata.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from marssep_rt.arrays import Array
from marssep_rt.contract import OLD_BUNDLES, PRESENCE

SMOOTHING_SECONDS = PRESENCE.smoothing_seconds
FLOOR_DB = PRESENCE.floor_db  # an input below is silence, in which nothing is present
HEARD_SECONDS = PRESENCE.window_seconds  # of target, for the audio encoder
PRESENCE_THRESHOLD = PRESENCE.threshold  # from here on the sound counts as present


class WindowEncoder(Protocol):
    """An audio encoder, as far as presence needs one."""

    def embed_windows(self, windows: Sequence[Array]) -> Array:
        """Equally long windows [T] -> one unit vector [D]."""
        ...


def share_db(target_energy: float, input_energy: float) -> float:
    """The target's share of the input's energy in dB, -60..0."""
    return max(FLOOR_DB, min(0.0, 10 * math.log10((target_energy + 1e-12) / (input_energy + 1e-12))))


@dataclass(frozen=True)
class PresenceCurve:
    """Logistic curves of one model.

    Attributes:
        both: Constant, weight per dB of the target's share, weight per unit of similarity.
        share: Constant and weight per dB, for bundles without an audio encoder.
    """

    both: tuple[float, float, float] = OLD_BUNDLES.presence_both
    share: tuple[float, float] = OLD_BUNDLES.presence_share

    @classmethod
    def of(cls, metadata: Mapping[str, Sequence[float]]) -> PresenceCurve:
        """The curve in a graph's metadata; that of the first models for graphs that bring none."""
        if not metadata:
            return cls()
        (constant, per_db, per_similarity), (alone, alone_per_db) = metadata["both"], metadata["share"]
        return cls((constant, per_db, per_similarity), (alone, alone_per_db))

    def probability(self, share: float, similarity: float | None) -> float:
        """0..1 from the share in dB and the cosine of target and query (None: not known)."""
        if similarity is None:
            x = self.share[0] + self.share[1] * share
        else:
            x = self.both[0] + self.both[1] * share + self.both[2] * similarity
        return 1 / (1 + math.exp(-max(-50.0, min(50.0, x))))


class PresenceMeter:
    """Measures presence.

    The model's thread calls ``add`` for every hop. Any thread reads ``presence``. ``listen`` takes tens of
    milliseconds and belongs to a thread of its own.

    Args:
        channels: Channels of the target.
        hop: In samples.
        rate: Sample rate in Hz.
        curve: The model's curve.
    """

    def __init__(self, channels: int, hop: int, rate: int, curve: PresenceCurve | None = None) -> None:
        self.curve = curve or PresenceCurve()
        self.keep = math.exp(-hop / rate / SMOOTHING_SECONDS)
        self.hop, self.rate = hop, rate
        self.target_energy = self.input_energy = 0.0  # a sample, smoothed
        self.weight = 0.0  # how much of the smoothing is filled
        length = round(HEARD_SECONDS * rate) // hop * hop
        self.heard: Array = np.zeros(length, np.float32)  # a circle of mono target
        self.input: Array = np.zeros(length, np.float32)  # and of input
        self.at = 0
        self.mono: Array = np.zeros(hop, np.float32)
        self.scale = np.float32(1 / channels)
        self.similarity: float | None = None

    def add(self, target: Array, dry: Array) -> None:
        """One hop of target and aligned input, [C, hop] each."""
        k = self.keep
        self.target_energy = (
            k * self.target_energy + (1 - k) * float(np.dot(target.ravel(), target.ravel())) / target.size
        )
        self.input_energy = (
            k * self.input_energy + (1 - k) * float(np.dot(dry.ravel(), dry.ravel())) / dry.size
        )
        self.weight = k * self.weight + 1 - k
        for sound, circle, scale in (
            (target, self.heard, self.scale),
            (dry, self.input, np.float32(1 / len(dry))),
        ):
            np.sum(sound, axis=0, out=self.mono)
            np.multiply(self.mono, scale, out=circle[self.at : self.at + self.hop])
        self.at = (self.at + self.hop) % len(self.heard)

    def listen(self, encoder: WindowEncoder, sounds: Array) -> Array | None:
        """Embed the last seconds of the target and compare them with the query: its nearest sound counts.

        Args:
            encoder: The audio encoder.
            sounds: Unit vectors of the query's sounds, [K, D] or [D].

        Returns:
            The target's unit vector [D]; None if it is silent.
        """
        heard = self._unrolled(self.heard, self.at)
        if not np.any(heard):
            self.similarity = None
            return None
        vector = encoder.embed_windows([heard])
        self.similarity = float((np.atleast_2d(sounds) @ vector).max())
        return vector

    def recent(self) -> tuple[Array, Array]:
        """The last seconds of target and of the input that is aligned with it, mono, float32 [n] each."""
        at = self.at  # read once: the model's thread moves on
        return self._unrolled(self.heard, at), self._unrolled(self.input, at)

    def recent_input(self) -> Array:
        """The last seconds of input, mono, float32 [n]."""
        return self._unrolled(self.input, self.at)

    @staticmethod
    def _unrolled(circle: Array, at: int) -> Array:
        return np.concatenate([circle[at:], circle[:at]])

    def presence(self) -> float:
        """0..1; 0 where the input is silent."""
        if self.weight < 1e-6 or 10 * math.log10(self.input_energy / self.weight + 1e-12) < FLOOR_DB:
            return 0.0
        return self.curve.probability(share_db(self.target_energy, self.input_energy), self.similarity)

    def forget(self) -> None:
        """For another query: what was heard before says nothing of it."""
        self.similarity = None
        self.heard.fill(0.0)
        self.target_energy = self.input_energy = self.weight = 0.0
