"""``marssep-live``: the default microphone through the model to the default output, until Ctrl-C."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import typer

from marssep_rt.audio_io.writer import sound_format
from marssep_rt.cli import options as opt
from marssep_rt.dsp.mixer import Controls
from marssep_rt.dsp.stream_processor import HopProcessor
from marssep_rt.errors import MarssepError, UsageError
from marssep_rt.live.audio_device import Device, choose, list_devices, negotiate
from marssep_rt.live.device_memory import last_devices, remember_devices
from marssep_rt.live.engine import Engine
from marssep_rt.live.keyboard import HELP
from marssep_rt.live.presets import Preset, read_preset
from marssep_rt.live.run import Setup, StopFlag, configured, discard, finish, free_name, prepare, run_until
from marssep_rt.model import bundle as bundles
from marssep_rt.model.bundle import Bundle
from marssep_rt.model.providers import open_fastest, open_graph
from marssep_rt.model.stream import GraphInfo
from marssep_rt.query.build import combine
from marssep_rt.query.types import Query

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(epilog=f"Keys while it runs: {HELP}")
@opt.plain_errors
def main(
    query: opt.Texts = None,
    image: opt.Images = None,
    audio: opt.Audios = None,
    query_file: opt.QueryFiles = None,
    negative: opt.Not = None,
    learn: Annotated[
        float | None, typer.Option("--learn", help="Listen for what is heard in the first seconds.", min=0.5, max=60, metavar="SECONDS")
    ] = None,
    preset: Annotated[str | None, typer.Option("--preset", help="Query and settings by this name in presets.toml.", metavar="NAME")] = None,
    list_all: Annotated[bool, typer.Option("--list-devices", "-l", help="List sound devices and leave.")] = False,
    doctor: Annotated[bool, typer.Option("--doctor", help="Say what this machine has and can do, for a bug report, and leave.")] = False,
    measuring: Annotated[
        bool, typer.Option("--measure-latency", help="Play chirps into a loop from output to input, say how late they come, leave.")
    ] = False,
    source: Annotated[
        str | None, typer.Option("--input", "-i", help="Input device: number, part of its name, or default.", metavar="DEV")
    ] = None,
    sink: Annotated[
        str | None, typer.Option("--output", "-o", help="Output device: number, part of its name, or default.", metavar="DEV")
    ] = None,
    blocksize: Annotated[
        int | None, typer.Option("--blocksize", "-b", help="Device block in samples.", min=1, max=16384, metavar="N")
    ] = None,
    record: Annotated[Path | None, typer.Option("--record", help="Record what is heard (.wav or .flac).", metavar="FILE")] = None,
    record_input: Annotated[Path | None, typer.Option("--record-input", help="Record what comes in.", metavar="FILE")] = None,
    duration: Annotated[float | None, typer.Option("--duration", help="Stop after so many seconds.", min=0.1, metavar="SECONDS")] = None,
    stats: Annotated[Path | None, typer.Option("--stats", help="Write figures of the run.", metavar="FILE.json")] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Plain log lines instead of the live view.")] = False,
    to: Annotated[
        list[int] | None,
        typer.Option("--to", help="Output channel of a query: --query A --to 1 --query B --to 2.", min=1, max=64, metavar="CHANNEL"),
    ] = None,
    osc: Annotated[
        int | None, typer.Option("--osc", help="Take OSC messages on this port, send meters to the next.", min=1, max=65534, metavar="PORT")
    ] = None,
    demo: Annotated[bool, typer.Option("--demo", help="No sound card: a synthesised mixture in real time, recorded.")] = False,
    remove: opt.Remove = False,
    wet: opt.WetOrPreset = None,
    limit: opt.Limit = None,
    gain: opt.GainOrPreset = None,
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
    if doctor:
        from marssep_rt.live.diagnostics import report

        for line in report(bundles.load(model), provider):
            print(line, flush=True)
        return
    if measuring:
        tell_latency(*chosen(source, sink), blocksize, model, provider)
        return
    kept = read_preset(preset) if preset is not None else Preset()
    controls = Controls(
        remove or kept.remove,
        first(wet, kept.wet, 1.0),
        limit if limit is not None else kept.limit,
        first(gain, kept.gain, 0.0),
    )
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
    asking = (query or [], image or [], audio or [], query_file or [])
    if not any(asking):  # what is said on the command line replaces the preset's whole query
        asking, negative = (kept.query, kept.image, kept.audio, kept.query_file), negative or kept.negative
    if learn is not None and not any(asking):
        queries = [Query(placeholder(bundle.query_dim), bundle.encoder, "nothing yet")]
        controls = controls.with_changes(bypass=True)  # until there is something to listen for
    else:
        queries = several(bundle, asking, negative) if to else [combine(bundle, *asking, negative)]
    if to and len(to) != len(queries):
        raise UsageError(f"there are {len(queries)} queries and {len(to)} output channels; give --to once for every query")
    for asked in queries:
        opt.warn_each(asked.doubts)
    routes = tuple(channel - 1 for channel in to or ())
    devices = None if demo else chosen(source, sink)
    outputs = max(to) if to else 2
    rate, channels_in, channels_out = (48_000, 1, max(to) if to else 1) if devices is None else negotiate(*devices, outputs)
    if routes and max(routes) >= channels_out:
        raise UsageError(f"the output has {channels_out} channels, there is no channel {max(routes) + 1}")
    session, used = open_fastest(bundle, provider, lambda words: opt.console.print(words, markup=False))
    vectors = np.stack([asked.vector for asked in queries]) if routes else queries[0].vector
    hops = HopProcessor(session, used, 1 if routes else min(channels_in, 2), vectors, controls)
    if demo and record is None:
        record = free_name(Path("marssep-demo.wav"))
        if record_input is None:
            record_input = free_name(Path("marssep-demo.input.wav"))
    setup = prepare(hops, rate, blocksize or hops.info.hop, channels_in, channels_out, devices, record, record_input, bundle, queries,
                    controls, used, routes)  # fmt: skip
    try:
        remote = osc_control(setup, osc)
    except MarssepError:
        discard(setup.recorders)
        setup.device.close()
        raise
    if learn is not None:
        setup.control.learn(learn, then=lambda: setup.control.change(bypass=False))
    with remote:
        message = run_until(setup, stop, duration, plain)
    code = finish(setup, stats, message, plain, record if demo else None)
    if code:
        raise typer.Exit(code)


def several(bundle: Bundle, asking: tuple[list[str], list[Path], list[Path], list[Path]], negative: str | None) -> list[Query]:
    """A query for each thing that was asked for: words first, then pictures, recordings and files."""
    texts, images, audios, files = asking
    parts: list[tuple[list[str], list[Path], list[Path], list[Path]]] = [([t], [], [], []) for t in texts]
    parts += [([], [p], [], []) for p in images] + [([], [], [p], []) for p in audios] + [([], [], [], [p]) for p in files]
    return [combine(bundle, *part, negative) for part in parts]


def first(*values: float | None) -> float:
    """The first that was given; the last always is."""
    return next(v for v in values if v is not None)


def chosen(source: str | None, sink: str | None) -> tuple[Device, Device]:
    """The devices that were asked for, else those of the last run that asked for some, while they are there; else the default ones."""
    kept = last_devices()
    names: list[str | None] = []
    devices = []
    for kind, wanted, before in (("input", source, kept[0]), ("output", sink, kept[1])):
        name = None if wanted == "default" else wanted
        device = None
        if wanted is None and before is not None:
            try:
                device, name = choose(before, kind), before
            except UsageError:
                device = None  # it is not there today
        device = device or choose(name, kind)
        devices.append(device)
        names.append(device.name if name is not None and wanted is not None else name)
    if source is not None or sink is not None:
        remember_devices(*names)
    return devices[0], devices[1]


def tell_latency(source: Device, sink: Device, blocksize: int | None, model: Path | None, provider: str) -> None:
    """``--measure-latency``: what was measured beside what is reported, in parts."""
    from marssep_rt.live.loopback import measure

    rate, channels_in, channels_out = negotiate(source, sink)
    session, used = open_graph(bundles.load(model), provider)
    hops = HopProcessor(session, used, min(channels_in, 2), placeholder(GraphInfo.of(session).query_dim), Controls())
    block = blocksize or hops.info.hop
    engine = Engine(hops, configured(hops, rate, block, channels_in, channels_out))
    loop = measure(source, sink, rate, (channels_in, channels_out), block)
    parts = engine.latency_ms()
    spread = "" if len(set(loop.samples)) == 1 else f" (from {min(loop.samples)} to {max(loop.samples)})"
    print(f"device     {loop.measured_ms:.2f} ms measured, {int(np.median(loop.samples))} samples at {rate} Hz{spread}; "
          f"PortAudio says {loop.reported_ms:.2f} ms")  # fmt: skip
    print(f"engine     {parts['engine']:.2f} ms = algorithmic {parts['algorithmic']:.1f} + blocks {parts['blocks']:.1f} + slack "
          f"{parts['slack']:.1f}, exact")  # fmt: skip
    print(f"total      {loop.measured_ms + parts['engine']:.2f} ms measured, {loop.reported_ms + parts['engine']:.2f} ms reported")


def placeholder(query_dim: int) -> npt.NDArray[np.float32]:
    """A unit vector that stands for no sound."""
    return np.full(query_dim, query_dim**-0.5, np.float32)


def osc_control(setup: Setup, port: int | None) -> AbstractContextManager[object]:
    """The OSC server of a run, already listening; nothing without a port."""
    if port is None:
        return nullcontext()
    from marssep_rt.live.osc import OscControl

    return OscControl(setup.control, port)
