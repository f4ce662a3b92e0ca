"""Two passes over a recording: what the first one gave decides how the second one asks, window by window."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from marssep_rt.arrays import Array
from marssep_rt.audio_io.source import AudioSource
from marssep_rt.dsp.mixer import Controls
from marssep_rt.dsp.presence import WindowEncoder
from marssep_rt.dsp.stream_processor import StreamProcessor
from marssep_rt.query.audible import WINDOW_SECONDS, pass_heard
from marssep_rt.query.build import asked_again
from marssep_rt.query.second_look import FirstPass, Pass
from marssep_rt.query.types import Query

BESIDE = 1  # windows before and after one that it is decided by, too
LEAST_OF_A_WINDOW = 0.25  # a shorter rest at the end tells nothing
LONGEST_SECONDS = 30.0  # of a recording: on longer ones a second look gains too little for what it takes


def looks_twice(query: Query, source: AudioSource, controls: Controls) -> bool:
    """Whether a recording is separated twice for a query: if it is short, and the target can be heard in the
    output.
    """
    short = source.seconds is not None and source.seconds <= LONGEST_SECONDS
    return short and query.second_look is not None and controls.coefficients()[0] != 0


class FirstPassMeter:
    """Listens to a first pass and keeps two vectors a window; ``add`` takes every step of a stream.

    Args:
        rate: Sample rate of the model in Hz.
        encoder: The bundle's audio encoder.
    """

    def __init__(self, rate: int, encoder: WindowEncoder) -> None:
        self.size, self.encoder = round(WINDOW_SECONDS * rate), encoder
        self.windows: list[Pass] = []
        self._sounds: list[Array] = []  # mono target and input of the window that is being filled, [2, n]

    def add(self, target: Array, dry: Array) -> None:
        """A step of target and aligned input, [C, n] each."""
        self._sounds.append(np.stack([target.mean(axis=0), dry.mean(axis=0)]))
        if sum(x.shape[1] for x in self._sounds) >= self.size:
            self.close()

    def close(self) -> None:
        """End the window that is being filled, if there is one; the last one ends with silence."""
        if not self._sounds:
            return
        sounds = np.concatenate(self._sounds, axis=1)
        here, later = sounds[:, : self.size], sounds[:, self.size :]
        self._sounds = [later] if later.shape[1] else []
        if self.windows and here.shape[1] < LEAST_OF_A_WINDOW * self.size:
            return
        target, dry = np.pad(here, ((0, 0), (0, self.size - here.shape[1])))
        self.windows.append(pass_heard(target, dry, self.encoder))


class SecondPass:
    """Asks window by window what a first pass says; ``steer`` is called before every step.

    Args:
        query: The query of the first pass.
        windows: What it gave.
        size: Samples of a window.
    """

    def __init__(self, query: Query, windows: Sequence[Pass], size: int) -> None:
        self.query, self.windows, self.size = query, windows, size
        self.done, self.number = 0, -1

    def steer(self, processor: StreamProcessor) -> None:
        """Ask what belongs to the samples of the next step."""
        number = min(self.done // self.size, len(self.windows) - 1)
        if number > self.number:
            self.number = number
            processor.set_query(asked_beside(self.query, self.windows, number))
        self.done += processor.size


def asked_beside(query: Query, windows: Sequence[Pass], number: int) -> Query:
    """The query of one window, by what it and those beside it gave."""
    return asked_again(query, FirstPass.of(windows[max(0, number - BESIDE) : number + BESIDE + 1]))
