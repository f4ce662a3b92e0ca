"""Graph, aligned dry path and mixer: the one signal path that live runs, files and the Python API share."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort

from marssep_rt.arrays import Array
from marssep_rt.contract import MIXER
from marssep_rt.dsp.mixer import Controls, Mixer
from marssep_rt.dsp.query_streams import QueryStreams
from marssep_rt.errors import UsageError
from marssep_rt.model.stream import GraphStream
from marssep_rt.query.types import Query

TRIALS = 3  # of a new number of streams, before it is used


@dataclass(frozen=True)
class QueryChange:
    """A change of query that is ready to be made between two hops.

    Attributes:
        streams: The inputs of the graph.
        graph: A warm stream of the graph with another number of streams; None if the present one serves.
    """

    streams: QueryStreams
    graph: GraphStream | None = None


class StreamProcessor:
    """Separates one stream, ``hops`` hops at a time.

    The output is late by the graph's latency. Samples that are not finite count as silence.

    Args:
        session: The session of the separator.
        provider: The provider that it runs on.
        channels: 1 or 2.
        query: A query or a unit vector [D]; or several queries or vectors [N, D] for one channel: the output
            then has one row for each.
        controls: The mixer settings.
        hops: Hops per step.
    """

    def __init__(
        self,
        session: ort.InferenceSession,
        provider: str,
        channels: int,
        query: Array | Query | Sequence[Query],
        controls: Controls,
        hops: int = 1,
    ) -> None:
        self.queries = _queries(query)
        several = len(self.queries)
        if several > 1 and channels > 1:
            raise ValueError("several queries are asked of one channel")
        self.session, self.channels, self.hops = session, channels, hops
        streams = QueryStreams.of(self.queries, GraphStream.can_mix(session))
        self.stream = GraphStream(session, provider, channels, len(streams.owner), hops)
        self.info = self.stream.info
        self.size = hops * self.info.hop
        self.controls = controls
        self.rows = channels if several == 1 else several
        self.mixer = Mixer(controls, self.rows, self.size)
        self.delay: Array = np.zeros((channels, self.info.latency + self.size), np.float32)
        self.out: Array = np.zeros((self.rows, self.size), np.float32)
        self.dry: Array = self.delay[:, : self.size]
        self.nan_samples = 0
        self._streams_to_be = len(streams.owner)  # once the prepared changes are made
        self._take(streams)

    @property
    def streams(self) -> int:
        """How many masks are computed at once."""
        return len(self.stream.query)

    def prepare(self, query: Array | Query, which: int = 0, most_seconds: float = math.inf) -> QueryChange:
        """Prepare a change of query; takes tens of milliseconds where the number of its sounds changes.

        Changes are to be made in the order in which they were prepared.

        Args:
            query: A query or a unit vector [D].
            which: Index of the target.
            most_seconds: What a step may take.

        Raises:
            UsageError: So many sounds take longer; nothing has changed.
        """
        queries = [*self.queries]
        (queries[which],) = _queries(query)
        streams = QueryStreams.of(queries, self.stream.mixes)
        count, graph = len(streams.owner), None
        if count != self._streams_to_be:
            graph = GraphStream(self.session, self.stream.provider, self.channels, count, self.hops)
            if (seconds := _step_seconds(graph)) > most_seconds and count > self._streams_to_be:
                raise UsageError(
                    f"{count} sounds at once take {1e3 * seconds:.0f} ms where there are "
                    f"{1e3 * most_seconds:.0f} ms on this machine; name fewer"
                )
        self.queries, self._streams_to_be = queries, count
        return QueryChange(streams, graph)

    def apply(self, change: QueryChange) -> None:
        """Make a prepared change, between two steps; see ``set_query``."""
        if change.graph is not None:
            change.graph.take_state(self.stream, change.streams.owner)
            self.stream = change.graph
        self._take(change.streams)

    def set_query(self, query: Array | Query, which: int = 0) -> None:
        """From the next step on; state is kept, and overlap-add cross-fades the two masks over one hop."""
        self.apply(self.prepare(query, which))

    def _take(self, streams: QueryStreams) -> None:
        self.stream.query[...] = streams.query
        self.stream.other[...] = streams.other
        self.stream.also[...] = streams.also
        self.stream.drop[...] = streams.drop
        self.target: Array = self.stream.target[: len(self.queries)].reshape(self.rows, self.size)
        # graphs that cannot put masks together: stream j is added to target i
        self._added = [] if self.stream.mixes else [(int(i), int(j)) for i, j in np.argwhere(streams.also)]

    def set_controls(self, controls: Controls) -> None:
        """From the next hop on, ramped over it."""
        self.controls = controls
        self.mixer.set(controls)

    def process(self, hop_in: Array) -> Array:
        """One step [C, n] -> [C, n] or [N, n]; the returned array is reused by the next call."""
        n = self.size
        audio = self.stream.audio[0]
        audio[...] = hop_in
        with np.errstate(over="ignore"):  # that is what it is asked for
            energy = np.dot(audio.ravel(), audio.ravel())
        if not np.isfinite(energy):
            bad = ~np.isfinite(audio)
            self.nan_samples += int(bad.sum())
            audio[bad] = 0.0
            # finite but absurd: keep the state sane
            np.clip(audio, -MIXER.largest_sample, MIXER.largest_sample, out=audio)
        if len(self.stream.audio) > 1:
            self.stream.audio[1:] = audio
        self.delay[:, :-n] = self.delay[:, n:]
        self.delay[:, -n:] = audio
        self.stream.run()
        for i, j in self._added:
            self.stream.target[i] += self.stream.target[j]
        self.mixer.run(self.target, self.dry, self.out)
        return self.out

    def reset(self) -> None:
        """As fresh; controls jump to their wanted values."""
        self.stream.reset()
        self.delay.fill(0.0)
        self.out.fill(0.0)
        self.mixer.jump()
        self.nan_samples = 0


def _step_seconds(graph: GraphStream) -> float:
    """Warm a stream up; returns the shortest of some steps in seconds."""
    times = []
    for _ in range(TRIALS):
        began = time.perf_counter()
        graph.run()
        times.append(time.perf_counter() - began)
    graph.reset()
    return min(times)


def _queries(query: Array | Query | Sequence[Query]) -> list[Query]:
    """One query a target; vectors stand for themselves."""
    if isinstance(query, np.ndarray):
        return [Query(vector, "", "vector") for vector in np.atleast_2d(query)]
    return [query] if isinstance(query, Query) else list(query)
