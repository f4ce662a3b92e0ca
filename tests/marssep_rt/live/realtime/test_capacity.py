"""Too many sounds for the machine: said before the audio begins, refused while it runs."""

import re
import time

import pytest

from marssep_rt.dsp.mixer import Controls
from marssep_rt.dsp.stream_processor import StreamProcessor
from marssep_rt.errors import UsageError
from marssep_rt.live import run as live_run
from marssep_rt.live.control.controller import LiveController
from marssep_rt.live.realtime import engine as engines
from marssep_rt.live.realtime.audio_bridge import EngineConfig
from marssep_rt.live.realtime.capacity import HopSeconds, check_capacity
from marssep_rt.live.realtime.engine import Engine
from marssep_rt.live.run import LiveRun, RunConfig
from marssep_rt.query.types import Query
from signals import RATE

AUDIO = EngineConfig(RATE, 480, 1, 1)


@pytest.mark.parametrize(
    ("took", "sounds", "words"),
    [
        ([0.002, 0.002, 0.03], 1, ""),
        ([0.002, 0.009, 0.01], 1, "^one sound takes 9 ms .* a hop lasts 10 ms: expect drop-outs; close"),
        ([0.030, 0.030, 0.03], 4, "^4 sounds at once take 30 ms .*: expect drop-outs; name fewer, close"),
    ],
)
def test_a_machine_that_is_close_or_busy_is_a_warning(took, sounds, words):
    said = check_capacity(HopSeconds(took, 0.002), 0.01, sounds)
    assert bool(said) == bool(words)
    assert re.search(words, said)


@pytest.mark.parametrize(
    ("sounds", "words"),
    [
        (1, "^one sound takes 12 ms on this machine, and a hop lasts 10 ms; use marssep file"),
        (5, r"^5 sounds at once take 12 ms .*; name fewer \(about 3 would do\), or use marssep file"),
    ],
)
def test_a_machine_that_cannot_is_an_error(sounds, words):
    with pytest.raises(UsageError, match=words) as raised:
        check_capacity(HopSeconds([0.012, 0.013, 0.012], 0.012), 0.01, sounds)
    assert raised.value.code == 2


@pytest.fixture
def slow(session, vector):
    """A processor whose hops compute so many seconds more."""

    def make(seconds):
        processor = StreamProcessor(session, "cpu", 1, vector, Controls())
        ordinary = processor.process

        def process(hop):
            until = time.thread_time() + seconds
            while time.thread_time() < until:
                pass
            return ordinary(hop)

        processor.process = process
        return processor

    return make


def test_a_run_that_cannot_work_opens_no_audio_and_no_file(slow, bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(live_run, "_open_device", lambda *_: pytest.fail("the device was opened"))
    config = RunConfig(AUDIO, record=tmp_path / "out.wav")
    with pytest.raises(UsageError, match=r"one sound takes .* a hop lasts 10 ms"):
        LiveRun.open(slow(0.011), bundle, [Query(None, bundle.encoder, "rain")], config)
    assert not list(tmp_path.iterdir())


def test_a_run_that_is_close_begins_with_a_warning(slow, bundle, monkeypatch, capfd):
    class OpenedError(Exception):
        pass

    def opened(*_):
        raise OpenedError

    monkeypatch.setattr(live_run, "_open_device", opened)
    monkeypatch.setattr("marssep_rt.live.realtime.capacity.HOP_SHARE", 0.01)  # also on a fast machine
    with pytest.raises(OpenedError):
        LiveRun.open(slow(0.0), bundle, [Query(None, bundle.encoder, "rain")], RunConfig(AUDIO))
    assert "expect drop-outs" in " ".join(capfd.readouterr().err.split())


def test_what_is_asked_for_in_a_run_and_takes_too_long_leaves_what_runs(
    session, vector, bundle, tmp_path, monkeypatch
):
    monkeypatch.setattr(engines, "HOP_SHARE", 0.0)
    engine = Engine(StreamProcessor(session, "cpu", 1, vector, Controls()), AUDIO)
    control = LiveController(
        engine, bundle, [Query(vector, bundle.encoder, "siren")], Controls(), lambda: tmp_path / "x.wav"
    )
    try:
        control.ask("dog and rain").result(30)
        assert "2 sounds at once take" in control.message
        assert control.query.label == "siren"
        assert engine.processor.streams == 1
        control.ask("rain").result(30)
        assert control.query.label == "rain"
    finally:
        control.close()
