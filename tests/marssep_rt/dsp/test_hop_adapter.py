"""Blocks of any size at any sample rate: every block has its output, late by the latency that is told."""

from types import SimpleNamespace

import numpy as np
import pytest

from marssep_rt import Separator, UsageError
from marssep_rt.dsp.hop_adapter import HopAdapter, adapter_delay, adapter_latency
from marssep_rt.dsp.mixer import Controls
from signals import RATE

HOP = 480
RATES = (8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 88_200, 96_000, 192_000)


def identity(channels=1):
    """A processor without latency that changes nothing."""
    return SimpleNamespace(
        stream=SimpleNamespace(channels=channels),
        info=SimpleNamespace(sample_rate=RATE, hop=HOP, latency=0),
        size=HOP,
        process=lambda hop: hop.copy(),
    )


def adapted(rate, controls=None, channels=1):
    return HopAdapter(identity(channels), rate, controls or Controls())


@pytest.mark.parametrize("rate", RATES)
def test_every_block_has_its_output_whatever_its_size(rate):
    rng = np.random.default_rng(rate)
    sizes = [1, 1, 1, 7, *rng.integers(1, 3 * HOP, 60).tolist(), *[1] * 50, 5000, 1]
    x = np.sin(2 * np.pi * 100 / rate * np.arange(sum(sizes)))[None].astype(np.float32)
    adapter, whole = adapted(rate), adapted(rate).process(x)
    outs, at = [], 0
    for n in sizes:
        outs.append(adapter.process(x[:, at : at + n]))
        assert outs[-1].shape == (1, n)
        at += n
    np.testing.assert_allclose(np.concatenate(outs, axis=1), whole, atol=1e-6)
    late = adapter_latency(rate, RATE, HOP, 0)
    error = whole[:, late + 500 :] - x[:, 500 : x.shape[1] - late]
    assert np.abs(error).max() < 0.1 * 2 * np.pi * 100 / rate + 1e-4  # the tenth of a sample of the sine


@pytest.mark.parametrize("rate", RATES)
def test_the_target_is_not_a_part_of_a_sample_beside_the_input(rate):
    tone = 0.15 * min(rate, RATE)  # the filters pass it at every rate
    x = np.sin(2 * np.pi * tone / rate * np.arange(3 * rate // 10))[None].astype(np.float32)
    late = adapter_latency(rate, RATE, HOP, 0)
    rest = adapted(rate, Controls(remove=True)).process(x)  # the target is all of it
    assert np.abs(rest[:, late + 500 : -500]).max() < 0.01


def test_a_change_of_the_mixer_is_ramped_at_a_rate_that_hops_do_not_divide():
    rate = 11_025
    adapter, x = adapted(rate, Controls(wet=0.0)), np.ones((1, rate), np.float32)
    adapter.process(x)
    adapter.set_controls(Controls(gain_db=-20.0))
    y = adapter.process(x)
    assert y[0, 0] == 1.0
    assert y[0, -1] == pytest.approx(0.1, abs=1e-3)
    assert np.abs(np.diff(y)).max() < 0.02  # 0.9 in the 110 samples of a hop, a step of it twice as large


@pytest.mark.parametrize("rate", RATES)
def test_the_delay_is_hardly_more_than_a_hop(rate):
    assert adapter_delay(rate, RATE, HOP) <= HOP * rate / RATE + 2


def test_nan_does_not_spread_over_the_resampler():
    adapter = adapted(44_100, Controls(wet=0.5), channels=2)
    block = np.ones((2, 3000), np.float32)
    block[0, 100] = np.nan
    assert np.isfinite(adapter.process(block)).all()
    assert np.isnan(block[0, 100])


def test_the_python_face_takes_a_sample_rate(vector):
    s = Separator(vector, wet=0.0, sample_rate=44_100)
    x = np.sin(2 * np.pi * 200 / 44_100 * np.arange(9000)).astype(np.float32)
    y = np.concatenate([s.process(x[:4000]), s.process(x[4000:]), s.flush()])
    assert s.sample_rate == 44_100
    assert len(y) == len(x) + s.latency
    np.testing.assert_array_equal(y[s.latency :], x)  # the dry path is not resampled
    assert s.process(np.zeros((2, 10), np.float32)).shape == (2, 10)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"query": "rain", "sample_rate": "fast"}, "sample_rate is 'fast'"),
        ({"query": "rain", "sample_rate": 7_999}, "8000 to 192000"),
        ({"query": "rain", "sample_rate": float("nan")}, "8000 to 192000"),
        ({"query": 5}, "query is a int"),
        ({"query": ["rain", 5]}, "query is a list"),
        ({"query": "rain", "audio": 3.0}, "audio is a float"),
        ({"query": "rain", "negative": 7}, "negative is a int"),
        ({"query": "rain", "wet": "much"}, "wet is 'much'"),
        ({"query": "rain", "strength": 50, "wet": 0.5}, "strength sets mix and limit"),
        ({"query": "rain", "bundle": 3}, "bundle is a int"),
        ({"query": "rain", "provider": 3}, "provider"),
    ],
)
def test_arguments_of_another_kind_are_usage_errors(arguments, words):
    with pytest.raises(UsageError, match=words):
        Separator(**arguments)
