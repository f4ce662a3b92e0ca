"""Paced calls, on a clock of the test's own."""

import numpy as np
import pytest

from marssep_rt.utils import benchmark as pacing


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 100.0

        def perf_counter(self):
            return self.now

        def sleep(self, seconds):
            self.now += seconds

    clock = Clock()
    monkeypatch.setattr(pacing, "time", clock)
    return clock


def test_calls_come_at_their_times_and_a_late_one_is_followed_at_once(clock):
    lengths = iter([0.001, 0.025, 0.002, 0.001, 0.001])
    begun = []

    def work():
        begun.append(clock.now - 100)
        clock.now += next(lengths)

    took = pacing.paced(work, 0.01, 0.05)
    np.testing.assert_allclose(took, [1, 25, 2, 1, 1], atol=1e-9)
    np.testing.assert_allclose(begun, [0, 0.01, 0.035, 0.037, 0.04], atol=1e-9)


def test_quantiles():
    s = pacing.quantiles(np.arange(1001.0))
    assert s == {"p50": 500.0, "p99": 990.0, "p999": 999.0, "worst": 1000.0}
