import numpy as np
import pytest

from marssep_rt.dsp.resampler import StreamResampler


@pytest.mark.parametrize(
    ("source", "target"),
    [(44_100, 48_000), (48_000, 44_100), (96_000, 48_000), (48_000, 96_000), (16_000, 48_000)],
)
def test_tone_comes_through_late_by_the_stated_delay(source, target):
    r = StreamResampler(source, target, 1)
    seconds, hz = 0.3, 1000.0
    x = np.sin(2 * np.pi * hz * np.arange(int(seconds * source)) / source).astype(np.float32)
    y = np.concatenate([r.process(x[None, i : i + 177]) for i in range(0, len(x), 177)], axis=1)[0]
    assert abs(len(y) - len(x) * target / source) <= 2
    t = np.arange(len(y)) / target - r.delay
    expected = np.sin(2 * np.pi * hz * t)
    inner = slice(int(0.02 * target), len(y) - int(0.02 * target))
    np.testing.assert_allclose(y[inner], expected[inner], atol=2e-3)
    assert r.delay <= 0.0021


def test_any_split_is_the_same():
    x = np.random.default_rng(0).standard_normal((2, 5000)).astype(np.float32)
    whole = StreamResampler(44_100, 48_000, 2).process(x)
    r = StreamResampler(44_100, 48_000, 2)
    parts, at, rng = [], 0, np.random.default_rng(1)
    while at < 5000:
        n = int(rng.integers(1, 300))
        parts.append(r.process(x[:, at : at + n]))
        at += n
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=1e-5)


def test_aliases_are_suppressed():
    r = StreamResampler(48_000, 16_000, 1)
    x = np.sin(2 * np.pi * 11_000 * np.arange(48_000) / 48_000).astype(np.float32)
    assert np.abs(r.process(x[None])[0, 1000:]).max() < 0.02
