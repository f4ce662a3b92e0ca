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

from marssep_rt.console import print_warning
from marssep_rt.errors import DeviceError

SINK, SOURCE = "marssep_sink", "marssep_mic"
DESCRIPTION = "marssep microphone"
SECONDS = 5.0  # for an answer of the sound server
# where a program's streams go: PulseAudio's variable, and that of PipeWire's ALSA plug-in
ROUTING = {"PULSE_SINK": SINK, "PIPEWIRE_ALSA": json.dumps({"target.object": SINK})}
MODULES = (
    ("module-null-sink", f"sink_name={SINK}", "sink_properties=device.description=marssep"),
    (
        "module-remap-source",
        f"source_name={SOURCE}",
        f"master={SINK}.monitor",
        f"source_properties=device.description='{DESCRIPTION}'",
    ),
)


class VirtualMic:
    """The virtual microphone for as long as the context lasts.

    Enter it before the audio library is started: it sets where the process plays to.

    Raises:
        DeviceError: There is no ``pactl``, or the sound server refuses; nothing is left behind.
    """

    def __init__(self) -> None:
        self.loaded: list[str] = []  # numbers of the modules

    def __enter__(self) -> VirtualMic:
        self._unload_stale()
        try:
            for module in MODULES:
                self.loaded.append(_pactl("load-module", *module).strip())
        except DeviceError:
            self._unload()
            raise
        os.environ.update(ROUTING)
        return self

    def route(self) -> None:
        """Move this process's playback to the sink, where the sound server has sent it elsewhere.

        If that fails, a warning says so: the sound goes on, and can be moved by hand.
        """
        try:
            for number in playback_streams(_pactl("-f", "json", "list", "sink-inputs"), os.getpid()):
                _pactl("move-sink-input", str(number), SINK)
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
        for name in ROUTING:
            os.environ.pop(name, None)


def playback_streams(listed: str, process: int) -> list[int]:
    """Numbers of the streams that a process plays and that are not in the sink yet.

    Args:
        listed: The answer of ``pactl -f json list sink-inputs``.
        process: The process's number.
    """
    try:
        streams = json.loads(listed)
    except ValueError:
        return []
    own = [s for s in streams if str(s.get("properties", {}).get("application.process.id")) == str(process)]
    return [int(stream["index"]) for stream in own if stream.get("sink") != SINK]


def _pactl(*arguments: str) -> str:
    """The output of pactl; raises DeviceError."""
    if sys.platform != "linux" or (program := shutil.which("pactl")) is None:
        raise DeviceError(
            "--virtual-mic needs pactl of PipeWire or PulseAudio (package pulseaudio-utils); "
            "on macOS use BlackHole, on Windows VB-Cable, see docs/live.md"
        )
    command: Sequence[str] = (program, *arguments)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as e:
        raise DeviceError(f"the sound server does not answer pactl {arguments[0]}; is it running?") from e
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["no reason given"]
        raise DeviceError(f"the sound server refuses pactl {' '.join(arguments[:2])}: {said[-1]}")
    return done.stdout
