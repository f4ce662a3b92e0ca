"""Audio devices through PortAudio: list, choose, open, and close even if they are gone."""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from marssep_rt.errors import DeviceError, UsageError
from marssep_rt.live.devices import jack
from marssep_rt.live.realtime.engine import Engine

RATES = (48_000, 44_100, 96_000, 88_200, 32_000, 24_000, 16_000)


def portaudio() -> Any:
    """The sounddevice module; raises DeviceError where PortAudio is not installed."""
    if "sounddevice" not in sys.modules:
        jack.name_client()  # importing it initialises PortAudio
    try:
        import sounddevice
    except OSError as e:
        raise DeviceError(
            "PortAudio is not installed (on Debian and Ubuntu: apt-get install libportaudio2); or try --demo"
        ) from e
    return sounddevice


class SoundDevice(Protocol):
    """Calls an engine's ``callback`` once a block, on a thread of its own.

    >>> device = LiveDevice(engine, source, sink)
    >>> device.start()
    >>> device.close()
    """

    @property
    def finished(self) -> bool:
        """Whether the device has played everything it had; never for a sound card."""
        ...

    def start(self) -> None:
        """Begin to call the engine; raises DeviceError."""
        ...

    def latency_ms(self) -> tuple[float, float]:
        """The device's own latency at its input and at its output in ms."""
        ...

    def close(self, patience: float = 2.0) -> bool:
        """Stop and close; returns False if that does not succeed within ``patience`` seconds."""
        ...


@dataclass(frozen=True)
class Device:
    """One entry of the list: PortAudio's index, name, host API and what it can do."""

    index: int
    name: str
    api: str
    inputs: int
    outputs: int
    default_rate: int

    @property
    def jack(self) -> bool:
        """Whether it belongs to a JACK server, or to PipeWire as one."""
        return self.api == jack.HOST_API

    def __str__(self) -> str:
        channels = f"{self.inputs} in, {self.outputs} out"
        return f"{self.index:3}  {self.name} ({self.api}): {channels}, {self.default_rate} Hz"


def list_devices() -> list[Device]:
    """All devices, in PortAudio's order.

    ALSA's plug-in to a JACK server is left out where PortAudio reaches the server itself: it adds latency,
    and its client is not called marssep.
    """
    sd = portaudio()
    apis = sd.query_hostapis()
    devices = [
        Device(
            i,
            d["name"],
            apis[d["hostapi"]]["name"],
            d["max_input_channels"],
            d["max_output_channels"],
            round(d["default_samplerate"]),
        )
        for i, d in enumerate(sd.query_devices())
    ]
    if any(device.jack for device in devices):
        devices = [d for d in devices if (d.name, d.api) != ("jack", "ALSA")]
    return devices


def choose(wanted: str | None, kind: str) -> Device:
    """Find a device.

    Args:
        wanted: A number, or words that must all be in the name or API of the device; None is the default
            device.
        kind: "input" or "output".

    Raises:
        UsageError: No device fits, or several do.
        DeviceError: There is no device at all.
    """
    sd = portaudio()
    devices = list_devices()
    able = [d for d in devices if (d.inputs if kind == "input" else d.outputs) > 0]
    if not able:
        raise DeviceError(
            f"this machine has no sound {kind} device; "
            "hear the model anyway with: marssep live --demo --query TEXT"
        )
    if wanted is None:
        default = sd.default.device[0 if kind == "input" else 1]
        return next((d for d in able if d.index == default), next((d for d in able if d.jack), able[0]))
    if wanted.isdigit():
        found = [d for d in able if d.index == int(wanted)]
    else:
        words = wanted.lower().split()
        found = [d for d in able if all(w in f"{d.name} {d.api}".lower() for w in words)]
        found = [d for d in found if d.name.lower() == wanted.lower()] or found
    if not found:
        raise UsageError(f"no {kind} device fits {wanted!r}; see marssep live --list-devices")
    if len(found) > 1:
        names = "; ".join(f"{d.index} {d.name} ({d.api})" for d in found[:4])
        raise UsageError(f"{len(found)} {kind} devices fit {wanted!r} ({names}); give the number")
    return found[0]


def takes(rate: int, source: Device, channels_in: int, sink: Device, channels_out: int) -> bool:
    """Whether the devices open at that rate with so many channels; a side of no channels is not asked."""
    sd = portaudio()
    try:
        if channels_in:
            sd.check_input_settings(source.index, channels_in, "float32", samplerate=rate)
        if channels_out:
            sd.check_output_settings(sink.index, channels_out, "float32", samplerate=rate)
    except (sd.PortAudioError, ValueError):
        return False
    return True


def negotiate(source: Device, sink: Device, outputs: int = 2) -> tuple[int, int, int]:
    """Choose the audio format: 48 kHz if the devices support it, else another rate.

    Args:
        source: The input device.
        sink: The output device.
        outputs: The number of output channels; more than two must exist.

    Returns:
        Sample rate, input channels, output channels.

    Raises:
        UsageError: The output device has too few channels.
        DeviceError: The devices share no sample rate.
    """
    if outputs > max(2, sink.outputs):
        raise UsageError(f"{sink.name} has {sink.outputs} outputs, there is no output {outputs}")
    channels_in, channels_out = min(2, source.inputs), min(outputs, sink.outputs)
    rates = list(dict.fromkeys((*RATES[:1], source.default_rate, sink.default_rate, *RATES[1:])))
    for rate in rates:
        if takes(rate, source, channels_in, sink, channels_out):
            return rate, channels_in, channels_out
    raise DeviceError(
        f"{source.name} and {sink.name} share no sample rate; choose other devices (--list-devices)"
    )


def open_stream(
    source: Device,
    sink: Device,
    rate: int,
    channels: tuple[int, int],
    blocksize: int,
    callback: Callable[..., None],
) -> Any:
    """A duplex stream of float32 at the lowest latency, not yet started.

    Args:
        source: The input device.
        sink: The output device.
        rate: Sample rate in Hz.
        channels: Input and output channels.
        blocksize: In samples. JACK is always asked for its own period.
        callback: As sounddevice calls it.

    Raises:
        DeviceError: The devices cannot be opened.
    """
    sd = portaudio()
    try:
        return sd.Stream(
            samplerate=rate,
            blocksize=0 if source.jack else blocksize,
            device=(source.index, sink.index),
            channels=channels,
            dtype=np.float32,
            latency="low",
            callback=callback,
        )
    except sd.PortAudioError as e:
        raise DeviceError(
            f"cannot open {source.name} -> {sink.name}: {e}; "
            "close what uses it, or choose another (--list-devices)"
        ) from e


def reported_latency_ms(stream: Any, source: Device, period: int) -> tuple[float, float]:
    """What the driver reports of a stream's input and output side, in ms.

    Args:
        stream: The stream.
        source: Its input device.
        period: The server's period in samples, which PortAudio does not count at either side of JACK.
    """
    uncounted = 1e3 * period / stream.samplerate if source.jack else 0.0
    came, went = stream.latency
    return came * 1e3 + uncounted, went * 1e3 + uncounted


def close_stream(stream: Any, patience: float = 2.0) -> bool:
    """Stop and close a stream.

    Returns:
        False if the device is gone and PortAudio hangs. The process must then end with ``os._exit``.
    """

    def end() -> None:
        stream.abort()
        stream.close()

    thread = threading.Thread(target=end, daemon=True)
    thread.start()
    thread.join(patience)
    return not thread.is_alive()


def open_again(engine: Engine, source: Device, sink: Device) -> LiveDevice:
    """Open the devices of these names again, whatever their numbers are now.

    Raises:
        DeviceError: They are not connected.
    """
    sd = portaudio()
    sd._terminate()  # PortAudio looks for devices only when it begins
    sd._initialize()
    now = list_devices()
    found = []
    for wanted, needed in ((source, "inputs"), (sink, "outputs")):
        same = [
            d
            for d in now
            if (d.name, d.api) == (wanted.name, wanted.api)
            and getattr(d, needed) >= min(2, getattr(wanted, needed))
        ]
        if not same:
            raise DeviceError(f"{wanted.name} is not there")
        found.append(same[0])
    return LiveDevice(engine, *found)


class LiveDevice:
    """A duplex PortAudio stream around an engine's callback."""

    def __init__(self, engine: Engine, source: Device, sink: Device) -> None:
        self.engine, self.source = engine, source
        config = engine.config

        def callback(indata: Any, outdata: Any, frames: int, when: Any, status: Any) -> None:
            engine.callback(indata, outdata)

        def jack_callback(indata: Any, outdata: Any, frames: int, when: Any, status: Any) -> None:
            # the pieces of a long period come at the same time; a clock that stands still says nothing
            engine.callback(indata, outdata, when.currentTime or math.nan)

        self.stream = open_stream(
            source,
            sink,
            config.device_rate,
            (config.input_channels, config.output_channels),
            config.blocksize,
            jack_callback if source.jack else callback,
        )

    def start(self) -> None:
        try:
            self.stream.start()
        except portaudio().PortAudioError as e:
            raise DeviceError(f"the sound device does not start: {e}") from e

    def latency_ms(self) -> tuple[float, float]:
        """What the driver reports of its input and output side; it understates."""
        return reported_latency_ms(self.stream, self.source, self.engine.bridge.burst)

    @property
    def finished(self) -> bool:
        return False

    def close(self, patience: float = 2.0) -> bool:
        """Stop and close, see ``close_stream``."""
        return close_stream(self.stream, patience)
