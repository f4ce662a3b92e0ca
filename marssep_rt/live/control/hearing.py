"""What a live run has just heard: by it queries narrow, and look a second time."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import numpy as np

from marssep_rt.arrays import Array
from marssep_rt.dsp.presence import HEARD_SECONDS, WindowEncoder
from marssep_rt.live.realtime.engine import Engine
from marssep_rt.query.audible import heard_in, pass_heard
from marssep_rt.query.build import asked_again, narrowed
from marssep_rt.query.second_look import FirstPass, Pass
from marssep_rt.query.types import Query

INTERVAL_SECONDS = 0.5
WINDOWS = 8  # one every interval: what queries narrow to, and look again at, was heard in this time


class Hearing:
    """Hears the last seconds of a run again and again; ``hear`` takes tens of milliseconds a sound.

    Args:
        engine: The engine that runs.
        encoder: The bundle's audio encoder.
        looks_again: Whether there is a second look.
    """

    def __init__(self, engine: Engine, encoder: WindowEncoder, looks_again: bool) -> None:
        self.engine, self.encoder, self.looks_again = engine, encoder, looks_again
        self.input: deque[Array] = deque(maxlen=WINDOWS)  # unit vectors of windows, [1, D] each
        self.passes: deque[Pass] = deque(maxlen=WINDOWS)
        self.filling = 0  # intervals until a window holds nothing of the query before

    def forget(self) -> None:
        """For another query: what came out and stayed behind is another one's until a window is full again.

        The input is nobody's.
        """
        self.passes.clear()
        self.filling = math.ceil(HEARD_SECONDS / INTERVAL_SECONDS)

    def hear(self, queries: Sequence[Query], target: Array | None = None) -> None:
        """Hear what the queries need: the input if one narrows, target and residual for a second look.

        Args:
            queries: One for each target.
            target: The target's vector [D], where it has been heard already.
        """
        if not any(query.narrowings for query in queries):
            self.input.clear()
        elif len(heard := heard_in([self.engine.recent_input()], self.encoder)):
            self.input.append(heard)
        if not self.looks_again or len(queries) > 1 or queries[0].second_look is None:
            self.passes.clear()
        elif self.filling:
            self.filling -= 1
        else:
            self.passes.append(pass_heard(*self.engine.recent(), self.encoder, target))

    def narrowed(self, query: Query) -> Query:
        """A query narrowed to what was heard of the input."""
        return narrowed(query, np.concatenate(self.input)) if self.input else query

    def asked_again(self, query: Query) -> Query:
        """A query as its second look asks it by what was heard of target and residual."""
        return asked_again(query, FirstPass.of(self.passes))
