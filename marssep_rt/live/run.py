"""A live run: engine, device and recorders put together, run until it ends, and closed in the order in which nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.live import Live

from marssep_rt.audio_io.recorder import Recorder
from marssep_rt.console import console, print_error, print_warning
from marssep_rt.dsp.latency import live_slack
from marssep_rt.dsp.mixer import Controls
from marssep_rt.dsp.stream_processor import HopProcessor
from marssep_rt.errors import MarssepError
from marssep_rt.live.audio_device import Device, LiveDevice, SoundDevice, open_again
from marssep_rt.live.controller import LiveControl
from marssep_rt.live.dashboard import RunInfo, plain_line, view
from marssep_rt.live.demo import PacedDevice
from marssep_rt.live.demo_signals import demo_parts
from marssep_rt.live.engine import Engine, EngineConfig
from marssep_rt.live.keyboard import Keyboard, Keys
from marssep_rt.model.bundle import Bundle
from marssep_rt.query.types import Query
from marssep_rt.utils.atomic_io import write_whole

DEMO_SECONDS = 12.0
SILENT_SECONDS = 1.5  # a device that calls back this rarely has gone
START_SECONDS = 6.0
CLOSE_SECONDS = 0.8  # a device that has gone may never close
RETRY_SECONDS = 120.0
GONE = "the sound device has stopped delivering; it was unplugged, or its server ended"


@dataclass
class Setup:
    """An engine, what feeds it and what steers it, ready to start."""

    engine: Engine
    device: SoundDevice
    info: RunInfo
    recorders: list[Recorder]
    control: LiveControl
    reopen: Callable[[], SoundDevice] | None = None  # the same devices again
    broken: list[Recorder] = field(default_factory=list)
    hangs: bool = False  # the device has gone and cannot be closed
    closed: bool = False


class StopFlag:
    """Set by Ctrl-C, SIGTERM and a terminal that closes, from the start of the program: at any moment they end a run in an orderly way."""

    def __init__(self) -> None:
        self.set = False
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), self._on_signal)

    def _on_signal(self, number: int, _: object) -> None:
        self.set = True
        if number not in (signal.SIGINT, signal.SIGTERM):
            speak_no_more()


def free_name(path: Path) -> Path:
    """``path`` or the first of path-2, path-3 ... that does not exist."""
    for number in range(1, 10_000):
        candidate = path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")
        if not candidate.exists():
            return candidate
    raise MarssepError(f"there are too many files like {path}")


def configured(
    hops: HopProcessor, rate: int, blocksize: int, channels_in: int, channels_out: int, routes: tuple[int, ...] = ()
) -> EngineConfig:
    """Warm up and choose the slack."""
    config = EngineConfig(rate, blocksize, channels_in, channels_out, routes=routes)
    return replace(config, slack=live_slack(Engine(hops, config).warm_up(), blocksize, rate))


def prepare(
    hops: HopProcessor,
    rate: int,
    blocksize: int,
    channels_in: int,
    channels_out: int,
    devices: tuple[Device, Device] | None,
    record: Path | None,
    record_input: Path | None,
    bundle: Bundle,
    queries: Sequence[Query],
    controls: Controls,
    provider: str,
    routes: tuple[int, ...] = (),
) -> Setup:
    """Warm up, choose the slack, open recorders and device."""
    config = configured(hops, rate, blocksize, channels_in, channels_out, routes)
    recorders: list[Recorder] = []
    for path, channels in ((record, config.rows), (record_input, config.channels)):
        recorders += [Recorder(path, rate, channels)] if path else []
    engine = Engine(hops, config, recorders[0] if record else None, recorders[-1] if record_input else None)
    reopen: Callable[[], SoundDevice] | None = None
    try:
        device: SoundDevice
        if devices is None:
            signal_ = np.stack(list(demo_parts(DEMO_SECONDS, rate).values())).sum(axis=0)
            device, names, ends = (
                PacedDevice(engine, signal_[:, None]),
                ("synthesised: dog barking, siren, acoustic guitar, rain", "none"),
                (0.0, 0.0),
            )
        else:
            device = opened = LiveDevice(engine, *devices)
            names, ends = (str(devices[0]).strip(), str(devices[1]).strip()), opened.latency_ms()
            reopen = partial(open_again, engine, *devices)
    except BaseException:
        discard(recorders)
        raise
    parts = engine.latency_ms()
    latency = {k: round(parts[k], 3) for k in ("algorithmic", "blocks", "slack")}
    latency |= {"device_in": round(ends[0], 3), "device_out": round(ends[1], 3), "total": round(parts["engine"] + sum(ends), 3)}
    control = LiveControl(engine, bundle, queries, controls, lambda: free_name(Path("marssep-live.wav")))
    return Setup(engine, device, RunInfo(*names, rate, blocksize, bundle.name, provider, latency), recorders, control, reopen)


def discard(recorders: list[Recorder]) -> None:
    """Nothing was recorded: leave nothing behind."""
    for recorder in recorders:
        recorder.close()
        recorder.path.unlink(missing_ok=True)


def run_until(setup: Setup, stop: StopFlag, duration: float | None, plain: bool) -> str | None:
    """Run until asked to stop, the time is up or the device has gone for good; returns what went wrong, if anything."""
    engine, control, t = setup.engine, setup.control, setup.engine.telemetry
    if plain:
        print(*setup.info.lines(), f"query    {control.label()}", sep="\n", flush=True)
    engine.start()
    setup.device.start()
    control.watch()
    began = last_progress = time.monotonic()
    seen, said, told = t.callbacks, 0, ""
    keys = Keys(control)
    live = None if plain else Live(console=console, refresh_per_second=8, transient=False, auto_refresh=False)
    with Keyboard() if live else nullcontext() as keyboard, ExitStack() as stack:
        if live:
            live.start()
            stack.callback(quietly, live.stop)
        while True:
            time.sleep(0.05)
            now = time.monotonic()
            if t.callbacks != seen:
                seen, last_progress = t.callbacks, now
            if keyboard:
                keys.feed(keyboard.read())
            if int((now - began) * 8) != said:
                if int(now - began) != said // 8:
                    control.note()
                    if plain:
                        line = plain_line(t, now - began, engine.presence.presence())
                        quietly(partial(print, line, flush=True))
                said = int((now - began) * 8)
                if live:
                    quietly(partial(live.update, view(setup.info, control, keys.line(), now - began), refresh=True))
            for recorder in (*setup.recorders, *control.recorders):
                if recorder.error and recorder not in setup.broken:  # sound goes on without it
                    setup.broken.append(recorder)
                    control.message = recorder.error
            if plain and control.message != told:
                told = control.message
                quietly(partial(print, told, flush=True))
            if stop.set or control.quit or setup.device.finished or (duration is not None and t.frames >= duration * setup.info.rate):
                return None
            if engine.failure is not None:
                return f"the model failed: {engine.failure}"
            if now - last_progress > (SILENT_SECONDS if seen else START_SECONDS):
                if setup.reopen is None or not seen or not come_back(setup, stop):
                    return None if stop.set else GONE
                last_progress = time.monotonic()
                control.message = "the sound device is back"


def quietly(work: Callable[[], None]) -> None:
    """A terminal that has been closed is no reason to lose a recording."""
    try:
        work()
    except OSError:
        speak_no_more()


def speak_no_more() -> None:
    """There is nobody left to read: from here on output goes nowhere, so that writing it cannot fail."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)


def come_back(setup: Setup, stop: StopFlag) -> bool:
    """The device has gone: close it, wait for it with growing pauses, begin afresh; False when it cannot be closed or stays away."""
    engine, control = setup.engine, setup.control
    control.message = "the sound device has gone; waiting for it to come back"
    print_warning(control.message)
    if not setup.device.close(CLOSE_SECONDS):
        setup.hangs = True  # PortAudio's own stop: nothing can be opened beside it
        return False
    engine.pause()
    engine.begin_afresh()
    engine.start()
    pause, until = 0.25, time.monotonic() + RETRY_SECONDS
    assert setup.reopen is not None
    while time.monotonic() < until and not stop.set and not control.quit:
        time.sleep(pause)
        pause = min(4.0, 2 * pause)
        try:
            setup.device = setup.reopen()
            setup.device.start()
            return True
        except MarssepError:
            continue
    setup.closed = True
    return False


def finish(setup: Setup, stats: Path | None, message: str | None, plain: bool, demo_record: Path | None) -> int:
    """Recordings first, then the figures, then the device, which may hang; returns the exit code (or leaves at once)."""
    engine, t = setup.engine, setup.engine.telemetry
    closed: bool | None = True if setup.closed else False if setup.hangs else None
    if message is None and closed is None:
        closed = setup.device.close()  # a device that works is stopped before the recording ends
    setup.control.close()
    engine.stop()
    code = 0 if message is None else 1
    recorders = [*setup.recorders, *(r for r in setup.control.recorders if not r.done)]
    for recorder in recorders:
        try:
            recorder.close()
        except MarssepError as e:
            message, code = message or str(e), 1
    info = setup.info
    if stats is not None:
        figures: dict[str, Any] = {
            "sample_rate": info.rate,
            "blocksize": info.blocksize,
            "hop": engine.hops.info.hop,
            "provider": info.provider,
            "query": setup.control.label(),
            "latency_ms": info.latency_ms,
            **t.counters(),
            "seconds": round(t.frames / info.rate, 3),
            "queries": setup.control.asked,
            "presence": setup.control.timeline,
        }
        try:
            write_whole(stats, json.dumps(figures, indent=1) + "\n")
        except MarssepError as e:
            message, code = message or str(e), 1
    if plain:
        quietly(lambda: print(plain_line(t, t.frames / info.rate, engine.presence.presence()), flush=True))
    for recorder in recorders:
        if recorder.path.exists():
            console.print(f"recorded {recorder.path}", markup=False, soft_wrap=True)
    if demo_record is not None:
        console.print("listen to the recording beside its input, or ask for another sound", markup=False)
    if t.nan_samples:
        print_warning(f"{t.nan_samples} samples from the device were NaN or infinite and counted as silence")
    if message is not None:
        print_error(message)
    if closed is None:
        closed = setup.device.close()
    if closed is False:
        # PortAudio hangs in close and even in the interpreter's own exit once its server has gone
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code
