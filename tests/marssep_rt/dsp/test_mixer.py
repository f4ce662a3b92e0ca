import numpy as np
import pytest

from marssep_rt.dsp.mixer import Controls, Mixer
from marssep_rt.errors import UsageError


def formula(target, dry, controls):
    """The contract's words, literally."""
    t, rest = (dry - target, target) if controls.remove else (target, dry - target)
    limit = 0.0 if controls.limit_db is None else 10 ** (-controls.limit_db / 20)
    z = t + limit * rest
    return 10 ** (controls.gain_db / 20) * (controls.wet * z + (1 - controls.wet) * dry)


@pytest.mark.parametrize("remove", [False, True])
@pytest.mark.parametrize("wet", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("limit", [None, 0.0, 12.0])
def test_coefficients_are_the_formula(remove, wet, limit):
    controls = Controls(remove, wet, limit, -3.0)
    target, dry = np.array([0.2, -0.1, 0.0]), np.array([0.5, 0.4, -0.3])
    a, b = controls.coefficients()
    np.testing.assert_allclose(a * target + b * dry, formula(target, dry, controls), atol=1e-12)


def test_a_change_is_ramped_over_one_hop():
    mixer = Mixer(Controls(wet=0.0), 1, 100)
    out, target, dry = (
        np.zeros((1, 100), np.float32),
        np.zeros((1, 100), np.float32),
        np.ones((1, 100), np.float32),
    )
    mixer.run(target, dry, out)
    assert np.all(out == 1.0)
    mixer.set(Controls(wet=1.0))
    mixer.run(target, dry, out)
    assert np.abs(np.diff(out[0])).max() < 0.011
    assert out[0, -1] == pytest.approx(0.0, abs=1e-6)
    mixer.run(target, dry, out)
    assert np.all(out == 0.0)


@pytest.mark.parametrize(
    "bad", [{"wet": 1.5}, {"wet": -0.1}, {"limit_db": -3}, {"gain_db": 90}, {"wet": float("nan")}]
)
def test_out_of_range_is_refused(bad):
    with pytest.raises(UsageError, match="must lie between"):
        Controls(**bad)
