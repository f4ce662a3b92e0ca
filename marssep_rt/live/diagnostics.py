"""``marssep live --doctor``: what this machine has and can do, as text for a bug report."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata

import onnxruntime as ort

from marssep_rt.dsp.latency import live_slack, worker_delay
from marssep_rt.errors import DeviceError
from marssep_rt.live.devices.audio_device import Device, list_devices, portaudio, takes
from marssep_rt.live.devices.jack import server_period
from marssep_rt.live.realtime.priority import can_set_realtime_priority
from marssep_rt.model.bundle import Bundle
from marssep_rt.model.providers import PROVIDERS, has_cuda_driver, open_graph, time_hops
from marssep_rt.model.stream import GraphInfo
from marssep_rt.utils.benchmark import Times, quantiles

BENCHMARK_SECONDS = 5.0
PACKAGES = ("marssep", "numpy", "scipy", "sounddevice", "soundfile", "soxr", "tokenizers")
BLOCKS = (64, 128, 256, 480, 512, 1024, 2048)


def version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def processor() -> str:
    """The processor's name as the system tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def cuda() -> str:
    """Whether CUDA is there, and if not why."""
    if PROVIDERS["cuda"] not in ort.get_available_providers():
        return "not in this onnxruntime (the package onnxruntime-gpu has it)"
    if not has_cuda_driver():
        return "no NVIDIA driver (libcuda) on this machine"
    return "driver found; whether its libraries load shows in the benchmark below"


def priority() -> str:
    """Whether the model's thread comes before ordinary ones, and what to do about it."""
    if can_set_realtime_priority():
        return "real time is granted: the model does not wait for other programs"
    if not hasattr(os, "sched_setscheduler"):
        return "ordinary (real time is only asked for on Linux)"
    return (
        "ordinary: where the system allows real-time priority (group audio, ulimit -r), "
        "the model does not wait for other programs"
    )


def sound() -> Iterator[str]:
    """Host APIs and devices, with the rates that each takes."""
    try:
        sd = portaudio()
    except DeviceError as e:
        yield str(e)
        return
    yield f"PortAudio  {sd.get_portaudio_version()[1]}"
    for api in sd.query_hostapis():
        yield f"host API   {api['name']}: {len(api['devices'])} devices"
    devices = list_devices()
    for device in devices:
        yield f"device     {str(device).strip()}; takes {rates(device) or 'no rate that marssep uses'}"
    if not devices:
        yield "device     none: marssep live --demo works without one"


def rates(device: Device) -> str:
    return ", ".join(
        str(r)
        for r in (44_100, 48_000, 96_000)
        if takes(r, device, min(2, device.inputs), device, min(2, device.outputs))
    )


def jack_period() -> int | None:
    """The period of the JACK server, if there is one among the devices."""
    try:
        devices = list_devices()
    except DeviceError:
        return None
    return server_period() if any(device.jack for device in devices) else None


@dataclass(frozen=True)
class BlockAdvice:
    """What a block size means on this machine.

    Attributes:
        block: The block size in samples.
        latency_ms: The engine's latency with it.
        works: Whether all hops of one block are done in time.
    """

    block: int
    latency_ms: float
    works: bool

    @classmethod
    def of(cls, block: int, slowest_hop: float, hop: int, latency: int, rate: int) -> BlockAdvice:
        """Work it out.

        Args:
            block: The block size in samples.
            slowest_hop: Seconds that one hop may take.
            hop: The model's hop in samples.
            latency: The graph's latency in samples.
            rate: Sample rate in Hz.
        """
        slack = live_slack(slowest_hop, block, rate)
        hops = -(-block // hop)
        works = hops * slowest_hop * rate <= block + slack
        return cls(block, 1e3 * (latency + worker_delay(block, hop, slack)) / rate, works)


def advice(times: Times, hop: int, latency: int, rate: int, period: int | None = None) -> Iterator[str]:
    """What the benchmark means for latency and block size.

    Args:
        times: The benchmark's times.
        hop: The model's hop in samples.
        latency: The graph's latency in samples.
        rate: Sample rate in Hz.
        period: The period of a JACK server, if there is one.
    """
    lasts = 1e3 * hop / rate
    s = quantiles(times)
    if s["p99"] > lasts:
        yield (
            f"advice     too slow: one hop in a hundred takes longer than the {lasts:.0f} ms it lasts; "
            "close what else runs"
        )
        return
    blocks = [BlockAdvice.of(block, 1e-3 * s["p999"], hop, latency, rate) for block in BLOCKS]
    best = min(blocks, key=lambda one: (not one.works, one.latency_ms))
    for one in blocks:
        mark = "" if one.works else "   (this machine may be too slow for it)"
        mark = "   <- least" if one is best else mark
        yield f"latency    --blocksize {one.block}: {one.latency_ms:.1f} ms and the device's own{mark}"
    working = [str(one.block) for one in blocks if one.works]
    if working:
        yield (
            f"advice     block sizes that work here: {', '.join(working)}; "
            f"--blocksize {best.block} is the best"
        )
    if period is not None:
        yield from jack_advice(BlockAdvice.of(period, 1e-3 * s["p999"], hop, latency, rate), best, rate)
    if s["worst"] > lasts:
        yield (
            f"advice     the worst hop took {s['worst']:.1f} ms: something else held the processor; "
            "expect single dropouts"
        )
    yield (
        "advice     measure what the device adds: marssep live --measure-latency with output and input joined"
    )


def jack_advice(now: BlockAdvice, best: BlockAdvice, rate: int) -> Iterator[str]:
    """What a JACK server's period means.

    Args:
        now: The server's period.
        best: The best block size of this machine.
        rate: Sample rate in Hz.
    """
    yield (
        f"JACK       delivers {now.block} samples at a time: marssep live takes that as its block size, "
        f"{now.latency_ms:.1f} ms and the device's own"
    )
    if not now.works or now.latency_ms > best.latency_ms:
        yield (
            f"advice     JACK: {'less latency' if now.works else 'fewer drop-outs'} with another period "
            f"(jackd -p {best.block}; "
            f"PipeWire: PIPEWIRE_LATENCY={best.block}/{rate} pw-jack marssep live ...)"
        )


def report(bundle: Bundle, provider: str) -> Iterator[str]:
    """Line by line; the benchmark's take some seconds."""
    yield f"marssep    {version('marssep')}, Python {platform.python_version()}, {platform.platform()}"
    yield f"processor  {processor()}, {os.cpu_count()} logical cores"
    yield f"priority   {priority()}"
    yield "packages   " + ", ".join(f"{p} {version(p)}" for p in PACKAGES[1:])
    yield f"runtime    onnxruntime {ort.__version__} with {', '.join(ort.get_available_providers())}"
    yield f"CUDA       {cuda()}"
    yield f"model      {bundle.name}, encoder {bundle.encoder}, " + ", ".join(
        f"{kind} queries" for kind in ("text", "audio", "image") if bundle.has(f"{kind}.onnx")
    )
    yield from sound()
    opened = [open_graph(bundle, provider)]
    if provider == "auto" and opened[0][1] == "cuda":
        opened.append(open_graph(bundle, "cpu"))
    runs = [(time_hops(session, used, BENCHMARK_SECONDS), used) for session, used in opened]
    for times, used in runs:
        s = quantiles(times)
        yield (
            f"benchmark  {len(times)} hops of 10 ms, paced, on {used}: p50 {s['p50']:.2f} ms, "
            f"p99 {s['p99']:.2f}, p99.9 {s['p999']:.2f}, worst {s['worst']:.2f}"
        )
    times, used = min(runs, key=lambda run: quantiles(run[0])["p99"])
    if len(runs) > 1:
        yield f"provider   --provider auto takes {used} here: the lower p99"
    info = GraphInfo.of(opened[0][0])
    yield from advice(times, info.hop, info.latency, info.sample_rate, jack_period())
