"""Blocks of any size at any sample rate: every block has its output, late by the latency that is told."""

from types import SimpleNamespace

import numpy as np
import pytest

from marssep_rt import Separator, UsageError
from marssep_rt.dsp.hop_adapter import HopAdapter, adapter_delay, adapter_latency
from signals import RATE

HOP = 480
RATES = (8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 88_200, 96_000, 192_000)


def identity(channels=1):
    """A processor without latency that changes nothing."""
    return SimpleNamespace(
        stream=SimpleNamespace(channels=channels),
        info=SimpleNamespace(sample_rate=RATE, hop=HOP),
        size=HOP,
        process=lambda hop: hop.copy(),
    )


@pytest.mark.parametrize("rate", RATES)
def test_every_block_has_its_output_whatever_its_size(rate):
    rng = np.random.default_rng(rate)
    sizes = [1, 1, 1, 7, *rng.integers(1, 3 * HOP, 60).tolist(), *[1] * 50, 5000, 1]
    x = np.sin(2 * np.pi * 100 / rate * np.arange(sum(sizes)))[None].astype(np.float32)
    adapter, whole = HopAdapter(identity(), rate), HopAdapter(identity(), rate).process(x)
    outs, at = [], 0
    for n in sizes:
        outs.append(adapter.process(x[:, at : at + n]))
        assert outs[-1].shape == (1, n)
        at += n
    np.testing.assert_allclose(np.concatenate(outs, axis=1), whole, atol=1e-6)
    late = adapter_latency(rate, RATE, HOP, 0)
    error = whole[:, late + 500 :] - x[:, 500 : x.shape[1] - late]
    assert np.abs(error).max() < 0.55 * 2 * np.pi * 100 / rate  # half a sample of the sine


@pytest.mark.parametrize("rate", RATES)
def test_the_delay_is_hardly_more_than_a_hop(rate):
    assert adapter_delay(rate, RATE, HOP) <= HOP * rate / RATE + 2


def test_nan_does_not_spread_over_the_resampler():
    adapter = HopAdapter(identity(2), 44_100)
    block = np.ones((2, 3000), np.float32)
    block[0, 100] = np.nan
    assert np.isfinite(adapter.process(block)).all()


def test_the_python_face_takes_a_sample_rate(vector):
    s = Separator(vector, wet=0.0, sample_rate=44_100)
    x = np.sin(2 * np.pi * 200 / 44_100 * np.arange(9000)).astype(np.float32)
    y = np.concatenate([s.process(x[:4000]), s.process(x[4000:]), s.flush()])
    assert s.sample_rate == 44_100
    assert len(y) == len(x) + s.latency
    np.testing.assert_allclose(y[s.latency + 500 : -500], x[500:-500], atol=0.02)
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
