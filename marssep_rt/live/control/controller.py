"""Changes during a live run: by keys, over OSC, from any thread. The audio path never waits for any of them.

Texts and audio are embedded on a thread of their own; the engine takes the finished vector between two hops.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from marssep_rt.arrays import Array
from marssep_rt.audio_io.recorder import Recorder
from marssep_rt.contract import MIXER, PRESENCE
from marssep_rt.dsp.mixer import Controls
from marssep_rt.dsp.presence import PRESENCE_THRESHOLD
from marssep_rt.errors import MarssepError, QueryError, SoundError
from marssep_rt.live.control.hearing import INTERVAL_SECONDS, Hearing
from marssep_rt.live.realtime.engine import Engine
from marssep_rt.model.bundle import Bundle
from marssep_rt.query.audible import WINDOW_SECONDS, audible_sounds
from marssep_rt.query.audio_input import loud, windows_of
from marssep_rt.query.build import build_query
from marssep_rt.query.encoders import audio_encoder
from marssep_rt.query.types import Query, QueryRequest, limit_of
from marssep_rt.query.vocabulary import Vocabulary

LEARN_SECONDS = 3.0
UNMATCHED_SECONDS = PRESENCE.unmatched_seconds
CLOSE_SECONDS = 5.0
WET_STEP, GAIN_STEP, LIMIT_STEP, MAX_LIMIT_DB = 0.1, 1.0, 6.0, 30.0
STRENGTH_STEP = 10.0
MIN_GAIN_DB, MAX_GAIN_DB = MIXER.gain_db_min, MIXER.gain_db_max
SILENT_PEAK = 10 ** (PRESENCE.floor_db / 20)


def learn_query(bundle: Bundle, sound: Array, rate: int) -> Query:
    """The query of a stretch of audio.

    Args:
        bundle: The bundle whose audio encoder is used.
        sound: Mono audio, float32 [n].
        rate: Its sample rate in Hz.

    Raises:
        SoundError: The audio is silent.
        QueryError: The bundle has no audio encoder.
    """
    encoder = audio_encoder(bundle.path)
    windows = loud(windows_of([sound], rate, encoder.sample_rate, encoder.hop), "what was just heard")
    vector = encoder.embed_windows(windows)
    known = Vocabulary.of(bundle)
    shown = None if known is None else known.candidates([("audio", vector)])[0]
    if shown is None:
        return Query(vector, bundle.encoder, "what was heard")
    candidates, label = shown
    narrowings = (candidates,) if candidates.narrows else ()
    return Query(candidates.vector, bundle.encoder, f"what was heard ({label})", narrowings=narrowings)


class LiveController:
    """The state of a run as its user sees and changes it.

    Every method may be called from any thread: one lock guards the state, so that changes from several
    threads are all made, one after the other.

    Args:
        engine: The engine to control.
        bundle: The bundle whose encoders embed new queries.
        queries: One query for each target.
        controls: The mixer settings at the start.
        free_name: Names the next recording.
        looks_again: Whether a query for one sound is asked again by what just came out and stayed behind.

    Attributes:
        which: Of several targets the one that is changed and monitored.
        message: The last message for the user.
        asked: (seconds since the start, label) of every query.
        timeline: (seconds since the start, presence), about one a second.
        recorders: The recordings that were started during the run.
        quit: Whether the user wants to end the run.
        last_present: Time when the target was last present, or the query new.
    """

    def __init__(
        self,
        engine: Engine,
        bundle: Bundle,
        queries: Sequence[Query],
        controls: Controls,
        free_name: Callable[[], Path],
        looks_again: bool = False,
    ) -> None:
        self.engine, self.bundle, self.queries, self.controls = engine, bundle, list(queries), controls
        self.which = 0
        self.free_name = free_name
        self.began = time.monotonic()
        self.message = ""
        self.asked: list[tuple[float, str]] = [(0.0, query.label) for query in queries]
        self.timeline: list[tuple[float, float]] = []
        self.recorders: list[Recorder] = []
        self.quit = False
        self.last_present = self.began
        self.looks_again = looks_again
        self._lock = threading.RLock()
        self._asked = [*self.queries]  # of the engine: refined by what was heard
        self._beginnings = 0  # of what comes out: another query, or a reset
        self._recorded_from_start = engine.worker.recorder is not None
        self._recording: Recorder | None = None  # started by ``record`` and not yet ended
        self._pool = ThreadPoolExecutor(1, "marssep-queries")
        self._closing = threading.Event()
        self._listener: threading.Thread | None = None
        engine.set_controls(self.mixing)

    @property
    def mixing(self) -> Controls:
        """The mixer settings, with the queries' attenuation limit where the user has set none."""
        return self.controls.limited(limit_of(self.queries))

    @property
    def query(self) -> Query:
        """The query that is changed and monitored."""
        return self.queries[self.which]

    def label(self) -> str:
        """The query in words; of several targets all, with their output channels."""
        with self._lock:
            if len(self.queries) == 1:
                return self.query.label
            routes = self.engine.config.routes
            parts = [f"{q.label} to {channel + 1}" for q, channel in zip(self.queries, routes, strict=True)]
            return ", ".join(f"[{p}]" if i == self.which else p for i, p in enumerate(parts))

    def choose(self, which: int) -> None:
        """Change and monitor this one of several targets."""
        with self._lock:
            if 0 <= which < len(self.queries):
                self.which = which
                self.engine.monitor_target(which)

    # ---- queries ---------------------------------------------------------------------------------------

    def ask(self, text: str) -> Future[None]:
        """Change the query to a text as soon as it is embedded."""
        self.message = f"looking up “{text}” ..."
        return self._pool.submit(
            self._take_made, lambda: build_query(self.bundle, QueryRequest(texts=[text]))
        )

    def learn(self, seconds: float = LEARN_SECONDS, then: Callable[[], None] = lambda: None) -> Future[None]:
        """Change the query to the audio of the next ``seconds``; ``then`` is called when that is done."""
        self.message = f"learning: let it sound for {seconds:g} s ..."
        return self._pool.submit(self._take_made, lambda: self._learned(seconds), then)

    def list_sounds(self) -> Future[None]:
        """Say what can be heard in the next seconds of input, whatever the query is."""
        self.message = "listening to what there is ..."
        return self._pool.submit(self._list_sounds)

    def _list_sounds(self) -> None:
        try:
            encoder, known = audio_encoder(self.bundle.path), Vocabulary.of(self.bundle)
            if known is None:
                raise QueryError(f"the bundle {self.bundle.name} has no vocabulary")
            window = self._heard(WINDOW_SECONDS)
            sounds = audible_sounds([window], self.engine.model_rate, encoder, known)
        except MarssepError as e:
            self.message = str(e)
            return
        names = ", ".join(f"{sound.label} ({sound.similarity:.2f})" for sound in sounds)
        level = f", together {sounds[0].level_db:.0f} dBFS" if sounds else ""
        self.message = f"audible: {names or 'nothing that is known'}{level}"

    def _learned(self, seconds: float) -> Query:
        return learn_query(self.bundle, self._heard(seconds), self.engine.model_rate)

    def _heard(self, seconds: float) -> Array:
        """The next seconds of input, mono at the model's rate."""
        rate, hop = self.engine.model_rate, self.engine.hop
        tap: list[Array] = []
        self.engine.tap_input(tap)
        try:
            while len(tap) * hop < seconds * rate:
                if self._closing.wait(0.02):
                    raise SoundError("the run ended before enough was heard")
        finally:
            self.engine.tap_input(None)
        return np.concatenate(tap)[: round(seconds * rate)]

    def _take_made(self, make: Callable[[], Query], then: Callable[[], None] = lambda: None) -> None:
        try:
            query = make()
        except MarssepError as e:
            self.message = str(e)
            return
        self.take(query)
        then()

    def take(self, query: Query) -> None:
        """Change to an embedded query."""
        with self._lock:
            try:
                self.engine.set_query(query, self.which)
            except MarssepError as e:
                self.message = str(e)
                return
            before, self.queries[self.which] = self.queries[self.which], query
            self._asked[self.which] = query
            self._beginnings += 1
            if query.remove != before.remove:
                self.controls = self.controls.with_changes(remove=query.remove)
            self.engine.set_controls(self.mixing)
            self.last_present = time.monotonic()
            self.asked.append((round(self.last_present - self.began, 3), query.label))
            heard = query.understood or query.label
            self.message = query.warnings[0] if query.warnings else f"listening for {heard}"

    # ---- mixer -----------------------------------------------------------------------------------------

    def change(self, **changes: object) -> None:
        """Set ``strength``, ``remove``, ``wet``, ``limit_db``, ``gain_db`` or ``bypass``.

        Invalid values change nothing; ``message`` then says why.
        """
        self._change(lambda now: now.with_changes(**changes))

    def toggle(self, name: str) -> None:
        """Turn the switch ``remove`` or ``bypass`` over."""
        self._change(lambda now: now.with_changes(**{name: not getattr(now, name)}))

    def step(self, what: str, up: bool) -> None:
        """Move ``strength``, ``wet``, ``gain`` or ``limit`` one step up or down.

        Above MAX_LIMIT_DB there is no limit.
        """
        self._change(lambda now: _stepped(now, what, 1 if up else -1))

    def _change(self, changed: Callable[[Controls], Controls]) -> None:
        with self._lock:
            try:
                self.controls = changed(self.controls)
            except MarssepError as e:
                self.message = str(e)
                return
            self.engine.set_controls(self.mixing)

    def reset(self) -> None:
        """Reset the model's streaming state."""
        self.engine.reset_model()
        with self._lock:
            self._beginnings += 1
        self.message = "reset"

    def record(self) -> None:
        """Start a recording of the output, or finish the running one."""
        with self._lock:
            if (running := self._recording) is not None:
                self._recording = None
                self.engine.set_recorder(None, lambda: self._end(running))
                self.message = f"finishing {running.path}"
                return
            if self._recorded_from_start:
                self.message = "this run is recorded already (--record)"
                return
            try:
                config = self.engine.config
                recorder = Recorder(self.free_name(), config.device_rate, config.rows)
            except MarssepError as e:
                self.message = str(e)
                return
            self._recording = recorder
            self.recorders.append(recorder)
            self.engine.set_recorder(recorder)
            self.message = f"recording {recorder.path}"

    def _end(self, recorder: Recorder) -> None:
        with contextlib.suppress(RuntimeError):  # the run ends, and who ends it closes the recording
            self._pool.submit(self._finish, recorder)

    def _finish(self, recorder: Recorder) -> None:
        try:
            recorder.close()
            self.message = f"recorded {recorder.path}"
        except MarssepError as e:
            self.message = str(e)

    # ---- presence --------------------------------------------------------------------------------------

    def watch(self) -> None:
        """Begin to compare the target with the query, if the bundle has an audio encoder."""
        if self.bundle.has("audio.onnx"):
            self._listener = threading.Thread(target=self._listen, name="marssep-listener", daemon=True)
            self._listener.start()

    def _listen(self) -> None:
        encoder = audio_encoder(self.bundle.path)
        hearing, beginnings = Hearing(self.engine, encoder, self.looks_again), 0
        while not self._closing.wait(INTERVAL_SECONDS):
            with self._lock:
                if beginnings != self._beginnings:
                    hearing.forget()
                beginnings, queries = self._beginnings, tuple(self.queries)
            hearing.hear(queries, self.engine.listen(encoder, self.query.kept))
            with self._lock:
                if beginnings == self._beginnings:
                    self._refine(hearing)

    def _refine(self, hearing: Hearing) -> None:
        """Ask the same sounds by what was heard; a query of a second look is asked but not kept."""
        for which, query in enumerate(self.queries):
            narrow = self.queries[which] = hearing.narrowed(query)
            again = hearing.asked_again(narrow) if len(self.queries) == 1 else narrow
            if again is not self._asked[which]:
                self.engine.refine_query(again, which)
                self._asked[which] = again

    def note(self) -> float:
        """Write the presence into the timeline; call it about once a second.

        Returns:
            The presence now, 0..1.
        """
        now, value = time.monotonic(), self.engine.presence()
        with self._lock:
            self.timeline.append((round(now - self.began, 1), round(value, 3)))
            if value >= PRESENCE_THRESHOLD:
                self.last_present = now
        return value

    @property
    def unmatched(self) -> bool:
        """Whether there is sound, but for some seconds no target; in bypass nobody asks."""
        quiet = self.engine.stats.level_in < SILENT_PEAK
        return (
            not quiet
            and not self.controls.bypass
            and time.monotonic() - self.last_present > UNMATCHED_SECONDS
        )

    def close(self) -> None:
        """End the threads; running recordings stay open."""
        self._closing.set()
        self._pool.shutdown(wait=True, cancel_futures=True)
        if self._listener is not None:
            # a thread inside ONNX Runtime while the interpreter ends would abort the process
            self._listener.join(CLOSE_SECONDS)

    def shown(self) -> str:
        """The mixer settings in one line."""
        c = self.mixing
        what = "bypass" if c.bypass else "residual" if c.remove else "target"
        limit = "no limit" if c.leak == 0 else f"limit {c.limit_db:g} dB"
        return f"{what}   strength {c.strength:.0f}%   wet {c.wet:.0%}   {limit}   gain {c.gain_db:+g} dB"


def _stepped(now: Controls, what: str, sign: int) -> Controls:
    if what == "strength":
        step = round(now.strength / STRENGTH_STEP) + sign
        return now.with_changes(strength=min(100.0, max(0.0, step * STRENGTH_STEP)))
    if what == "wet":
        return now.with_changes(wet=round(min(1.0, max(0.0, now.wet + sign * WET_STEP)), 3))
    if what == "gain":
        return now.with_changes(gain_db=min(MAX_GAIN_DB, max(MIN_GAIN_DB, now.gain_db + sign * GAIN_STEP)))
    at = MAX_LIMIT_DB + LIMIT_STEP  # no limit lies one step beyond
    limit = (at if now.limit_db is None else min(at, now.limit_db)) + sign * LIMIT_STEP
    return now.with_changes(limit_db=None if limit > MAX_LIMIT_DB else max(0.0, limit))
