"""``marssep live``: from the input device through the model to the output device, until Ctrl-C."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from marssep_rt.arrays import Array
from marssep_rt.audio_io.writer import sound_format
from marssep_rt.cli.options import EMPTY_PRESET, QUERY, MixerOptions, QueryOptions, command
from marssep_rt.console import console, print_understood, print_warning, print_warnings
from marssep_rt.dsp.mixer import Controls
from marssep_rt.dsp.stream_processor import StreamProcessor
from marssep_rt.errors import MarssepError, UsageError
from marssep_rt.live.control.keyboard import HELP
from marssep_rt.live.control.presets import Preset, read_preset
from marssep_rt.live.devices.audio_device import Device, choose, list_devices, negotiate
from marssep_rt.live.devices.device_memory import last_devices, remember_devices
from marssep_rt.live.devices.jack import period_message, server_period
from marssep_rt.live.devices.virtual_mic import DESCRIPTION, VirtualMic
from marssep_rt.live.realtime.audio_bridge import EngineConfig
from marssep_rt.live.realtime.engine import Engine
from marssep_rt.live.run import LiveRun, RunConfig, StopFlag, free_name, with_slack
from marssep_rt.live.service import OPTION, install
from marssep_rt.model import bundle as bundles
from marssep_rt.model.bundle import Bundle
from marssep_rt.model.providers import open_fastest, open_graph
from marssep_rt.model.stream import GraphInfo
from marssep_rt.query.build import build_query
from marssep_rt.query.types import Query

# groups of options in the help
DEVICES, RUN, INSTEAD = "Devices", "Run", "Instead of a run"
DEMO_RATE = 48_000
DEFAULT_OUTPUTS = 2
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(kw_only=True)
class LiveOptions(MixerOptions, QueryOptions):
    """The options of ``marssep live``."""

    learn: Annotated[
        float | None,
        typer.Option(
            "--learn",
            help="Learn the query from the first seconds of input.",
            min=0.5,
            max=60,
            metavar="SECONDS",
            rich_help_panel=QUERY,
        ),
    ] = None
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            help="Query and settings by this name in presets.toml.",
            metavar="NAME",
            rich_help_panel=QUERY,
        ),
    ] = None
    list_all: Annotated[
        bool,
        typer.Option("--list-devices", "-l", help="List audio devices and exit.", rich_help_panel=INSTEAD),
    ] = False
    doctor: Annotated[
        bool,
        typer.Option(
            "--doctor", help="Print diagnostics for a bug report and exit.", rich_help_panel=INSTEAD
        ),
    ] = False
    measuring: Annotated[
        bool,
        typer.Option(
            "--measure-latency",
            help="Measure the latency of a loopback from output to input and exit.",
            rich_help_panel=INSTEAD,
        ),
    ] = False
    source: Annotated[
        str | None,
        typer.Option(
            "--input",
            "-i",
            help="Input device: number, part of its name, or default.",
            metavar="DEV",
            rich_help_panel=DEVICES,
        ),
    ] = None
    sink: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            help="Output device: number, part of its name, or default.",
            metavar="DEV",
            rich_help_panel=DEVICES,
        ),
    ] = None
    blocksize: Annotated[
        int | None,
        typer.Option(
            "--blocksize",
            "-b",
            help="Block size in samples (JACK: its period).",
            min=1,
            max=16384,
            metavar="N",
            rich_help_panel=DEVICES,
        ),
    ] = None
    record: Annotated[
        Path | None,
        typer.Option(
            "--record", help="Record the output (.wav or .flac).", metavar="FILE", rich_help_panel=RUN
        ),
    ] = None
    record_input: Annotated[
        Path | None,
        typer.Option("--record-input", help="Record the input.", metavar="FILE", rich_help_panel=RUN),
    ] = None
    duration: Annotated[
        float | None,
        typer.Option(
            "--duration", help="Stop after so many seconds.", min=0.1, metavar="SECONDS", rich_help_panel=RUN
        ),
    ] = None
    stats: Annotated[
        Path | None,
        typer.Option(
            "--stats", help="Write the figures of the run.", metavar="FILE.json", rich_help_panel=RUN
        ),
    ] = None
    plain: Annotated[
        bool, typer.Option("--plain", help="Plain log lines instead of the dashboard.", rich_help_panel=RUN)
    ] = False
    second_look: Annotated[
        bool,
        typer.Option(
            "--second-look/--no-second-look",
            help="Ask again twice a second, by what just came out and stayed behind.",
            rich_help_panel=RUN,
        ),
    ] = False
    to: Annotated[
        list[int] | None,
        typer.Option(
            "--output-channel",
            help="Output channel of a query: --query A --output-channel 1 ...",
            min=1,
            max=64,
            metavar="CHANNEL",
            rich_help_panel=DEVICES,
        ),
    ] = None
    osc: Annotated[
        int | None,
        typer.Option(
            "--osc",
            help="Take OSC messages on this port, send meters to the next.",
            min=1,
            max=65534,
            metavar="PORT",
            rich_help_panel=RUN,
        ),
    ] = None
    virtual_mic: Annotated[
        bool,
        typer.Option(
            "--virtual-mic",
            help="Linux: play into a microphone that other programs can choose (pactl).",
            rich_help_panel=DEVICES,
        ),
    ] = False
    install_service: Annotated[
        bool,
        typer.Option(
            OPTION,
            help="Linux: write a systemd user unit that runs this command after login, and exit.",
            rich_help_panel=INSTEAD,
        ),
    ] = False
    demo: Annotated[
        bool,
        typer.Option(
            "--demo",
            help="No audio device: a synthesised mixture in real time, recorded.",
            rich_help_panel=DEVICES,
        ),
    ] = False

    @property
    def routes(self) -> tuple[int, ...]:
        """The output channel of each target, from 0."""
        return tuple(channel - 1 for channel in self.to or ())

    def read_preset(self) -> Preset:
        """The preset, an empty one without ``--preset``; raises UsageError."""
        return EMPTY_PRESET if self.preset is None else read_preset(self.preset)

    def check_files(self) -> None:
        """Refuse files that cannot be written; raises UsageError."""
        for path in (self.record, self.record_input):
            if path is not None:
                sound_format(path)
                if path.exists():
                    raise UsageError(f"{path} exists; recordings do not replace files, choose another name")
        if self.stats is not None and not self.stats.parent.is_dir():
            raise UsageError(f"there is no folder {self.stats.parent} for the stats file")
        paths = [path.absolute() for path in (self.record, self.record_input) if path is not None]
        if len(set(paths)) < len(paths):
            raise UsageError("--record and --record-input name the same file")


@command(app, LiveOptions, epilog=f"Keys while it runs: {HELP}")
def main(options: LiveOptions) -> None:
    """Hear only what the query names: marssep live --query "dog barking" """
    if options.list_all:
        print_devices()
    elif options.doctor:
        print_diagnostics(options)
    elif options.measuring:
        print_latency(options)
    elif options.install_service:
        install_service(options)
    elif code := run(options):
        raise typer.Exit(code)


def print_devices() -> None:
    """``--list-devices``."""
    devices = list_devices()
    for device in devices:
        print(device)
    if not devices:
        console.print("no sound devices; marssep live --demo works without one")


def print_diagnostics(options: LiveOptions) -> None:
    """``--doctor``."""
    from marssep_rt.live.diagnostics import report

    for line in report(bundles.load(options.model), options.provider):
        print(line, flush=True)


def print_latency(options: LiveOptions) -> None:
    """``--measure-latency``: the measured latency and the reported one, in parts."""
    from marssep_rt.live.devices.loopback import measure

    source, sink = choose_devices(options.source, options.sink)
    rate, channels_in, channels_out = negotiate(source, sink)
    session, provider = open_graph(bundles.load(options.model), options.provider)
    info = GraphInfo.of(session)
    vector = placeholder(info.query_dim)
    processor = StreamProcessor(session, provider, min(channels_in, 2), vector, Controls())
    block = choose_blocksize(options.blocksize, info.hop, (source, sink), rate)
    engine = Engine(processor, with_slack(processor, EngineConfig(rate, block, channels_in, channels_out)))
    loop = measure(source, sink, rate, (channels_in, channels_out), block)
    parts, measured, reported = engine.latency_ms(), loop.measured_ms, loop.reported_ms
    delay = int(np.median(loop.samples))
    spread = "" if len(set(loop.samples)) == 1 else f" (from {min(loop.samples)} to {max(loop.samples)})"
    print(
        f"device     {measured:.2f} ms measured, {delay} samples at {rate} Hz{spread}; "
        f"the driver reports {reported:.2f} ms"
    )
    print(
        f"engine     {parts['engine']:.2f} ms = algorithmic {parts['algorithmic']:.1f} + blocks "
        f"{parts['blocks']:.1f} + slack {parts['slack']:.1f}, exact"
    )
    print(
        f"total      {measured + parts['engine']:.2f} ms measured, "
        f"{reported + parts['engine']:.2f} ms reported"
    )


def install_service(options: LiveOptions) -> None:
    """``--install-service``: the options are checked as far as that needs no device."""
    choose_queries(options, options.read_preset(), bundles.load(options.model))
    arguments = sys.argv[2:] if sys.argv[1:2] == ["live"] else sys.argv[1:]
    path = install(arguments, Path.cwd())
    print(f"wrote {path}")
    print("start it now and after every login with:")
    print(f"  systemctl --user daemon-reload && systemctl --user enable --now {path.name}")


def run(options: LiveOptions) -> int:
    """Separate live, perhaps into a virtual microphone; returns the exit code."""
    if not options.virtual_mic:
        return run_live(options)
    if options.demo or options.sink is not None:
        raise UsageError("--virtual-mic is the output; leave out --output and --demo")
    stop = StopFlag()  # from here on a signal ends the run in order, and the microphone goes with it
    with VirtualMic() as mic:
        if stop.set:
            return 0
        console.print(f"other programs can choose “{DESCRIPTION}” now", markup=False)
        return run_live(options, mic)


def run_live(options: LiveOptions, mic: VirtualMic | None = None) -> int:
    """Separate live; returns the exit code."""
    preset = options.read_preset()
    controls = options.controls(preset)
    options.check_files()
    stop = StopFlag()
    bundle = bundles.load(options.model)
    queries, learning = choose_queries(options, preset, bundle)
    print_understood(query.understood for query in queries)
    for query in queries:
        print_warnings(query.warnings)
    controls = controls.with_changes(remove=queries[0].removes(controls.remove))
    if learning:
        controls = controls.with_changes(bypass=True)  # until there is a query
    devices, (rate, channels_in, channels_out) = choose_format(options)
    session, provider = open_fastest(
        bundle, options.provider, lambda words: console.print(words, markup=False)
    )
    routes = options.routes
    hop = GraphInfo.of(session).hop
    block = choose_blocksize(options.blocksize, hop, devices, rate)
    audio = EngineConfig(rate, block, channels_in, channels_out, routes=routes)
    processor = StreamProcessor(session, provider, audio.channels, queries, controls)
    live = LiveRun.open(processor, bundle, queries, configured(options, devices, audio))
    try:
        remote = osc_control(live, options.osc)
    except MarssepError:
        live.discard()
        raise
    if options.learn is not None:
        live.control.learn(options.learn, then=lambda: live.control.change(bypass=False))
    with remote:
        message = live.run(stop, mic.route if mic is not None else lambda: None)
    return live.finish(message)


def choose_queries(options: LiveOptions, preset: Preset, bundle: Bundle) -> tuple[list[Query], bool]:
    """The query of every target, and whether there is none yet because it is to be learnt.

    A query on the command line replaces the preset's.
    """
    request = options.request.or_else(preset.request)
    learning = options.learn is not None and not request
    if learning:
        queries = [Query(placeholder(bundle.query_dim), bundle.encoder, "nothing yet")]
    else:
        requests = request.split() if options.to else [request]
        queries = [build_query(bundle, part) for part in requests]
    if len(queries) > 1 and any(query.remove for query in queries):
        raise UsageError(
            "with --output-channel, name the sounds themselves; --mode residual gives the residual of each"
        )
    if options.to and len(options.to) != len(queries):
        raise UsageError(
            f"there are {len(queries)} queries and {len(options.to)} output channels; "
            "give --output-channel once for every query"
        )
    return queries, learning


def choose_format(options: LiveOptions) -> tuple[tuple[Device, Device] | None, tuple[int, int, int]]:
    """The devices (None: the demo), and sample rate, input channels and output channels."""
    outputs = max(options.to) if options.to else DEFAULT_OUTPUTS
    if options.demo:
        return None, (DEMO_RATE, 1, outputs if options.to else 1)
    devices = choose_devices(options.source, options.sink)
    if options.virtual_mic:
        devices = devices[0], server_device()
    rate, channels_in, channels_out = negotiate(*devices, outputs)
    if options.to and max(options.to) > channels_out:
        raise UsageError(f"the output has {channels_out} channels, there is no channel {max(options.to)}")
    return devices, (rate, channels_in, channels_out)


def server_device() -> Device:
    """The output device that leads to the sound server: PipeWire's or PulseAudio's, else the default one."""
    for name in ("pulse", "pipewire"):
        with suppress(UsageError):
            return choose(name, "output")
    return choose(None, "output")


def choose_blocksize(wanted: int | None, hop: int, devices: tuple[Device, Device] | None, rate: int) -> int:
    """The block size: the period of a JACK server, else what the user wants, else the hop.

    Args:
        wanted: The user's block size, if any; where JACK's period differs, a warning says so.
        hop: The model's hop in samples.
        devices: Input and output device; None is the demo.
        rate: Sample rate in Hz.
    """
    period = server_period() if devices is not None and devices[0].jack else None
    if period is None:
        return wanted or hop
    if wanted not in (None, period):
        print_warning(period_message(wanted, period, rate))
    return period


def configured(options: LiveOptions, devices: tuple[Device, Device] | None, audio: EngineConfig) -> RunConfig:
    """The options of the run; the demo is recorded even if nobody asks for it."""
    record, record_input = options.record, options.record_input
    if options.demo and record is None:
        record = free_name(Path("marssep-demo.wav"))
        record_input = record_input or free_name(Path("marssep-demo.input.wav"))
    return RunConfig(
        audio,
        devices,
        record,
        record_input,
        options.stats,
        options.duration,
        options.plain,
        options.second_look,
    )


def choose_devices(source: str | None, sink: str | None) -> tuple[Device, Device]:
    """The devices by number or name; without one, the device of the last run that named some, or the default.

    Args:
        source: The input device; "default" is the default one, None the last one.
        sink: The output device, likewise.
    """
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
                device = None  # it is not connected today
        device = device or choose(name, kind)
        devices.append(device)
        names.append(device.name if name is not None and wanted is not None else name)
    if source is not None or sink is not None:
        remember_devices(*names)
    return devices[0], devices[1]


def placeholder(query_dim: int) -> Array:
    """A unit vector that stands for no sound."""
    return np.full(query_dim, query_dim**-0.5, np.float32)


def osc_control(live: LiveRun, port: int | None) -> AbstractContextManager[object]:
    """The OSC server of a run, already listening; nothing without a port."""
    if port is None:
        return nullcontext()
    from marssep_rt.live.control.osc import OscControl

    return OscControl(live.control, port)
