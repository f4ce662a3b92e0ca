"""``marssep-live``: the default microphone through the model to the default output, until Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.live import Live

from marssep_rt import bundle as bundles
from marssep_rt import options as opt
from marssep_rt.blocks import slack_for
from marssep_rt.demo import PacedDevice, demo_parts
from marssep_rt.devices import Device, LiveDevice, choose, list_devices, negotiate
from marssep_rt.engine import Engine, EngineConfig
from marssep_rt.errors import MarssepError, UsageError
from marssep_rt.hops import HopProcessor
from marssep_rt.mix import Controls
from marssep_rt.query import combine
from marssep_rt.recorder import Recorder, sound_format
from marssep_rt.session import open_graph
from marssep_rt.view import RunInfo, plain_line, view

DEMO_SECONDS = 12.0
SILENT_SECONDS = 2.0  # a device that calls back this rarely has gone
START_SECONDS = 6.0

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass
class Setup:
    """An engine and what feeds it, ready to start."""

    engine: Engine
    device: LiveDevice | PacedDevice
    info: RunInfo
    recorders: list[Recorder]


@app.command()
@opt.plain_errors
def main(
    query: opt.Texts = None,
    image: opt.Images = None,
    audio: opt.Audios = None,
    query_file: opt.QueryFiles = None,
    negative: opt.Not = None,
    list_all: Annotated[bool, typer.Option("--list-devices", "-l", help="List sound devices and leave.")] = False,
    source: Annotated[str | None, typer.Option("--input", "-i", help="Input device: number or part of its name.", metavar="DEV")] = None,
    sink: Annotated[str | None, typer.Option("--output", "-o", help="Output device: number or part of its name.", metavar="DEV")] = None,
    blocksize: Annotated[
        int | None, typer.Option("--blocksize", "-b", help="Device block in samples.", min=1, max=16384, metavar="N")
    ] = None,
    record: Annotated[Path | None, typer.Option("--record", help="Record what is heard (.wav or .flac).", metavar="FILE")] = None,
    record_input: Annotated[Path | None, typer.Option("--record-input", help="Record what comes in.", metavar="FILE")] = None,
    duration: Annotated[float | None, typer.Option("--duration", help="Stop after so many seconds.", min=0.1, metavar="SECONDS")] = None,
    stats: Annotated[Path | None, typer.Option("--stats", help="Write figures of the run.", metavar="FILE.json")] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Plain log lines instead of the live view.")] = False,
    demo: Annotated[bool, typer.Option("--demo", help="No sound card: a synthesised mixture in real time, recorded.")] = False,
    remove: opt.Remove = False,
    wet: opt.Wet = 1.0,
    limit: opt.Limit = None,
    gain: opt.Gain = 0.0,
    model: opt.Model = None,
    provider: opt.Provider = "auto",
) -> None:
    """Hear only what the query names: marssep-live --query "dog barking" """
    if list_all:
        found = list_devices()
        for device in found:
            print(device)
        if not found:
            opt.console.print("no sound devices; marssep-live --demo works without one")
        return
    controls = Controls(remove, wet, limit, gain)
    for path in (record, record_input):
        if path is not None:
            sound_format(path)
            if path.exists():
                raise UsageError(f"{path} exists; recordings do not replace files, choose another name")
    if stats is not None and not stats.parent.is_dir():
        raise UsageError(f"there is no folder {stats.parent} for the stats file")
    if record is not None and record_input is not None and record.absolute() == record_input.absolute():
        raise UsageError("--record and --record-input name the same file")
    stop = StopFlag()
    bundle = bundles.load(model)
    asked = combine(bundle, query or [], image or [], audio or [], query_file or [], negative)
    opt.warn_each(asked.doubts)
    devices = None if demo else (choose(source, "input"), choose(sink, "output"))
    rate, channels_in, channels_out = (48_000, 1, 1) if devices is None else negotiate(*devices)
    session, used = open_graph(bundle, provider)
    hops = HopProcessor(session, used, min(channels_in, 2), asked.vector, controls)
    if demo and record is None:
        record = free_name(Path("marssep-demo.wav"))
        if record_input is None:
            record_input = free_name(Path("marssep-demo.input.wav"))
    setup = prepare(hops, rate, blocksize or hops.info.hop, channels_in, channels_out, devices, record, record_input,
                    f"{bundle.name}", used, asked.label)  # fmt: skip
    message = run_until(setup, stop, duration, plain)
    code = finish(setup, stats, message, plain, record if demo else None)
    if code:
        raise typer.Exit(code)


class StopFlag:
    """Set by Ctrl-C and SIGTERM, from the start of the program: at any moment they end a run in an orderly way."""

    def __init__(self) -> None:
        self.set = False
        signal.signal(signal.SIGINT, self._on_signal)
        signal.signal(signal.SIGTERM, self._on_signal)

    def _on_signal(self, *_: object) -> None:
        self.set = True


def free_name(path: Path) -> Path:
    """``path`` or the first of path-2, path-3 ... that does not exist."""
    for number in range(1, 10_000):
        candidate = path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")
        if not candidate.exists():
            return candidate
    raise MarssepError(f"there are too many files like {path}")


def prepare(
    hops: HopProcessor,
    rate: int,
    blocksize: int,
    channels_in: int,
    channels_out: int,
    devices: tuple[Device, Device] | None,
    record: Path | None,
    record_input: Path | None,
    model: str,
    provider: str,
    label: str,
) -> Setup:
    """Warm up, choose the slack, open recorders and device."""
    slowest = Engine(hops, EngineConfig(rate, blocksize, channels_in, channels_out)).warm_up()
    # twice the slowest warm hop, and what a Python thread may oversleep
    slack = slack_for(2 * slowest + 0.003, blocksize, rate)
    config = EngineConfig(rate, blocksize, channels_in, channels_out, slack)
    recorders: list[Recorder] = []
    for path in (record, record_input):
        recorders += [Recorder(path, rate, config.channels)] if path else []
    engine = Engine(hops, config, recorders[0] if record else None, recorders[-1] if record_input else None)
    try:
        device: LiveDevice | PacedDevice
        if devices is None:
            signal_ = np.stack(list(demo_parts(DEMO_SECONDS, rate).values())).sum(axis=0)
            device, names, ends = (
                PacedDevice(engine, signal_[:, None]),
                ("synthesised: dog barking, siren, acoustic guitar, rain", "none"),
                (0.0, 0.0),
            )
        else:
            device = LiveDevice(engine, *devices)
            names, ends = (str(devices[0]).strip(), str(devices[1]).strip()), device.latency_ms()
    except BaseException:
        discard(recorders)
        raise
    parts = engine.latency_ms()
    latency = {k: round(parts[k], 3) for k in ("algorithmic", "blocks", "slack")}
    latency |= {"device_in": round(ends[0], 3), "device_out": round(ends[1], 3), "total": round(parts["engine"] + sum(ends), 3)}
    return Setup(engine, device, RunInfo(*names, rate, blocksize, model, provider, label, latency), recorders)


def discard(recorders: list[Recorder]) -> None:
    """Nothing was recorded: leave nothing behind."""
    for recorder in recorders:
        recorder.close()
        recorder.path.unlink(missing_ok=True)


def run_until(setup: Setup, stop: StopFlag, duration: float | None, plain: bool) -> str | None:
    """Run until asked to stop, the time is up or the device has gone; returns what went wrong, if anything."""
    engine, t = setup.engine, setup.engine.telemetry
    if plain:
        print(*setup.info.lines(), sep="\n", flush=True)
    engine.start()
    setup.device.start()
    began = last_progress = time.monotonic()
    seen = said = 0
    live = None if plain else Live(console=opt.console, refresh_per_second=8, transient=False, auto_refresh=False)
    try:
        if live:
            live.start()
        while True:
            time.sleep(0.05)
            now = time.monotonic()
            if t.callbacks != seen:
                seen, last_progress = t.callbacks, now
            if live and int((now - began) * 8) != said:
                said = int((now - began) * 8)
                live.update(view(setup.info, t, now - began), refresh=True)
            if plain and int(now - began) != said:
                said = int(now - began)
                print(plain_line(t, now - began), flush=True)
            if stop.set or setup.device.finished or (duration is not None and t.frames >= duration * setup.info.rate):
                return None
            if engine.failure is not None:
                return f"the model failed: {engine.failure}"
            for recorder in setup.recorders:
                if recorder.error:
                    return recorder.error
            if now - last_progress > (SILENT_SECONDS if seen else START_SECONDS):
                return "the sound device has stopped delivering; it was unplugged, or its server ended"
    finally:
        if live:
            live.stop()


def finish(setup: Setup, stats: Path | None, message: str | None, plain: bool, demo_record: Path | None) -> int:
    """Recordings first, then the figures, then the device, which may hang; returns the exit code (or leaves at once)."""
    engine, t = setup.engine, setup.engine.telemetry
    closed = setup.device.close() if message is None else None  # a device that works is stopped before the recording ends
    engine.stop()
    code = 0 if message is None else 1
    for recorder in setup.recorders:
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
            "query": info.query,
            "latency_ms": info.latency_ms,
            **t.counters(),
            "seconds": round(t.frames / info.rate, 3),
        }
        beside = stats.with_name(stats.name + ".part")
        try:
            beside.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
            os.replace(beside, stats)
        except OSError as e:
            message, code = message or f"cannot write {stats}: {e.strerror}", 1
    if plain:
        print(plain_line(t, t.frames / info.rate), flush=True)
    for recorder in setup.recorders:
        if recorder.path.exists():
            opt.console.print(f"recorded {recorder.path}", markup=False, soft_wrap=True)
    if demo_record is not None:
        opt.console.print("listen to the recording beside its input, or ask for another sound", markup=False)
    if t.nan_samples:
        opt.warn(f"{t.nan_samples} samples from the device were NaN or infinite and counted as silence")
    if message is not None:
        opt.fail(message, 1)
    if closed is None:
        closed = setup.device.close()
    if closed is False:
        # PortAudio hangs in close and even in the interpreter's own exit once its server has gone
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code
