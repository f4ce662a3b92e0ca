"""Sound servers with a period of their own: no gap at any period, bursts, changes, and minimal latency."""

from math import gcd

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from marssep_rt.audio_io.recorder import Recorder
from marssep_rt.dsp.latency import bursty_delay, live_slack, worker_delay
from marssep_rt.dsp.mixer import Controls
from marssep_rt.dsp.stream_processor import StreamProcessor
from marssep_rt.live.realtime.audio_bridge import FADE_SECONDS, EngineConfig
from marssep_rt.live.realtime.engine import Engine
from signals import RATE, mixture
from simulated_device import Conditions, portaudio_cycles, simulate, simulate_cycles

HOP, GRAPH_LATENCY = 480, 480
INSTANT = Conditions(compute=lambda _: 0.0)
POWERS = [2**n for n in range(4, 14)]
ODD = [17, 63, 100, 441, 479, 481, 777, 1000, 1023, 1025, 1536, 3001, 4095, 6000, 8191]


class CopyProcessor(StreamProcessor):
    """A model that costs nothing: the dry path, so that the delay alone is tested."""

    def process(self, audio):
        played = self.dry_line = np.concatenate([getattr(self, "dry_line", np.zeros_like(audio)), audio], 1)
        self.dry_line = played[:, -GRAPH_LATENCY:]
        self.dry = played[:, : audio.shape[1]]
        return self.dry


@pytest.fixture
def make(session, vector):
    def made(block, slack=0, **recorders):
        processor = CopyProcessor(session, "cpu", 1, vector, Controls())
        return Engine(processor, EngineConfig(RATE, block, 1, 1, slack), **recorders)

    return made


def noise(samples, seed=0):
    """Noise without a single zero, so that every zero in the output is a gap."""
    rng = np.random.default_rng(seed)
    return (rng.uniform(0.1, 0.5, samples) * rng.choice([-1, 1], samples)).astype(np.float32)


def assert_delayed(played, x, late, start=0):
    """``played`` is ``x``, exactly ``late`` samples later, from sample ``start`` on."""
    start = max(start, late)
    np.testing.assert_array_equal(played[start:], x[start - late : len(played) - late])


def learning_then_steady(engine, x, learning, steady):
    """What is played over both lists of cycles, and where the second is heard; it may have no drop-outs."""
    before = []

    def cycles():
        yield from learning
        before.append(engine.stats.underruns)
        yield from steady

    played = simulate_cycles(engine, x[:, None], cycles(), INSTANT)[:, 0]
    assert engine.stats.underruns == before[0]
    assert engine.bridge.samples_to_drop == 0
    return played, sum(map(sum, learning)) + round(FADE_SECONDS * RATE)


@pytest.mark.parametrize("period", POWERS + ODD)
def test_every_period_without_a_gap_at_the_smallest_latency(make, period):
    x = noise(max(12 * period, 3 * RATE // 10))
    engine = make(period)
    played = simulate(engine, x[:, None], INSTANT)[:, 0]
    late = GRAPH_LATENCY + worker_delay(period, HOP)
    assert late == engine.latency_samples
    assert engine.stats.underruns == 0
    assert_delayed(played, x, late)
    less = make(period)  # one sample less would not do
    less.bridge.output.skip(1)
    long = noise(period * (HOP // gcd(period, HOP) + 2))  # until block and hop meet in every way
    simulate(less, long[:, None], INSTANT)
    assert less.stats.underruns > 0


@pytest.mark.parametrize("period", POWERS + ODD)
def test_every_period_with_a_model_that_takes_time(make, period):
    """The slack of a live run for a hop of 3 ms is enough where hops take up to 3 ms and callbacks jitter."""
    engine = make(period, live_slack(0.003, period, RATE))
    x = noise(max(12 * period, 3 * RATE // 10))
    conditions = Conditions(jitter=0.002, compute=lambda i: 0.001 * (1 + i % 3))
    played = simulate(engine, x[:, None], conditions)[:, 0]
    assert engine.stats.underruns == 0
    assert_delayed(played, x, engine.latency_samples)


@pytest.mark.parametrize("period", [p for p in POWERS + ODD if p > 1024])
def test_a_long_period_in_pieces(make, period):
    """PortAudio brings no more than 1024 samples in one call; the latency is that of the whole period."""
    whole, rest = divmod(period, 1024)
    pieces = (1024,) * whole + ((rest,) if rest else ())
    engine = make(period)
    x = noise(12 * period)
    played = simulate_cycles(engine, x[:, None], [pieces] * 12, INSTANT)[:, 0]
    assert engine.stats.underruns == 0
    assert engine.adaptation == worker_delay(period, HOP)
    assert_delayed(played, x, engine.latency_samples)


@pytest.mark.parametrize("period", [512, 777, 1024, 2048, 4096, 8192])
@pytest.mark.parametrize("block", [64, 256, 480, 1000])
def test_bursts_cost_latency_once_and_no_gap_after_that(make, period, block):
    """PortAudio's adaptation of a period to another block size: the latency grows to the closed form."""
    engine = make(block)
    x = noise(24 * period)
    cycles = portaudio_cycles(period, block, len(x))
    most = max(map(sum, cycles))
    learning = [sum(cycle) for cycle in cycles].index(most) + 2
    played, learnt = learning_then_steady(engine, x, cycles[:learning], cycles[learning:])
    assert engine.adaptation == bursty_delay(most, block, HOP)
    assert_delayed(played, x, engine.latency_samples, learnt)


def test_a_period_that_was_announced_wrongly_makes_no_gap_at_the_start(make):
    engine = make(480)
    x = noise(RATE)
    played = simulate_cycles(engine, x[:, None], [(1024,)] * 40)[:, 0]
    assert engine.stats.underruns == 0
    assert engine.adaptation >= worker_delay(1024, HOP)
    assert_delayed(played, x, engine.latency_samples)


def test_a_period_that_changes_costs_one_gap_and_is_faded(make, tmp_path):
    """256, then 1024, then 256 again: one gap of exactly the difference, and the latency stays."""
    recorder = Recorder(tmp_path / "r.wav", RATE, 1)
    engine = make(256, record=recorder)
    t = np.arange(2 * RATE) / RATE
    x = (0.3 * np.sin(2 * np.pi * 50 * t)).astype(np.float32)
    before = engine.latency_samples
    cycles = [(256,)] * 100 + [(256,) * 4] * 30 + [(256,)] * 100
    played = simulate_cycles(engine, x[:, None], cycles)[:, 0]
    late = engine.latency_samples
    assert late == GRAPH_LATENCY + bursty_delay(1024, 256, HOP)
    assert_delayed(played[: 99 * 256], x[: 99 * 256], before)
    assert_delayed(played, x, late, 110 * 256)
    assert engine.stats.missing_samples == late - before
    assert np.abs(np.diff(played)).max() < 0.02  # faded, not cut
    engine.stop()
    recorder.close()
    recorded, _ = soundfile.read(tmp_path / "r.wav", dtype="float32")
    assert_delayed(recorded, x, late, 110 * 256 + 2 * HOP)  # what is recorded is as late as what is played


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_blocks_of_all_sizes(session, vector, data):
    """After the largest burst has come, whatever comes makes no gap."""
    sizes = data.draw(
        st.lists(st.lists(st.integers(1, 3000), min_size=1, max_size=4), min_size=1, max_size=20)
    )
    most = max(1000, *map(sum, sizes))
    engine = Engine(CopyProcessor(session, "cpu", 1, vector, Controls()), EngineConfig(RATE, 480, 1, 1))
    x = noise(sum(map(sum, sizes)) + 5 * most + 1)
    played, learnt = learning_then_steady(engine, x, [(most, 1), *[(most,)] * 4], sizes)
    assert engine.adaptation == bursty_delay(max(most + 1, 480), 1, HOP)
    assert_delayed(played, x, engine.latency_samples, learnt)


def test_a_device_that_came_back_with_another_period(make):
    engine = make(256)
    x = noise(RATE)
    simulate(engine, x[:, None])
    engine.restart()
    played = simulate_cycles(engine, x[:, None], [(2048,)] * 20)[:, 0]
    assert engine.stats.underruns == 0
    assert len(played) == 20 * 2048
    assert not played[: engine.adaptation].any()
    assert engine.adaptation == worker_delay(2048, HOP)


def test_the_model_itself_at_a_large_period(session, vector):
    """Not the copy but the separator: at 1024 it plays what it plays at any other period."""
    x = mixture(RATE // 2)
    engines = [
        Engine(StreamProcessor(session, "cpu", 1, vector, Controls()), EngineConfig(RATE, block, 1, 1))
        for block in (64, 1024)
    ]
    a, b = (simulate(engine, x[:, None])[engine.adaptation :, 0] for engine in engines)
    n = min(len(a), len(b))
    np.testing.assert_allclose(a[:n], b[:n], atol=1e-6)
    assert np.abs(a).max() > 0.01
