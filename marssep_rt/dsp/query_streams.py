"""Which streams of the graph serve a query: one for each sound that is kept or dropped.

A graph that takes ``also`` and ``drop`` puts the streams' masks together, and the kept sounds' streams know
by ``other`` what is dropped, or what a second look pushes away. Of older graphs the targets are added, and a
negative steers the vectors away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from marssep_rt.arrays import Array
from marssep_rt.query.build import in_one
from marssep_rt.query.types import Query


@dataclass(frozen=True)
class QueryStreams:
    """The inputs of B streams for N targets; the first N streams give the targets.

    Attributes:
        query: Unit vectors [B, D].
        other: Unit vectors [B, D] of what else is there; zeros where nothing is known of it.
        also: [B, B]; 1 where stream j is added to stream i.
        drop: [B, B]; 1 where stream j is taken out of stream i.
        owner: The target that each stream serves.
    """

    query: Array
    other: Array
    also: Array
    drop: Array
    owner: tuple[int, ...]

    @classmethod
    def of(cls, queries: Sequence[Query], mixes: bool) -> QueryStreams:
        """The streams for one query a target.

        Args:
            queries: One for each target.
            mixes: Whether the graph puts masks together.
        """
        kept = [query.kept for query in queries]
        dropped = [query.dropped for query in queries]
        if not mixes:
            kept = [
                np.stack([in_one(sound[None], drop) for sound in keep]) if len(drop) else keep
                for keep, drop in zip(kept, dropped, strict=True)
            ]
            dropped = [drop[:0] for drop in dropped]
        targets = range(len(queries))
        extra = [(i, "also", v) for i in targets for v in kept[i][1:]]
        extra += [(i, "drop", v) for i in targets for v in dropped[i]]
        owner = (*targets, *(i for i, _, _ in extra))
        matrices = {name: np.zeros((len(owner), len(owner)), np.float32) for name in ("also", "drop")}
        for stream, (target, name, _) in enumerate(extra, len(queries)):
            matrices[name][target, stream] = 1.0
        query = np.stack([*(keep[0] for keep in kept), *(vector for _, _, vector in extra)])
        other = np.zeros(query.shape, np.float32)
        for stream, target in enumerate(owner):
            if matrices["drop"][target, stream]:
                continue
            if len(dropped[target]):
                other[stream] = in_one(dropped[target])
            elif (away := queries[target].away) is not None:
                other[stream] = away
        return cls(query.astype(np.float32), other, matrices["also"], matrices["drop"], owner)
