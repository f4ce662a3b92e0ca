"""The engine on a simulated device: exact latency, jitter, stalls, overload, unplugging, recordings."""

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from marssep_rt.audio_io.recorder import Recorder
from marssep_rt.dsp.mixer import Controls
from marssep_rt.dsp.stream_processor import StreamProcessor
from marssep_rt.live.realtime.audio_bridge import EngineConfig
from marssep_rt.live.realtime.engine import Engine
from marssep_rt.query.build import embed_text
from signals import RATE, mixture
from simulated_device import Conditions, simulate
from waiting import wait_until

SLOW = 0.009


def make(session, vector, block, slack=0, channels=(1, 1), rate=RATE, controls=None, **recorders):
    hops = StreamProcessor(session, "cpu", min(channels[0], 2), vector, controls or Controls())
    return Engine(hops, EngineConfig(rate, block, channels[0], channels[1], slack), **recorders)


def offline(session, vector, x, controls=None):
    """The same signal through the hops alone."""
    hops = StreamProcessor(session, "cpu", 1, vector, controls or Controls())
    n = len(x) // 480
    return np.concatenate([hops.process(x[None, i * 480 : (i + 1) * 480]).copy()[0] for i in range(n)])


def test_latency_is_exact_and_live_equals_offline(session, vector):
    x = mixture(RATE // 2)
    expected = offline(session, vector, x)
    for block in (64, 100, 128, 256, 441, 480, 512, 960, 1000, 2048):
        for slack in (0, 2 * block):
            engine = make(session, vector, block, slack)
            played = simulate(engine, x[:, None])[:, 0]
            late = engine.adaptation
            n = min(len(played) - late, len(expected))
            np.testing.assert_allclose(
                played[late : late + n], expected[:n], atol=1e-6, err_msg=f"block {block}, slack {slack}"
            )
            assert engine.stats.underruns == 0, (block, slack)
            assert engine.latency_samples == 480 + late


@settings(max_examples=12, deadline=None)
@given(
    block=st.integers(1, 4096),
    jitter=st.floats(0, 0.9),
    compute=st.floats(0.0, 0.95),
    seed=st.integers(0, 99),
)
def test_no_underrun_whatever_the_block_while_compute_fits(session, vector, block, jitter, compute, seed):
    """Jitter up to the slack, compute within a hop and a block: the closed-form delay always suffices."""
    slack = -(-480 // block) * block + block
    engine = make(session, vector, block, slack)
    period = block / RATE
    conditions = Conditions(
        jitter=jitter * min(period, 480 / RATE), compute=lambda _: compute * 480 / RATE, seed=seed
    )
    x = np.zeros((max(3 * block, 4800), 1), np.float32)
    simulate(engine, x, conditions)
    assert engine.stats.underruns == 0


def test_without_slack_one_sample_less_would_underrun(session, vector):
    """The delay is the smallest: shortening the prefill by one sample breaks it."""
    engine = make(session, vector, 256)
    engine.bridge.output.skip(1)
    simulate(engine, mixture(9600)[:, None], Conditions(compute=lambda _: 0.0))
    assert engine.stats.underruns > 0


def test_after_a_stall_latency_returns_to_its_base(session, vector):
    x = mixture(2 * RATE)
    expected = offline(session, vector, x)
    engine = make(session, vector, 256)
    played = simulate(engine, x[:, None], Conditions(stalls=((0.5, 0.2),)))[:, 0]
    t = engine.stats
    assert t.underruns > 10
    assert abs(t.missing_samples / RATE - 0.2) < 0.03
    assert engine.bridge.samples_to_drop == 0
    late = engine.adaptation
    after = slice(RATE, len(played) - late)
    np.testing.assert_allclose(played[late:][after], expected[: len(played) - late][after], atol=1e-6)
    assert np.abs(np.diff(played)).max() < np.abs(np.diff(expected)).max() + 0.05  # faded, not cut


def test_a_stall_longer_than_the_ring_is_survived(session, vector):
    x = mixture(6 * RATE)
    expected = offline(session, vector, x)
    engine = make(session, vector, 480)
    played = simulate(engine, x[:, None], Conditions(stalls=((0.5, 3.0),)))[:, 0]
    t = engine.stats
    assert t.overflows > 0
    assert engine.bridge.samples_to_drop == 0
    # what was dropped shortens nothing: the end is again at the base latency, but for the state that the
    # gap left behind
    late = engine.adaptation
    a, b = played[late:][-RATE // 2 :], expected[: len(played) - late][-RATE // 2 :]
    assert np.abs(a - b).max() < 0.05
    assert np.corrcoef(a, b)[0, 1] > 0.99


def test_a_model_that_is_too_slow_keeps_latency_bounded(session, vector):
    engine = make(session, vector, 480)
    simulate(engine, mixture(4 * RATE)[:, None], Conditions(compute=lambda _: 0.015))
    assert engine.stats.underruns > 50
    assert engine.bridge.input.available() <= engine.bridge.input.capacity
    assert engine.bridge.output.available() <= engine.bridge.output.capacity


def test_unplugging_ends_the_stream_quietly(session, vector):
    engine = make(session, vector, 256)
    played = simulate(engine, mixture(RATE)[:, None], Conditions(unplug=0.5))
    assert 0.48 * RATE < len(played) < 0.52 * RATE
    engine.stop()


def test_simulation_is_deterministic(session, vector):
    conditions = Conditions(jitter=0.004, compute=lambda i: 0.001 + 0.006 * (i % 3), seed=4)
    runs = [simulate(make(session, vector, 300), mixture(RATE)[:, None], conditions) for _ in range(2)]
    np.testing.assert_array_equal(runs[0], runs[1])


@pytest.mark.parametrize("channels", [(1, 2), (2, 2), (2, 1), (4, 2)])
def test_channel_layouts(session, vector, channels):
    x = mixture(RATE // 4)
    engine = make(session, vector, 480, channels=channels, controls=Controls(wet=0.0))
    played = simulate(engine, np.repeat(x[:, None], channels[0], axis=1))
    late = engine.latency_samples
    assert played.shape[1] == channels[1]
    for channel in range(channels[1]):
        np.testing.assert_allclose(played[late:, channel], x[: len(played) - late], atol=1e-6)


def test_query_and_controls_arrive_through_the_mailbox(session, vector):
    engine = make(session, vector, 480)
    x = mixture(9600)
    simulate(engine, x[:4800, None])
    other = np.roll(vector, 7)
    engine.set_query(other)
    engine.set_controls(Controls(wet=0.0))
    simulate(engine, x[4800:, None])
    assert not engine.worker.mailbox
    np.testing.assert_array_equal(engine.processor.stream.query[0], other)
    assert engine.processor.mixer.now == Controls(wet=0.0).coefficients()


def test_another_query_makes_no_click_and_comes_within_a_hop(session, vector, bundle):
    """The largest step from sample to sample is no larger than in runs with either query alone."""
    x, other = mixture(RATE), embed_text("siren", bundle)
    alone = [np.abs(np.diff(offline(session, v, x))).max() for v in (vector, other)]
    engine = make(session, vector, 480)
    first = simulate(engine, x[: RATE // 2, None])
    engine.set_query(other)
    engine.work()
    second = simulate(engine, x[RATE // 2 :, None])
    played = np.concatenate([first, second])[:, 0]
    swap = slice(RATE // 2 + engine.adaptation - 480, RATE // 2 + engine.adaptation + 1440)
    assert np.abs(np.diff(played[swap])).max() <= max(alone)
    expected = offline(session, other, x)
    late = engine.adaptation
    a, b = played[late:][-RATE // 4 :], expected[: len(played) - late][-RATE // 4 :]
    assert np.abs(a - b).max() < 0.2 * np.abs(b).max()  # what is left is the state of before
    before = offline(session, vector, x)[: len(played) - late][-RATE // 4 :]
    assert np.abs(a - b).max() < 0.5 * np.abs(a - before).max()


@pytest.mark.parametrize("rate", [RATE, 44_100])
def test_several_targets_leave_by_their_channels(session, vector, bundle, rate):
    """Each target is what its query alone would give; the input is mixed to mono."""
    other = embed_text("siren", bundle)
    x = mixture(RATE // 2)
    stereo = np.stack([1.5 * x, 0.5 * x], axis=1)
    queries = np.stack([vector, other, vector])
    hops = StreamProcessor(session, "cpu", 1, queries, Controls())
    engine = Engine(hops, EngineConfig(rate, 256, 2, 4, routes=(3, 0, 0)))
    played = simulate(engine, stereo)
    late = engine.adaptation
    if rate == RATE:
        one, two = offline(session, vector, x), offline(session, other, x)
        n = min(len(played) - late, len(one))
        np.testing.assert_allclose(played[late : late + n, 3], one[:n], atol=1e-5)
        np.testing.assert_allclose(played[late : late + n, 0], (one + two)[:n], atol=1e-5)
    assert np.abs(played[:, [0, 3]]).max() > 0.01
    assert not played[:, 1:3].any()
    engine.set_query(vector, 1)
    engine.monitor_target(1)
    engine.work()
    simulate(engine, stereo[:4800])
    np.testing.assert_array_equal(hops.stream.query[1], vector)
    assert engine.worker.monitored_target == 1
    engine.restart()
    np.testing.assert_array_equal(simulate(engine, stereo)[:, 3], played[:, 3])


def test_bypass_and_reset_while_it_runs(session, vector):
    x = mixture(RATE // 2)
    engine = make(session, vector, 480)
    engine.set_controls(Controls(wet=1.0, gain_db=12.0, bypass=True))
    engine.reset_model()
    played = simulate(engine, x[:, None])[:, 0]
    late = engine.latency_samples
    np.testing.assert_allclose(played[late + 960 :], x[960 : len(played) - late], atol=1e-6)


def test_a_device_that_brings_longer_blocks_than_announced(session, vector):
    x = mixture(RATE // 2)
    engine = make(session, vector, 256, slack=1024)
    out = np.zeros((len(x), 1), np.float32)
    for at in range(0, len(x), 1000):
        engine.callback(x[at : at + 1000, None], out[at : at + 1000])
        engine.work()
    expected = offline(session, vector, x)
    assert engine.bridge.samples_to_drop == 0
    some = out[-RATE // 8 :, 0]
    shift = engine.adaptation
    np.testing.assert_allclose(some, expected[len(x) - RATE // 8 - shift : len(x) - shift], atol=1e-6)


def test_begun_afresh_equals_the_beginning(session, vector):
    x = mixture(RATE // 2)
    engine = make(session, vector, 300)
    first = simulate(engine, x[:, None])
    simulate(engine, x[::-1, None], Conditions(stalls=((0.1, 0.2),)))
    engine.restart()
    np.testing.assert_array_equal(simulate(engine, x[:, None]), first)


def test_nan_from_the_device_is_counted_and_never_played(session, vector):
    x = mixture(9600)
    x[3000:3007] = np.nan
    engine = make(session, vector, 480)
    played = simulate(engine, x[:, None])
    assert np.all(np.isfinite(played))
    assert engine.stats.nan_samples == 7


def test_recordings_are_what_came_and_went(session, vector, tmp_path):
    x = mixture(RATE // 2)
    record, record_input = Recorder(tmp_path / "out.wav", RATE, 1), Recorder(tmp_path / "in.wav", RATE, 1)
    engine = make(session, vector, 256, record=record, record_input=record_input)
    played = simulate(engine, x[:, None])[:, 0]
    engine.stop()
    record.close()
    record_input.close()
    heard, _ = soundfile.read(tmp_path / "out.wav", dtype="float32")
    came, _ = soundfile.read(tmp_path / "in.wav", dtype="float32")
    np.testing.assert_array_equal(came, x[: len(came)])
    assert len(came) == len(x) // 256 * 256
    np.testing.assert_array_equal(heard[: len(played)], played)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.wav", "out.wav"]


def test_threaded_run_delivers_everything(session, vector):
    """The real worker thread, fed faster than real time but never faster than it works."""
    x = mixture(RATE)
    engine = make(session, vector, 480)
    engine.warm_up()
    engine.start()
    played = []
    try:
        for i in range(len(x) // 480):
            wait_until(lambda: engine.bridge.input.available() <= 480)
            out = np.zeros((480, 1), np.float32)
            engine.callback(x[i * 480 : (i + 1) * 480, None], out)
            played.append(out)
    finally:
        engine.stop()
    assert engine.failure is None
    assert engine.stats.hops == len(x) // 480


def test_reset_equals_fresh(session, vector):
    x = mixture(4800)
    hops = StreamProcessor(session, "cpu", 1, vector, Controls())
    fresh = offline(session, vector, x)
    for _ in range(2):
        out = np.concatenate([hops.process(x[None, i : i + 480]).copy()[0] for i in range(0, 4800, 480)])
        np.testing.assert_array_equal(out, fresh)
        hops.reset()
