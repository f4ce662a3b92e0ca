"""A live run: engine, device and recordings are opened, run, and closed so that nothing is lost."""

from __future__ import annotations

import enum
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from marssep_rt.audio_io.recorder import Recorder
from marssep_rt.console import console, print_error, print_warning
from marssep_rt.dsp.latency import live_slack
from marssep_rt.dsp.stream_processor import StreamProcessor
from marssep_rt.errors import MarssepError
from marssep_rt.live.control.controller import LiveController
from marssep_rt.live.devices.audio_device import Device, LiveDevice, SoundDevice, open_again
from marssep_rt.live.devices.demo import PacedDevice
from marssep_rt.live.devices.demo_signals import demo_parts
from marssep_rt.live.realtime.audio_bridge import EngineConfig
from marssep_rt.live.realtime.capacity import check_capacity
from marssep_rt.live.realtime.engine import Engine
from marssep_rt.live.view.dashboard import RunInfo
from marssep_rt.live.view.display import (
    Display,
    ignore_closed_terminal,
    open_display,
    redirect_output_to_devnull,
)
from marssep_rt.model.bundle import Bundle
from marssep_rt.query.types import Query
from marssep_rt.utils.atomic_io import write_whole

DEMO_SECONDS = 12.0
POLL_SECONDS = 0.05
SILENT_SECONDS = 1.5  # a device that calls back this rarely has gone
START_SECONDS = 6.0
CLOSE_SECONDS = 0.8  # a device that has gone may never close
RETRY_SECONDS = 120.0
FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.25, 4.0
GONE = "the sound device has stopped delivering; it was unplugged, or its server ended"


class StopFlag:
    """Set by Ctrl-C, SIGTERM and a terminal that closes; at any moment they end a run in an orderly way.

    Attributes:
        set: Whether the run shall end.
    """

    def __init__(self) -> None:
        self.set = False
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), self._on_signal)

    def _on_signal(self, number: int, _: object) -> None:
        self.set = True
        if number not in (signal.SIGINT, signal.SIGTERM):
            redirect_output_to_devnull()


def free_name(path: Path) -> Path:
    """``path`` or the first of path-2, path-3 ... that does not exist."""
    for number in range(1, 10_000):
        candidate = path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")
        if not candidate.exists():
            return candidate
    raise MarssepError(f"there are too many files like {path}")


def with_slack(processor: StreamProcessor, config: EngineConfig) -> EngineConfig:
    """The format with the slack that this machine needs; the model runs for some hops to find out.

    A warning says so where the machine hardly computes them in time; raises UsageError where it cannot.
    """
    times = Engine(processor, config).warm_up()
    lasts = processor.info.hop / processor.info.sample_rate
    if warning := check_capacity(times, lasts, processor.streams):
        print_warning(warning)
    return replace(config, slack=live_slack(max(times.took), config.blocksize, config.device_rate))


class DeviceState(enum.Enum):
    """Whether a device can still be closed."""

    OPEN = enum.auto()
    CLOSED = enum.auto()
    HANGS = enum.auto()  # it has gone, and closing it never returns


@dataclass(frozen=True)
class RunConfig:
    """Everything that a live run needs besides the model.

    Attributes:
        audio: The audio format; its slack is chosen when the run opens.
        devices: Input and output device; None is the demo.
        record: The recording of the output, if any.
        record_input: The recording of the input, if any.
        stats: The file for the figures of the run, if any.
        duration: Seconds after which the run ends; None is never.
        plain: Log lines instead of the dashboard.
        second_look: Whether a query for one sound is asked again by what just came out and stayed behind.
    """

    audio: EngineConfig
    devices: tuple[Device, Device] | None = None
    record: Path | None = None
    record_input: Path | None = None
    stats: Path | None = None
    duration: float | None = None
    plain: bool = False
    second_look: bool = False


@dataclass
class _Progress:
    """Watches whether the device still calls back."""

    callbacks: int
    last: float = field(default_factory=time.monotonic)
    started: bool = False

    def stalled(self, callbacks: int, now: float) -> bool:
        if callbacks != self.callbacks:
            self.callbacks, self.last, self.started = callbacks, now, True
        return now - self.last > (SILENT_SECONDS if self.started else START_SECONDS)


class LiveRun:
    """One live run: ``open`` prepares it, ``run`` runs it, ``finish`` closes it.

    Args:
        engine: The engine, warmed up.
        device: The device that calls the engine.
        info: The facts for the display and the stats file.
        control: Changes during the run.
        config: The options of the run.
        recorders: The recordings that the engine writes from the start.
        reopen: Opens the same devices again; None if that is not possible.
    """

    def __init__(
        self,
        engine: Engine,
        device: SoundDevice,
        info: RunInfo,
        control: LiveController,
        config: RunConfig,
        recorders: Sequence[Recorder] = (),
        reopen: Callable[[], SoundDevice] | None = None,
    ) -> None:
        self.engine, self.device, self.info, self.control = engine, device, info, control
        self.config, self.recorders, self.reopen = config, list(recorders), reopen
        self.device_state = DeviceState.OPEN
        self._adaptation = engine.adaptation
        self._failed_recorders: list[Recorder] = []

    @classmethod
    def open(
        cls, processor: StreamProcessor, bundle: Bundle, queries: Sequence[Query], config: RunConfig
    ) -> LiveRun:
        """Warm up the model, choose the slack, open recordings and device.

        Args:
            processor: The model with its mixer settings.
            bundle: The bundle of the model, for new queries.
            queries: One query for each target.
            config: The options of the run.

        Raises:
            MarssepError: The machine is too slow, or a recording or the device cannot be opened; nothing is
                left behind then.
        """
        audio = with_slack(processor, config.audio)
        config = replace(config, audio=audio)
        recorders: list[Recorder] = []
        try:
            for path, channels in ((config.record, audio.rows), (config.record_input, audio.channels)):
                recorders += [Recorder(path, audio.device_rate, channels)] if path else []
            engine = Engine(
                processor,
                audio,
                recorders[0] if config.record else None,
                recorders[-1] if config.record_input else None,
            )
            device, names, reopen = _open_device(engine, config.devices)
        except BaseException:
            for recorder in recorders:
                recorder.discard()
            raise
        latency = _latency(engine, device)
        provider = processor.stream.provider
        info = RunInfo(*names, audio.device_rate, audio.blocksize, bundle.name, provider, latency)
        control = LiveController(
            engine,
            bundle,
            queries,
            processor.controls,
            lambda: free_name(Path("marssep-live.wav")),
            config.second_look,
        )
        return cls(engine, device, info, control, config, recorders, reopen)

    def discard(self) -> None:
        """Close a run that was not started; its recordings are deleted."""
        for recorder in self.recorders:
            recorder.discard()
        self.device.close()

    # ---- running ---------------------------------------------------------------------------------------

    def run(self, stop: StopFlag, on_sound: Callable[[], None] = lambda: None) -> str | None:
        """Run until the user, the duration or the device ends it.

        Args:
            stop: Ends the run.
            on_sound: Called when the device has begun to play, again after it was lost.

        Returns:
            What went wrong, if anything.
        """
        if self.config.plain:
            what = (f"query    {self.control.label()}", f"mode     {self.control.shown()}")
            print(*self.info.lines(), *what, sep="\n", flush=True)
        self.engine.start()
        self.device.start()
        self.control.watch()
        progress = _Progress(self.engine.stats.callbacks)
        playing = False
        with open_display(self.info, self.control, self.config.plain) as display:
            while True:
                time.sleep(POLL_SECONDS)
                self._update(display)
                if not playing and self.engine.stats.callbacks > progress.callbacks:
                    playing = True
                    on_sound()
                if self._is_over(stop):
                    return None
                if self.engine.failure is not None:
                    return f"the model failed: {self.engine.failure}"
                if progress.stalled(self.engine.stats.callbacks, time.monotonic()):
                    if not progress.started or not self._reconnect_device(stop):
                        return None if stop.set else GONE
                    progress.last, playing = time.monotonic(), False
                    self.control.message = "the sound device is back"

    def _update(self, display: Display) -> None:
        for recorder in (*self.recorders, *self.control.recorders):
            if recorder.error and recorder not in self._failed_recorders:  # the sound continues
                self._failed_recorders.append(recorder)
                self.control.message = recorder.error
        if self.engine.adaptation != self._adaptation:
            self._adaptation = self.engine.adaptation
            self.info = display.info = replace(self.info, latency_ms=_latency(self.engine, self.device))
            self.control.message = (
                f"the device brings up to {self.engine.bridge.burst} samples at a time; "
                f"the latency is now {self.info.latency_ms['total']:.1f} ms"
            )
        display.update()

    def _is_over(self, stop: StopFlag) -> bool:
        duration, frames = self.config.duration, self.engine.stats.frames
        timed_out = duration is not None and frames >= duration * self.info.rate
        return stop.set or self.control.quit or self.device.finished or timed_out

    def _reconnect_device(self, stop: StopFlag) -> bool:
        """Close a lost device and wait for it with growing pauses; returns whether it is back."""
        if self.reopen is None:
            return False
        self.control.message = "the sound device has gone; waiting for it to come back"
        print_warning(self.control.message)
        if not self.device.close(CLOSE_SECONDS):
            self.device_state = DeviceState.HANGS  # PortAudio hangs, and no second stream can be opened
            return False
        self.engine.pause()
        self.engine.restart()
        self.engine.start()
        pause, until = FIRST_PAUSE_SECONDS, time.monotonic() + RETRY_SECONDS
        while time.monotonic() < until and not stop.set and not self.control.quit:
            time.sleep(pause)
            pause = min(MAX_PAUSE_SECONDS, 2 * pause)
            try:
                self.device = self.reopen()
                self.device.start()
                return True
            except MarssepError:
                continue
        self.device_state = DeviceState.CLOSED
        return False

    # ---- the end ---------------------------------------------------------------------------------------

    def finish(self, message: str | None) -> int:
        """Close recordings first, then write the figures, then close the device, which may hang.

        Args:
            message: The result of ``run``.

        Returns:
            The exit code. If the device hangs, the process ends here with it.
        """
        if message is None:
            self._close_device()  # a device that works is stopped before the recording ends
        self.control.close()
        self.engine.stop()
        recorders = [*self.recorders, *(r for r in self.control.recorders if not r.done)]
        errors = [message] if message is not None else []
        for work in (*(recorder.close for recorder in recorders), self._write_stats):
            try:
                work()
            except MarssepError as e:
                errors.append(str(e))
        self._say_what_was_done(recorders)
        if errors:
            print_error(errors[0])
        code = 1 if errors else 0
        self._close_device()
        if self.device_state is DeviceState.HANGS:
            _leave_process(code)
        return code

    def _close_device(self) -> None:
        if self.device_state is DeviceState.OPEN:
            self.device_state = DeviceState.CLOSED if self.device.close() else DeviceState.HANGS

    def _write_stats(self) -> None:
        if self.config.stats is None:
            return
        info, stats = self.info, self.engine.stats
        figures: dict[str, Any] = {
            "sample_rate": info.rate,
            "blocksize": info.blocksize,
            "hop": self.engine.hop,
            "provider": info.provider,
            "query": self.control.label(),
            "latency_ms": info.latency_ms,
            **stats.counters(),
            "seconds": round(stats.frames / info.rate, 3),
            "queries": self.control.asked,
            "presence": self.control.timeline,
        }
        write_whole(self.config.stats, json.dumps(figures, indent=1) + "\n")

    def _say_what_was_done(self, recorders: Sequence[Recorder]) -> None:
        stats = self.engine.stats
        if self.config.plain:
            line = self.info.plain_line(stats, stats.frames / self.info.rate, self.engine.presence())
            ignore_closed_terminal(lambda: print(line, flush=True))
        for recorder in recorders:
            if recorder.path.exists():
                console.print(f"recorded {recorder.path}", markup=False, soft_wrap=True)
        if self.config.devices is None and self.config.record is not None:
            console.print("listen to the recording, or ask for another sound", markup=False)
        if stats.nan_samples:
            print_warning(
                f"{stats.nan_samples} samples from the device were NaN or infinite and counted as silence"
            )


def _open_device(
    engine: Engine, devices: tuple[Device, Device] | None
) -> tuple[SoundDevice, tuple[str, str], Callable[[], SoundDevice] | None]:
    """The device, the names of its input and output, and a function that opens it again."""
    if devices is None:
        parts = demo_parts(DEMO_SECONDS, engine.config.device_rate)
        signal_ = np.stack(list(parts.values())).sum(axis=0)
        return PacedDevice(engine, signal_[:, None]), (f"synthesised: {', '.join(parts)}", "none"), None
    names = (str(devices[0]).strip(), str(devices[1]).strip())
    return LiveDevice(engine, *devices), names, partial(open_again, engine, *devices)


def _latency(engine: Engine, device: SoundDevice) -> dict[str, float]:
    """The latency of engine and device in ms, in parts."""
    parts, (device_in, device_out) = engine.latency_ms(), device.latency_ms()
    # adding 0.0 makes 0.0 of -0.0
    return {k: round(parts[k], 3) + 0.0 for k in ("algorithmic", "blocks", "slack")} | {
        "device_in": round(device_in, 3),
        "device_out": round(device_out, 3),
        "total": round(parts["engine"] + device_in + device_out, 3),
    }


def _leave_process(code: int) -> None:
    """End at once: PortAudio hangs in the interpreter's own exit when its server has gone."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
