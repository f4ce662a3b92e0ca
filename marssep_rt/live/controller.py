"""What can be changed while a live run goes on: by keys, over OSC, from any thread. The audio path never waits for any of it.

Words and recordings are embedded on a thread of their own; the engine takes the finished vector between two hops.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from marssep_rt.arrays import Array
from marssep_rt.audio_io.recorder import Recorder
from marssep_rt.dsp.mixer import Controls
from marssep_rt.dsp.presence import HERE
from marssep_rt.errors import MarssepError, SoundError
from marssep_rt.live.engine import Engine
from marssep_rt.model.bundle import Bundle
from marssep_rt.query.audio_input import loud, windows_of
from marssep_rt.query.build import combine
from marssep_rt.query.encoders import AudioEncoder, audio_encoder
from marssep_rt.query.types import Query
from marssep_rt.query.vocabulary import KnownSounds

LEARN_SECONDS = 3.0
LISTEN_EVERY = 0.5  # seconds between two looks of the audio tower
UNMATCHED_SECONDS = 3.0
WET_STEP, GAIN_STEP, LIMIT_STEP, MOST_LIMIT = 0.1, 1.0, 6.0, 30.0


def learn_query(bundle: Bundle, sound: Array, rate: int) -> Query:
    """The query of a stretch of sound, float32 [n] at ``rate``; raises SoundError where it is silent, QueryError without audio tower."""
    encoder = audio_encoder(bundle.path)
    windows = loud(windows_of([sound], rate, encoder.sample_rate, encoder.hop), "what was just heard")
    vector, label = encoder.embed_windows(windows), ""
    if known := KnownSounds.of(bundle):
        ((vector, label),) = known.settle([("audio", vector)])
    return Query(vector, bundle.encoder, f"what was heard ({label})" if label else "what was heard")


class LiveControl:
    """The state of a run as its user sees and changes it; every method may be called from any thread."""

    def __init__(self, engine: Engine, bundle: Bundle, queries: Sequence[Query], controls: Controls, free_name: Callable[[], Path]) -> None:
        self.engine, self.bundle, self.queries, self.controls = engine, bundle, list(queries), controls
        self.which = 0  # of several targets the one that is changed and watched
        self.free_name = free_name  # of the next recording that is begun while running
        self.began = time.monotonic()
        self.message = ""
        self.asked: list[tuple[float, str]] = [(0.0, query.label) for query in queries]
        self.timeline: list[tuple[float, float]] = []
        self.recorders: list[Recorder] = []
        self.quit = False
        self.here_at = self.began  # when the sound was last there, or the query new
        self._pool = ThreadPoolExecutor(1, "marssep-queries")
        self._listener: threading.Thread | None = None
        self._closing = threading.Event()

    @property
    def query(self) -> Query:
        return self.queries[self.which]

    def label(self) -> str:
        """What is listened for, of several targets with their output channels."""
        if len(self.queries) == 1:
            return self.query.label
        parts = [f"{q.label} to {channel + 1}" for q, channel in zip(self.queries, self.engine.config.routes, strict=True)]
        return ", ".join(f"[{p}]" if i == self.which else p for i, p in enumerate(parts))

    def choose(self, which: int) -> None:
        """Change and watch this one of several targets."""
        if 0 <= which < len(self.queries):
            self.which = which
            self.engine.watch_target(which)

    # ---- queries -----------------------------------------------------------------------------------------------------------

    def ask(self, text: str) -> Future[None]:
        """Listen for these words as soon as they are embedded."""
        self.message = f"looking up “{text}” ..."
        return self._pool.submit(self._guarded, lambda: combine(self.bundle, [text]))

    def learn(self, seconds: float = LEARN_SECONDS, then: Callable[[], None] = lambda: None) -> Future[None]:
        """Listen for what is heard in the next ``seconds``; ``then`` is called when that is known."""
        self.message = f"learning: let it sound for {seconds:g} s ..."
        return self._pool.submit(self._guarded, lambda: self._learned(seconds), then)

    def _learned(self, seconds: float) -> Query:
        rate = self.engine.hops.info.sample_rate
        tap: list[Array] = []
        self.engine.tap = tap
        try:
            while len(tap) * self.engine.hops.info.hop < seconds * rate:
                if self._closing.wait(0.02):
                    raise SoundError("the run ended before enough was heard")
        finally:
            self.engine.tap = None
        return learn_query(self.bundle, np.concatenate(tap)[: round(seconds * rate)], rate)

    def _guarded(self, make: Callable[[], Query], then: Callable[[], None] = lambda: None) -> None:
        try:
            query = make()
        except MarssepError as e:
            self.message = str(e)
            return
        self.take(query)
        then()

    def take(self, query: Query) -> None:
        """Listen for a query that is embedded already."""
        self.queries[self.which] = query
        self.engine.set_query(query.vector, self.which)
        self.here_at = time.monotonic()
        self.asked.append((round(self.here_at - self.began, 3), query.label))
        self.message = query.doubts[0] if query.doubts else f"listening for {query.label}"

    # ---- how it is heard ---------------------------------------------------------------------------------------------------

    def change(self, **changes: object) -> None:
        """``remove``, ``wet``, ``limit_db``, ``gain_db``, ``bypass``; impossible values are refused in ``message``."""
        try:
            self.controls = self.controls.with_changes(**changes)
        except MarssepError as e:
            self.message = str(e)
            return
        self.engine.set_controls(self.controls)

    def step(self, what: str, up: bool) -> None:
        """``wet``, ``gain`` or ``limit`` one step up or down; a limit above MOST_LIMIT is none."""
        now, sign = self.controls, 1 if up else -1
        if what == "wet":
            self.change(wet=round(min(1.0, max(0.0, now.wet + sign * WET_STEP)), 3))
        elif what == "gain":
            self.change(gain_db=min(40.0, max(-60.0, now.gain_db + sign * GAIN_STEP)))
        else:
            limit = (MOST_LIMIT + LIMIT_STEP if now.limit_db is None else now.limit_db) + sign * LIMIT_STEP
            self.change(limit_db=None if limit > MOST_LIMIT else max(0.0, limit))

    def reset(self) -> None:
        """The model forgets what it heard."""
        self.engine.reset_model()
        self.message = "reset"

    def record(self) -> None:
        """Begin a recording of what is heard, or finish the one that runs."""
        running = self.recorders[-1] if self.recorders and self.engine.record is self.recorders[-1] else None
        if running is not None:
            self.engine.set_recorder(None, partial(self._end, running))
            self.message = f"finishing {running.path}"
            return
        if self.engine.record is not None:
            self.message = "this run is recorded already (--record)"
            return
        try:
            recorder = Recorder(self.free_name(), self.engine.config.device_rate, self.engine.config.rows)
        except MarssepError as e:
            self.message = str(e)
            return
        self.recorders.append(recorder)
        self.engine.set_recorder(recorder)
        self.message = f"recording {recorder.path}"

    def _end(self, recorder: Recorder) -> None:
        self._pool.submit(self._finish, recorder)

    def _finish(self, recorder: Recorder) -> None:
        try:
            recorder.close()
            self.message = f"recorded {recorder.path}"
        except MarssepError as e:
            self.message = str(e)

    # ---- is it there -------------------------------------------------------------------------------------------------------

    def watch(self) -> None:
        """Begin to listen to the target with the bundle's audio tower, if it has one."""
        if self.bundle.has("audio.onnx"):
            self._listener = threading.Thread(target=self._listen, name="marssep-listener", daemon=True)
            self._listener.start()

    def _listen(self) -> None:
        encoder: AudioEncoder = audio_encoder(self.bundle.path)
        while not self._closing.wait(LISTEN_EVERY):
            self.engine.presence.listen(encoder, self.query.vector)

    def note(self) -> float:
        """Presence now, 0..1, written into the timeline; call it about once a second."""
        now, value = time.monotonic(), self.engine.presence.presence()
        self.timeline.append((round(now - self.began, 1), round(value, 3)))
        if value >= HERE:
            self.here_at = now
        return value

    @property
    def unmatched(self) -> bool:
        """Whether there is sound, and for some seconds none of it was what was asked for."""
        quiet = self.engine.telemetry.level_in < 1e-3
        return not quiet and time.monotonic() - self.here_at > UNMATCHED_SECONDS

    def close(self) -> None:
        """End the threads; recordings that still run are finished by the one who ends the run."""
        self._closing.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def shown(self) -> str:
        """The controls in one line."""
        c = self.controls
        what = "bypass" if c.bypass else "everything but it" if c.remove else "only it"
        limit = "no limit" if c.limit_db is None else f"limit {c.limit_db:g} dB"
        return f"{what}   wet {c.wet:.0%}   {limit}   gain {c.gain_db:+g} dB"


def toggled(controls: Controls, name: str) -> dict[str, bool]:
    """The change that turns a switch of the controls over."""
    return {name: not getattr(controls, name)}
