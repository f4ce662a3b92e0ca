"""How the period of a JACK server is found and used; with a real server see ``test_jack``."""

import ctypes.util
import math
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from marssep_rt.cli import live as cli_live
from marssep_rt.cli.live import choose_blocksize
from marssep_rt.live.devices import audio_device, jack
from marssep_rt.live.devices.audio_device import Device, LiveDevice, open_stream, reported_latency_ms
from marssep_rt.live.realtime.audio_bridge import EngineConfig

RATE = 48_000
SYSTEM = Device(0, "system", jack.HOST_API, 2, 2, RATE)
CARD = Device(1, "card", "ALSA", 2, 2, RATE)


class Stream:
    """A stream with its settings and a latency."""

    latency = (0.001, 0.002)

    def __init__(self, **settings):
        self.settings, self.samplerate = settings, settings["samplerate"]


@pytest.fixture
def portaudio(monkeypatch):
    monkeypatch.setattr(
        audio_device, "portaudio", lambda: SimpleNamespace(Stream=Stream, PortAudioError=OSError)
    )


def test_jack_is_asked_for_its_own_period_and_others_for_the_block(portaudio):
    assert open_stream(CARD, CARD, RATE, (1, 2), 480, print).settings["blocksize"] == 480
    assert open_stream(SYSTEM, SYSTEM, RATE, (1, 2), 480, print).settings["blocksize"] == 0


def test_jack_reports_a_period_less_at_each_side(portaudio):
    stream = open_stream(SYSTEM, SYSTEM, RATE, (2, 2), 480, print)
    assert reported_latency_ms(stream, CARD, 480) == (1.0, 2.0)
    assert reported_latency_ms(stream, SYSTEM, 480) == (11.0, 12.0)


def test_callbacks_at_one_time_are_one_cycle_of_jack_and_of_nothing_else(portaudio):
    cycles = []
    engine = SimpleNamespace(
        config=EngineConfig(RATE, 480, 2, 2),
        bridge=SimpleNamespace(burst=2048),
        callback=lambda indata, outdata, cycle=math.nan: cycles.append(cycle),
    )
    for device in (SYSTEM, CARD):
        opened = LiveDevice(engine, device, device)
        for now in (0.5, 0.5, 0.6, 0.0):
            opened.stream.settings["callback"](None, None, 1024, SimpleNamespace(currentTime=now), None)
    assert cycles[:3] == [0.5, 0.5, 0.6]
    assert all(math.isnan(cycle) for cycle in cycles[3:])
    assert opened.latency_ms() == (1.0, 2.0)


def test_the_block_size_is_the_period_and_another_wish_is_answered(monkeypatch, capsys):
    monkeypatch.setattr(cli_live, "server_period", lambda: 1024)
    assert choose_blocksize(None, 480, (SYSTEM, SYSTEM), RATE) == 1024
    assert choose_blocksize(1024, 480, (SYSTEM, SYSTEM), RATE) == 1024
    assert choose_blocksize(None, 480, (CARD, CARD), RATE) == 480
    assert choose_blocksize(64, 480, (CARD, CARD), RATE) == 64
    assert choose_blocksize(None, 480, None, RATE) == 480
    assert capsys.readouterr().err == ""
    assert choose_blocksize(256, 480, (SYSTEM, SYSTEM), RATE) == 1024
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "1024 samples at a time, so --blocksize 256 is not used" in said
    monkeypatch.setattr(cli_live, "server_period", lambda: None)
    assert choose_blocksize(256, 480, (SYSTEM, SYSTEM), RATE) == 256


@pytest.mark.parametrize("library", [None, "libc.so.6", "there is no such library"])
def test_without_jack_there_is_no_name_and_no_period(monkeypatch, library):
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: library)
    jack.name_client()
    assert jack.server_period() is None


def test_without_a_server_there_is_no_period():
    """In a process of its own: JACK's library keeps the name of the server."""
    code = "from marssep_rt.live.devices.jack import server_period; print(server_period())"
    env = {**os.environ, "JACK_DEFAULT_SERVER": "nobody", "JACK_NO_START_SERVER": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60)
    assert done.stdout == "None\n", done.stderr
