"""Devices at other rates than the model's: the dry path keeps their samples, and everything stays aligned."""

import numpy as np
import pytest
import soundfile

from marssep_rt.audio_io.recorder import Recorder
from marssep_rt.dsp.hop_adapter import HopAdapter, adapter_latency
from marssep_rt.dsp.mixer import Controls
from marssep_rt.dsp.rate_adapter import target_delay
from marssep_rt.dsp.stream_processor import StreamProcessor
from marssep_rt.live.realtime.audio_bridge import EngineConfig
from marssep_rt.live.realtime.engine import Engine
from marssep_rt.query.build import embed_text
from simulated_device import Conditions, simulate

RATES = [44_100, 88_200, 96_000]
INSTANT = Conditions(compute=lambda _: 0.0)
ALL_RATES = [*RATES, 11_025, 16_000, 22_050, 32_000, 192_000]


def make(session, vector, rate, block=512, controls=None, channels=1, **more):
    processor = StreamProcessor(session, "cpu", channels, vector, controls or Controls())
    return Engine(processor, EngineConfig(rate, block, channels, channels), **more)


def noise(seconds, rate, seed=0):
    return (0.2 * np.random.default_rng(seed).standard_normal(round(seconds * rate))).astype(np.float32)


def delayed(x, late, samples):
    """[n, C] after ``late`` samples of silence."""
    return np.concatenate([np.zeros((late, *x.shape[1:]), np.float32), x])[:samples]


@pytest.mark.parametrize("rate", ALL_RATES)
@pytest.mark.parametrize("controls", [Controls(wet=0.0), Controls(gain_db=12.0, limit_db=6.0, bypass=True)])
def test_the_dry_path_is_the_input_bit_by_bit(session, vector, rate, controls):
    x = np.stack([noise(0.3, rate), noise(0.3, rate, 1)], axis=1)
    engine = make(session, vector, rate, controls=controls, channels=2)
    played = simulate(engine, x)
    assert engine.stats.underruns == 0
    np.testing.assert_array_equal(played, delayed(x, engine.latency_samples, len(played)))


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("block", [64, 441, 480, 1000, 2048])
def test_it_is_what_python_gives_at_the_latency_that_is_told(session, vector, rate, block):
    """Target and dry path, mixed; sample by sample."""
    controls = Controls(wet=0.8, limit_db=20.0)
    x = noise(0.4, rate)
    engine = make(session, vector, rate, block, controls)
    played = simulate(engine, x[:, None], INSTANT)[:, 0]
    assert engine.stats.underruns == 0
    adapter = HopAdapter(StreamProcessor(session, "cpu", 1, vector, Controls()), rate, controls)
    expected = adapter.process(x[None])[0]
    late = engine.latency_samples - adapter_latency(rate, 48_000, 480, 480)
    n = len(played) - max(late, 0)
    np.testing.assert_allclose(played[max(late, 0) :], expected[max(-late, 0) :][:n], atol=1e-6)
    ms = engine.latency_ms()
    assert ms["engine"] == pytest.approx(1e3 * engine.latency_samples / rate)
    assert ms["algorithmic"] + ms["blocks"] + ms["slack"] == pytest.approx(ms["engine"])


@pytest.mark.parametrize("rate", RATES)
def test_target_and_residual_add_up_to_the_input(session, vector, rate):
    x = noise(0.3, rate)[:, None]
    target, rest = (make(session, vector, rate, controls=Controls(remove=remove)) for remove in (False, True))
    both = simulate(target, x) + simulate(rest, x)
    assert np.abs(simulate(make(session, vector, rate), x)).max() > 0.001
    np.testing.assert_allclose(both, delayed(x, target.latency_samples, len(both)), atol=1e-6)


def test_what_lies_above_the_models_band_passes_with_the_dry_path(session, vector):
    rate = 96_000
    tone = (0.25 * np.sin(2 * np.pi * 35_000 / rate * np.arange(rate // 2))).astype(np.float32)

    def level(**controls):
        played = simulate(make(session, vector, rate, controls=Controls(**controls)), tone[:, None])
        return float(np.abs(played[rate // 4 :]).max())

    assert level() < 1e-3  # the target holds none of it
    assert level(remove=True) == pytest.approx(0.25, abs=1e-3)
    assert level(limit_db=20.0) == pytest.approx(0.025, abs=1e-3)


@pytest.mark.parametrize("rate", RATES)
def test_settings_change_while_it_runs_without_a_shift(session, vector, rate):
    x = noise(0.6, rate)[:, None]
    half = len(x) // 2 // 512 * 512
    engine = make(session, vector, rate)
    simulate(engine, x[:half])
    engine.set_controls(Controls(gain_db=9.0, bypass=True))
    engine.reset_model()  # latency stays
    second = simulate(engine, x[half:])
    # once the hop with the ramp was played
    settled = engine.latency_samples
    expected = delayed(x, engine.latency_samples, half + len(second))[half:]
    np.testing.assert_array_equal(second[settled:], expected[settled:])
    assert engine.processor.controls.bypass


@pytest.mark.parametrize("rate", RATES)
def test_after_a_stall_it_is_aligned_again(session, vector, rate):
    x = noise(1.5, rate)[:, None]
    engine = make(session, vector, rate, 256, Controls(wet=0.0))
    played = simulate(engine, x, Conditions(stalls=((0.3, 0.2),)))
    assert engine.stats.underruns > 5
    assert engine.bridge.samples_to_drop == 0
    expected = delayed(x, engine.latency_samples, len(played))
    np.testing.assert_array_equal(played[rate:], expected[rate:])


@pytest.mark.parametrize("rate", [44_100, 96_000])
def test_several_targets_share_the_dry_path(session, vector, bundle, rate):
    queries = np.stack([vector, embed_text("siren", bundle)])
    processor = StreamProcessor(session, "cpu", 1, queries, Controls(wet=0.0))
    engine = Engine(processor, EngineConfig(rate, 256, 2, 2, routes=(1, 0)))
    x = np.stack([noise(0.2, rate), noise(0.2, rate, 1)], axis=1)
    played = simulate(engine, x)
    expected = delayed(x.mean(axis=1), engine.latency_samples, len(played))
    for channel in (0, 1):
        np.testing.assert_array_equal(played[:, channel], expected)


@pytest.mark.parametrize("rate", [22_050, 11_025])
@pytest.mark.parametrize("extra", [0, 1])
def test_blocks_and_hops_that_never_meet_again(session, vector, rate, extra):
    """A hop is 220.5 samples at 22 050 Hz: blocks of 221 run ahead of it little by little."""
    block = 480 * rate // 48_000 + extra
    engine = make(session, vector, rate, block, Controls(wet=0.0))
    x = noise(1.0 + 230 * block / rate, rate)[:, None]
    played = simulate(engine, x, INSTANT)
    assert engine.stats.underruns == 0
    np.testing.assert_array_equal(played, delayed(x, engine.latency_samples, len(played)))


def test_nan_from_the_device_does_not_spread_over_the_resampler(session, vector):
    x = noise(0.3, 44_100)[:, None]
    x[3000:3007] = np.nan
    engine = make(session, vector, 44_100, controls=Controls(wet=0.0))
    played = simulate(engine, x)
    assert engine.stats.nan_samples == 7
    np.testing.assert_array_equal(played, delayed(np.nan_to_num(x), engine.latency_samples, len(played)))
    engine.restart()  # counters stay
    simulate(engine, noise(0.1, 44_100)[:, None])
    assert engine.stats.nan_samples == 7


def test_begun_afresh_equals_the_beginning(session, vector):
    x = noise(0.3, 44_100)[:, None]
    engine = make(session, vector, 44_100, controls=Controls(wet=0.7))
    first = simulate(engine, x)
    simulate(engine, x[::-1], Conditions(stalls=((0.1, 0.1),)))
    engine.restart()
    np.testing.assert_array_equal(simulate(engine, x), first)


def test_recordings_are_what_came_and_went(session, vector, tmp_path):
    rate = 88_200
    x = noise(0.3, rate)[:, None]
    record, record_input = Recorder(tmp_path / "out.wav", rate, 1), Recorder(tmp_path / "in.wav", rate, 1)
    engine = make(session, vector, rate, record=record, record_input=record_input)
    played = simulate(engine, x)
    engine.stop()
    record.close()
    record_input.close()
    heard, _ = soundfile.read(tmp_path / "out.wav", dtype="float32", always_2d=True)
    came, _ = soundfile.read(tmp_path / "in.wav", dtype="float32", always_2d=True)
    np.testing.assert_array_equal(came, x[: len(came)])
    n = min(len(heard), len(played))
    assert n > len(played) - 1000
    np.testing.assert_array_equal(heard[:n], played[:n])


def test_latency_in_whole_samples():
    """The graph's 480 samples of the model, and the filters' 32 of the device and 32 of the model."""
    assert target_delay(48_000, 48_000, 480) == (480, 0)
    assert target_delay(96_000, 48_000, 480) == (32 + 64 + 960, 0)
    late, phase = target_delay(44_100, 48_000, 480)
    assert late == int(32 + (32 + 480) * 44_100 / 48_000)
    assert phase / 160 == pytest.approx((32 + 480) * 44_100 / 48_000 % 1)
