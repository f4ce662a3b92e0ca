"""What came of a whole recording: whether the target sound was in it, and how loud the output is."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np

from marssep_rt.arrays import Array
from marssep_rt.dsp.mixer import Controls
from marssep_rt.dsp.presence import (
    FLOOR_DB,
    HEARD_SECONDS,
    PRESENCE_THRESHOLD,
    PresenceCurve,
    WindowEncoder,
    share_db,
)

MOST_WINDOWS = 6  # of a recording, for the audio encoder: those in which the target is loudest
QUIETEST_DB = -120.0


@dataclass(frozen=True)
class Match:
    """How well a query matched a recording.

    Attributes:
        presence: Presence of the target where it is clearest, 0..1.
        output_level_db: Energy of the output relative to the input in dB, at least -120; 0 for silence.
        silent: Whether the input is silence.
        removed: Whether the output is the residual.
    """

    presence: float
    output_level_db: float
    silent: bool = False
    removed: bool = False

    def sentence(self, label: str) -> str:
        """In words: "cat: hardly there (0.12), output 35 dB below the input".

        Of a residual: "cat: there to remove (0.93), output 2.4 dB below the input". Most of the input stays
        there, so tenths of a dB count.
        """
        if self.silent:
            return f"{label}: the input is silent"
        found = "there" if self.presence >= PRESENCE_THRESHOLD else "hardly there"
        found += " to remove" if self.removed else ""
        level = round(self.output_level_db, 1 if self.removed else None)
        if level <= QUIETEST_DB:
            loud = "the output is silent"
        elif level == 0:
            loud = "output as loud as the input"
        else:
            loud = f"output {abs(level)} dB {'below' if level < 0 else 'above'} the input"
        return f"{label}: {found} ({self.presence:.2f}), {loud}"


class MatchMeter:
    """Measures a match in bounded memory: ``add`` takes every step of a stream, ``result`` ends it.

    Args:
        rate: Sample rate of the model in Hz.
        curve: The model's presence curve.
    """

    def __init__(self, rate: int, curve: PresenceCurve) -> None:
        self.curve, self.size = curve, round(HEARD_SECONDS * rate)
        self.energies = np.zeros(3)  # of target and input, and their product, summed over all samples
        self._mono: list[Array] = []  # of the window that is being filled
        self._window = np.zeros(2)  # its energies of target and input
        self._loudest: list[tuple[float, int, float, Array]] = []  # energy, number, share in dB, mono target
        self._numbers: Iterator[int] = count()

    def add(self, target: Array, dry: Array) -> None:
        """A step of target and aligned input, [C, n] each."""
        energies = [float(np.vdot(a, b)) for a, b in ((target, target), (dry, dry), (target, dry))]
        self.energies += energies
        self._window += energies[:2]
        self._mono.append(target.mean(axis=0))
        if sum(map(len, self._mono)) >= self.size:
            self._close(target.shape[0])

    def _close(self, channels: int) -> None:
        """Keep the window if its target is among the loudest."""
        mono, (target, dry) = np.concatenate(self._mono), self._window / channels
        self._mono, self._window = [], np.zeros(2)
        if 10 * math.log10(dry / len(mono) + 1e-12) < FLOOR_DB:
            return
        entry = (target, next(self._numbers), share_db(target / len(mono), dry / len(mono)), mono)
        heapq.heappush(self._loudest, entry)
        if len(self._loudest) > MOST_WINDOWS:
            heapq.heappop(self._loudest)

    def result(self, controls: Controls, sounds: Array, encoder: WindowEncoder | None) -> Match:
        """The match of everything that was added.

        Args:
            controls: The mixer settings of the output.
            sounds: Unit vectors of the query's sounds, [K, D].
            encoder: The audio encoder, if the bundle has one.
        """
        if self._mono:
            self._close(1)
        presence = 0.0
        for _, _, share, mono in self._loudest:
            similarity = None
            if encoder is not None and np.any(mono):
                similarity = float((sounds @ encoder.embed_windows([mono])).max())
            presence = max(presence, self.curve.probability(share, similarity))
        (a, b), (target, dry, both) = controls.coefficients(), self.energies
        output = a * a * target + b * b * dry + 2 * a * b * both
        if dry <= 0:
            return Match(presence, 0.0, True, controls.remove)
        level = max(QUIETEST_DB, 10 * math.log10(max(output, 0.0) / dry + 1e-12))
        return Match(presence, level, removed=controls.remove)
