"""A virtual microphone on PipeWire or PulseAudio: other programs record what marssep live plays.

``pactl`` loads a null sink, into which marssep plays, and a source with the sink's monitor behind it, which
programs show as a microphone. Both are unloaded when the run ends.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from marssep_rt.console import print_warning
from marssep_rt.errors import DeviceError

SINK, SOURCE = "marssep_sink", "marssep_mic"
DESCRIPTION = "marssep microphone"
JSON = ("-f", "json", "list")
SECONDS = 5.0  # for an answer of the sound server
# where a program plays to over PulseAudio's library. PIPEWIRE_ALSA of PipeWire's ALSA plug-in would send the
# recording there as well, so ``route`` moves such a stream
ROUTING = {"PULSE_SINK": SINK}
MODULES = (
    ("module-null-sink", f"sink_name={SINK}", "sink_properties=device.description=marssep"),
    (
        "module-remap-source",
        f"source_name={SOURCE}",
        f"master={SINK}.monitor",
        f"source_properties=\"device.description='{DESCRIPTION}'\"",  # both quotes: PulseAudio parses twice
    ),
)


class VirtualMic:
    """The virtual microphone for as long as the context lasts.

    Enter it before the audio library is started: it sets where the process plays to and records from. It
    records from what was the default source before: where the virtual microphone is the default one, the
    process would otherwise hear itself.

    Raises:
        DeviceError: There is no ``pactl``, or the sound server refuses; nothing is left behind.
    """

    def __init__(self) -> None:
        self.loaded: list[str] = []  # numbers of the modules
        self.source = ""  # where the process records from
        self._before: dict[str, str | None] = {}  # of the environment

    def __enter__(self) -> VirtualMic:
        self._unload_stale()
        self.source = os.environ.get("PULSE_SOURCE") or default_source(_pactl("info"))
        try:
            for module in MODULES:
                self.loaded.append(_pactl("load-module", *module).strip())
        except DeviceError:
            self._unload()
            raise
        routing = ROUTING | ({"PULSE_SOURCE": self.source} if self.source else {})
        self._before = {name: os.environ.get(name) for name in routing}
        os.environ.update(routing)
        return self

    def route(self) -> None:
        """Move this process's playback to the sink, and its recording off the virtual microphone.

        The sound server may have sent them elsewhere, where it remembers another place. If that fails, a
        warning says so: the sound goes on, and can be moved by hand.
        """
        try:
            clients = own_clients(_pactl(*JSON, "clients"))
            sink = numbers(_pactl("list", "short", "sinks")).get(SINK)
            for stream, place in streams_of(clients, _pactl(*JSON, "sink-inputs"), "sink"):
                if place != sink:
                    _pactl("move-sink-input", str(stream), SINK)
            sources = numbers(_pactl("list", "short", "sources"))
            itself = {sources.get(SOURCE), sources.get(f"{SINK}.monitor")}
            for stream, place in streams_of(clients, _pactl(*JSON, "source-outputs"), "source"):
                if place in itself and self.source:
                    _pactl("move-source-output", str(stream), self.source)
        except DeviceError as e:
            print_warning(f"{e}; move marssep's playback to {SINK} by hand (pavucontrol)")

    def _unload_stale(self) -> None:
        """Unload what a run that was killed has left."""
        for line in reversed(_pactl("list", "short", "modules").splitlines()):
            number, _, rest = line.partition("\t")
            if f"sink_name={SINK}" in rest or f"source_name={SOURCE}" in rest:
                _pactl("unload-module", number)

    def _unload(self) -> None:
        while self.loaded:
            try:
                _pactl("unload-module", self.loaded.pop())
            except DeviceError as e:
                print_warning(str(e))  # the server has gone, and its modules with it

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._unload()
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def default_source(info: str) -> str:
    """The name of the default source in the answer of ``pactl info``; nothing where there is none."""
    names = [
        line.split(":", 1)[1].strip() for line in info.splitlines() if line.startswith("Default Source:")
    ]
    return names[0] if names and not names[0].startswith("@") else ""


def numbers(listed: str) -> dict[str, int]:
    """Names and numbers in an answer of ``pactl list short``."""
    rows = [line.split("\t") for line in listed.splitlines()]
    return {row[1]: int(row[0]) for row in rows if len(row) > 1 and row[0].isdigit()}


def own_clients(listed: str) -> set[str]:
    """This process's clients in an answer of ``pactl -f json list clients``: their numbers."""
    process = str(os.getpid())
    return {
        str(client["index"])
        for client in _parsed(listed)
        if str(client.get("properties", {}).get("application.process.id")) == process
    }


def streams_of(clients: set[str], listed: str, place: str) -> list[tuple[int, int]]:
    """The streams of some clients in an answer of ``pactl -f json list``.

    Args:
        clients: Their numbers. Streams of PipeWire's own clients do not say of which process they are.
        listed: The answer.
        place: "sink" or "source".

    Returns:
        The number of each stream and of its sink or source.
    """
    return [(int(s["index"]), int(s[place])) for s in _parsed(listed) if str(s.get("client")) in clients]


def _parsed(listed: str) -> list[dict[str, Any]]:
    """An answer of ``pactl -f json``; nothing for another one."""
    try:
        return list(json.loads(listed))
    except ValueError:
        return []


def _pactl(*arguments: str) -> str:
    """The output of pactl; raises DeviceError."""
    if sys.platform != "linux" or (program := shutil.which("pactl")) is None:
        raise DeviceError(
            "--virtual-mic needs pactl of PipeWire or PulseAudio (package pulseaudio-utils); "
            "on macOS use BlackHole, on Windows VB-Cable, see docs/live.md"
        )
    command: Sequence[str] = (program, *arguments)
    env = os.environ | {"LC_ALL": "C"}  # its answers are read
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False, env=env)
    except (OSError, subprocess.TimeoutExpired) as e:
        raise DeviceError(f"the sound server does not answer pactl {arguments[0]}; is it running?") from e
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["no reason given"]
        raise DeviceError(f"the sound server refuses pactl {' '.join(arguments[:2])}: {said[-1]}")
    return done.stdout
