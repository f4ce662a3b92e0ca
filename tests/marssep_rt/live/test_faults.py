"""Faults around a live run: lost devices, full disks, clocks that jump, late workers."""

import errno
import time

import numpy as np
import pytest
import soundfile

from marssep_rt.audio_io.recorder import Recorder
from marssep_rt.dsp.latency import bursty_delay
from marssep_rt.dsp.mixer import Controls
from marssep_rt.dsp.stream_processor import StreamProcessor
from marssep_rt.errors import DeviceError
from marssep_rt.live import run as live_run
from marssep_rt.live.control.controller import LiveController
from marssep_rt.live.devices.demo import PacedDevice
from marssep_rt.live.realtime.audio_bridge import EngineConfig
from marssep_rt.live.realtime.engine import Engine
from marssep_rt.live.run import GONE, LiveRun, RunConfig, StopFlag
from marssep_rt.live.view.dashboard import RunInfo
from marssep_rt.query.types import Query
from signals import RATE, mixture
from simulated_device import Conditions, simulate

BLOCK = 480


class Card(PacedDevice):
    """A sound card that goes after some blocks; ``closes``: whether it can be closed then."""

    def __init__(self, engine, x, lasts=None, closes=True):
        super().__init__(engine, x if lasts is None else x[: lasts * BLOCK])
        self.gone, self.closes = lasts is not None, closes

    @property
    def finished(self):
        return self.ended and not self.gone

    @finished.setter
    def finished(self, value):
        self.ended = value

    def close(self, patience=2.0):
        return super().close(patience) and self.closes


@pytest.fixture
def setup(session, vector, bundle, monkeypatch):
    monkeypatch.setattr(live_run, "SILENT_SECONDS", 0.4)
    monkeypatch.setattr(live_run, "RETRY_SECONDS", 3.0)
    runs = []

    def make(device, record=None):
        engine = Engine(
            StreamProcessor(session, "cpu", 1, vector, Controls(wet=0.0)),
            EngineConfig(RATE, BLOCK, 1, 1, 2 * BLOCK),
            record,
        )
        control = LiveController(
            engine, bundle, [Query(vector, bundle.encoder, "it")], Controls(wet=0.0), lambda: None
        )
        parts = dict.fromkeys(("algorithmic", "blocks", "slack", "device_in", "device_out", "total"), 0.0)
        info, config = RunInfo("a", "b", RATE, BLOCK, "m", "cpu", parts), RunConfig(engine.config, plain=True)
        runs.append(LiveRun(engine, device(engine), info, control, config, [record] if record else []))
        return runs[-1]

    yield make
    for run in runs:  # those that were not finished
        run.control.close()
        run.engine.pause()


def test_a_device_that_goes_and_comes_back(setup, capsys):
    x = mixture(RATE)[:, None]
    run = setup(lambda engine: Card(engine, x, lasts=40))
    tries, heard = [], []

    def reopen():
        tries.append(time.monotonic())
        if len(tries) < 3:
            raise DeviceError("not there")
        engine = run.engine
        assert engine.bridge.samples_to_drop == 0  # latency is at its base
        assert engine.bridge.output.available() == engine.adaptation
        callback = engine.callback

        def listened(indata, outdata):
            callback(indata, outdata)
            heard.append(outdata[:, 0].copy())

        engine.callback = listened
        return Card(engine, x)

    run.reopen = reopen
    assert run.run(StopFlag()) is None
    assert len(tries) == 3
    assert tries[2] - tries[1] > tries[1] - tries[0]  # it waits longer and longer
    said = capsys.readouterr()
    assert said.err.count("has gone") == 1
    assert "is back" in said.out
    assert run.finish(None) == 0
    t = run.engine.stats
    assert t.frames == 40 * BLOCK + RATE
    if t.underruns == 0:
        late = run.engine.latency_samples
        np.testing.assert_allclose(np.concatenate(heard)[late:], x[: RATE - late, 0], atol=1e-6)


def test_a_device_whose_blocks_grow_is_said_with_its_true_latency(setup, capsys):
    class Growing(Card):
        """Blocks as announced, then four of them at once."""

        def blocks(self):
            for at in range(0, 20 * BLOCK, BLOCK):
                yield self.signal[at : at + BLOCK]
            for at in range(20 * BLOCK, len(self.signal) - 4 * BLOCK, 4 * BLOCK):
                yield self.signal[at : at + 4 * BLOCK]

        def _run(self):
            for block in self.blocks():
                self.engine.callback(block, np.zeros((len(block), 1), np.float32))
                time.sleep(len(block) / RATE / 4)
            self.finished = True

        def latency_ms(self):
            return 7.0, 5.0

    run = setup(lambda engine: Growing(engine, mixture(2 * RATE)[:, None]))
    before = run.engine.latency_ms()["engine"]
    assert run.run(StopFlag()) is None
    assert run.engine.adaptation == bursty_delay(4 * BLOCK, BLOCK, 480, 2 * BLOCK)
    now = run.info.latency_ms
    assert now["total"] == pytest.approx(before + 1e3 * 3 * BLOCK / RATE + 12.0)
    assert now["blocks"] == pytest.approx(30.0)
    said = capsys.readouterr().out
    assert said.count(f"up to 1920 samples at a time; the latency is now {now['total']:.1f} ms") == 1
    assert run.finish(None) == 0


def test_a_device_that_stays_away_ends_the_run(setup):
    run = setup(lambda engine: Card(engine, mixture(RATE)[:, None], lasts=20))

    def reopen():
        raise DeviceError("not there")

    run.reopen = reopen
    assert run.run(StopFlag()) == GONE


def test_a_device_that_hangs_is_left_at_once_with_the_recording_whole(setup, tmp_path, monkeypatch):
    record = Recorder(tmp_path / "r.wav", RATE, 1)
    run = setup(lambda engine: Card(engine, mixture(RATE)[:, None], lasts=30, closes=False), record)
    run.reopen = lambda: pytest.fail("nothing can be opened beside a device that hangs")
    message = run.run(StopFlag())
    assert message == GONE
    left = []

    def leave(code):
        left.append(code)
        raise SystemExit(code)

    monkeypatch.setattr(live_run.os, "_exit", leave)
    with pytest.raises(SystemExit):
        run.finish(message)
    assert left == [1]
    assert soundfile.info(tmp_path / "r.wav").frames >= 30 * BLOCK


def test_a_full_disk_ends_the_recording_and_not_the_sound(setup, tmp_path, capsys):
    record = Recorder(tmp_path / "r.wav", RATE, 1)
    written = []

    class Full:
        def __init__(self, file):
            self.file = file

        def write(self, x):
            written.append(len(x))
            if sum(written) > RATE // 4:
                raise OSError(errno.ENOSPC, "No space left on device")
            self.file.write(x)

        def close(self):
            self.file.close()

    record.writer.file = Full(record.writer.file)
    run = setup(lambda engine: PacedDevice(engine, mixture(RATE)[:, None]), record)
    assert run.run(StopFlag()) is None
    assert run.engine.stats.frames == RATE
    assert "no space left on device" in capsys.readouterr().out
    assert run.finish(None) == 1
    assert RATE // 8 < soundfile.info(tmp_path / "r.wav").frames <= RATE // 4


def test_a_clock_that_jumps_changes_nothing(setup, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 0.0)
    run = setup(lambda engine: PacedDevice(engine, mixture(RATE // 2)[:, None]))
    assert run.run(StopFlag()) is None
    assert run.engine.stats.frames == RATE // 2


@pytest.mark.parametrize("length", [0.001, 0.01, 0.05, 0.2, 0.5])
@pytest.mark.parametrize("periodic", [False, True])
def test_after_late_workers_latency_is_at_its_base(session, vector, length, periodic):
    """Stalls of 1 to 500 ms: the counters add up, and the end is where it should be."""
    rng = np.random.default_rng(int(1000 * length))
    starts = np.arange(0.2, 1.5, max(0.1, 2 * length)) if periodic else np.sort(rng.uniform(0.1, 1.5, 5))
    engine = Engine(
        StreamProcessor(session, "cpu", 1, vector, Controls(wet=0.0)), EngineConfig(RATE, 256, 1, 1, 256)
    )
    x = mixture(3 * RATE)
    played = simulate(
        engine, x[:, None], Conditions(stalls=tuple((float(s), length) for s in starts), jitter=0.002)
    )[:, 0]
    t = engine.stats
    assert engine.bridge.samples_to_drop == 0
    assert (t.underruns == 0) == (t.missing_samples == 0)
    assert t.overflows == 0
    late = engine.latency_samples
    np.testing.assert_allclose(
        played[-RATE // 2 :], x[len(played) - RATE // 2 - late : len(played) - late], atol=1e-6
    )
    silent = int((played[late:] == 0).sum()) - int((x == 0).sum())
    assert abs(silent - t.missing_samples) <= 2 * len(starts)  # a fade begins and ends with a zero


def test_two_engines_at_once_do_not_meet(session, vector):
    x = mixture(RATE // 2)
    engines = [
        Engine(StreamProcessor(session, "cpu", 1, vector, Controls()), EngineConfig(RATE, 256, 1, 1))
        for _ in range(2)
    ]
    a = simulate(engines[0], x[:, None])
    simulate(engines[1], x[::-1, None])
    engines[0].restart()
    np.testing.assert_array_equal(simulate(engines[0], x[:, None]), a)
