"""What can be heard: the labels that the audio encoder finds in a recording, window by window."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from marssep_rt.arrays import Array
from marssep_rt.query.second_look import Pass
from marssep_rt.query.vocabulary import Vocabulary

WINDOW_SECONDS = 2.0
SILENCE_DB = -60.0  # windows below hold nothing
MOST_A_WINDOW, MOST = 3, 10  # labels
KIND = "audio"  # the threshold of the vocabulary from which on a label counts as heard


class WindowEncoder(Protocol):
    """An audio encoder."""

    def embed_windows(self, windows: Sequence[Array]) -> Array:
        """Equally long windows [T] -> one unit vector [D]."""
        ...


@dataclass(frozen=True)
class AudibleSound:
    """A label that was heard.

    Attributes:
        label: The training label.
        stretches: (start, end) in seconds, in order.
        level_db: Level of everything that sounds there, rms in dBFS.
        similarity: Largest cosine similarity.
    """

    label: str
    stretches: tuple[tuple[float, float], ...]
    level_db: float
    similarity: float

    def __str__(self) -> str:
        """In one line: "dog barking  0:02-0:06, 0:10-0:12  -23 dBFS"."""
        times = ", ".join(f"{_clock(a)}-{_clock(b)}" for a, b in self.stretches)
        return f"{self.label}  {times}  {self.level_db:.0f} dBFS"


def audible_sounds(
    windows: Iterable[Array], rate: int, encoder: WindowEncoder, known: Vocabulary
) -> list[AudibleSound]:
    """The sounds of a recording, those that are heard longest first.

    Args:
        windows: Consecutive mono windows of equal length, float32 [T].
        rate: Sample rate in Hz.
        encoder: The audio encoder.
        known: The vocabulary. A label is heard where its similarity reaches the threshold of audio queries.
    """
    labels, vectors = known.labels[: known.trained], known.vectors[: known.trained]
    found: dict[int, list[tuple[int, float, float]]] = {}  # label -> (window, power, similarity)
    seconds = WINDOW_SECONDS
    for number, window in enumerate(windows):
        seconds = len(window) / rate
        power = _power(window)
        if _is_silent(power):
            continue
        similarity = vectors @ encoder.embed_windows([window])
        for i in _apart(similarity, known):
            found.setdefault(i, []).append((number, power, float(similarity[i])))
    order = sorted(found, key=lambda i: -sum(similarity for _, _, similarity in found[i]))
    return [_sound(labels[i], found[i], seconds) for i in order[:MOST]]


def heard_in(windows: Iterable[Array], encoder: WindowEncoder) -> Array:
    """What the audio encoder hears, window by window.

    Args:
        windows: Mono windows of equal length, float32 [T].
        encoder: The audio encoder.

    Returns:
        Unit vectors of those windows that are not silent, float32 [W, D]; W is 0 if all of them are.
    """
    heard = [encoder.embed_windows([window]) for window in windows if not _is_silent(_power(window))]
    return np.stack(heard) if heard else np.zeros((0, 0), np.float32)


def pass_heard(target: Array, dry: Array, encoder: WindowEncoder, known: Array | None = None) -> Pass:
    """What the audio encoder hears of one window of a first pass.

    Args:
        target: Mono, float32 [T].
        dry: The input that is aligned with it, likewise.
        encoder: The audio encoder.
        known: The target's vector [D], where it has been heard already.
    """
    if known is None or _is_silent(_power(target)):
        out = heard_in([target], encoder)
    else:
        out = known[None]
    return Pass(out, heard_in([dry - target], encoder), np.array([target @ target, dry @ dry]))


def _power(window: Array) -> float:
    return float(np.mean(np.square(window, dtype=np.float64)))


def _is_silent(power: float) -> bool:
    return 10 * math.log10(power + 1e-12) < SILENCE_DB


def _apart(similarity: Array, known: Vocabulary) -> list[int]:
    """The labels of a window, nearest first: of labels that lie beside each other only the nearest counts."""
    kept: list[int] = []
    for i in np.argsort(-similarity):
        if similarity[i] < known.thresholds.get(KIND, 1.0) or len(kept) == MOST_A_WINDOW:
            break
        if not kept or (known.vectors[kept] @ known.vectors[i]).max() <= known.sibling_cosine:
            kept.append(int(i))
    return kept


def _sound(label: str, heard: Sequence[tuple[int, float, float]], seconds: float) -> AudibleSound:
    """A label with its neighbouring windows joined."""
    stretches: list[tuple[float, float]] = []
    for number, _, _ in heard:
        start, end = number * seconds, (number + 1) * seconds
        if stretches and abs(stretches[-1][1] - start) < 1e-6:
            start = stretches.pop()[0]
        stretches.append((start, end))
    level = 10 * math.log10(float(np.mean([power for _, power, _ in heard])) + 1e-12)
    return AudibleSound(label, tuple(stretches), level, max(s for _, _, s in heard))


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
