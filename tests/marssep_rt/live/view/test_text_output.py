"""Terminals that cannot show every letter: names of devices and queries, without a traceback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
DOG = "лай собаки"
WITH_DEVICES = """
import sys
from types import SimpleNamespace
from marssep_rt.cli import entry, live
from marssep_rt.live.devices import audio_device
names = sys.argv.pop(1).split("|")
devices = [audio_device.Device(i, name, "ALSA", 2, 2, 48000) for i, name in enumerate(names)]
live.list_devices = audio_device.list_devices = lambda: devices
audio_device.portaudio = lambda: SimpleNamespace(default=SimpleNamespace(device=(0, 0)))
entry.live()
"""

pytestmark = pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])


def run(cwd, encoding, *command):
    env = {
        **os.environ,
        "PYTHONIOENCODING": encoding,
        "MARSSEP_CONFIG": str(cwd),
        "JACK_NO_START_SERVER": "1",
    }
    done = subprocess.run(list(map(str, command)), cwd=cwd, env=env, capture_output=True, timeout=90)
    assert b"Traceback" not in done.stderr, done.stderr.decode(encoding, "replace")
    return done.returncode, done.stdout.decode(encoding), done.stderr.decode(encoding)


def shown(text, encoding):
    return text.encode(encoding, "backslashreplace").decode(encoding)


@pytest.mark.parametrize("plain", [True, False])
def test_a_query_in_another_script(tmp_path, encoding, plain):
    code, out, err = run(
        tmp_path,
        encoding,
        BIN / "marssep-live",
        "--demo",
        *(["--plain"] if plain else []),
        *("--query", DOG, "--duration", "0.5", "--stats", "s.json"),
    )
    assert code == 0, err
    assert shown(DOG, encoding) in (out if plain else err)
    assert json.loads((tmp_path / "s.json").read_text(encoding="utf-8"))["query"] == DOG


def test_device_names_in_another_script(tmp_path, encoding):
    names = "Микрофон (USB)|Микрофон “Студия” №2"
    command = (sys.executable, "-c", WITH_DEVICES, names)
    code, out, err = run(tmp_path, encoding, *command, "--list-devices")
    assert code == 0, err
    for name in names.split("|"):
        assert shown(name, encoding) in out
    code, _, err = run(tmp_path, encoding, *command, "--input", "микрофон", "--query", DOG)
    assert code == 2
    assert "2 input devices fit" in err
    code, _, err = run(tmp_path, encoding, *command, "--input", "динамик", "--query", DOG)
    assert code == 2
    assert "no input device fits" in err


def test_help(tmp_path, encoding):
    code, out, err = run(tmp_path, encoding, BIN / "marssep-live", "--help")
    assert code == 0, err
    assert "--blocksize" in out
