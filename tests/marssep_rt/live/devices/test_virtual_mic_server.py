"""The virtual microphone on a real PulseAudio server: another program records the separated sound from it."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile

from marssep_rt.live.devices.demo_signals import demo_parts
from signals import RATE
from waiting import wait_until

NEEDED = ("pulseaudio", "pactl", "paplay", "parec")
MISSING = [program for program in NEEDED if shutil.which(program) is None]
PLUGIN = list(Path("/usr/lib").glob("**/alsa-lib/libasound_module_pcm_pulse.so")) if not MISSING else []
NO_PROGRAM = f"not installed: {', '.join(MISSING)} (packages pulseaudio, pulseaudio-utils)"
NO_PLUGIN = "ALSA does not know PulseAudio (package libasound2-plugins)"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=NO_PROGRAM),
    pytest.mark.skipif(not MISSING and not PLUGIN, reason=NO_PLUGIN),
]
LIVE = Path(sys.executable).parent / "marssep-live"
QUICK = "--latency-msec=30"  # or the server moves sound in pieces of two seconds


@contextlib.contextmanager
def running(*command, **settings):
    """A program that is ended, and waited for, with the context."""
    process = subprocess.Popen(command, **settings)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture
def server():
    """The environment of a server whose only sink is called room; its monitor is the room's microphone."""
    with tempfile.TemporaryDirectory(prefix="pa") as folder:  # sockets have short names
        env = {k: v for k, v in os.environ.items() if not k.startswith("PULSE_")}
        env |= {"XDG_RUNTIME_DIR": folder, "HOME": folder, "XDG_CONFIG_HOME": folder, "LC_ALL": "C"}
        command = ["pulseaudio", "--daemonize=no", "--exit-idle-time=-1", "-n"]
        loads = ["--load=module-native-protocol-unix", "--load=module-null-sink sink_name=room"]
        with running(*command, *loads, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
            wait_until(lambda: b"room.monitor" in pactl(env, "list", "short", "sources"))
            yield env


def pactl(env, *arguments):
    return subprocess.run(["pactl", *arguments], env=env, capture_output=True, check=False).stdout


def rain(x):
    """Level of the band of the demo's rain over that of its siren, in dB."""
    frequency, power = scipy.signal.welch(x, RATE, nperseg=4096)
    high, low = (frequency > 6000) & (frequency < 16_000), (frequency > 300) & (frequency < 3000)
    return 10 * np.log10(power[high].sum() / power[low].sum())


def test_another_program_records_the_separated_sound(server, tmp_path):
    """The virtual microphone is also the server's default source here: marssep must not record itself."""
    mixture = sum(demo_parts(40.0, RATE).values())
    soundfile.write(tmp_path / "room.wav", mixture, RATE)
    said, heard = tmp_path / "said", tmp_path / "heard.raw"
    live = [LIVE, "--query", "siren", "--virtual-mic", "--plain"]
    record = ["parec", QUICK, "--device=marssep_mic", "--format=float32le", f"--rate={RATE}", "--channels=1"]
    with (
        running("paplay", QUICK, "--device=room", tmp_path / "room.wav", env=server),
        said.open("w") as out,
        running(*live, env=server, stdout=out, stderr=subprocess.STDOUT) as process,
    ):
        wait_until(lambda: process.poll() is not None or "\nt=2s" in said.read_text(), 60)
        assert process.poll() is None, said.read_text()
        assert b"Description: marssep microphone\n" in pactl(server, "list", "sources")
        with heard.open("wb") as file, running(*record, env=server, stdout=file):
            wait_until(lambda: heard.stat().st_size > 2 * 4 * RATE, 60)
    x = np.frombuffer(heard.read_bytes()[: 8 * RATE], np.float32)
    assert np.abs(x).max() > 0.01, said.read_text()
    assert rain(x) < rain(mixture) - 15
    assert b"marssep" not in pactl(server, "list", "short", "sources")  # it goes with the run
