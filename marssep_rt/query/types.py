"""An embedded query."""

from __future__ import annotations

from dataclasses import dataclass

from marssep_rt.arrays import Array


@dataclass(frozen=True)
class Query:
    """A unit vector [D], the encoder that it belongs to, words for people, and what must be said about parts far from all known sounds."""

    vector: Array
    encoder: str
    label: str
    doubts: tuple[str, ...] = ()
