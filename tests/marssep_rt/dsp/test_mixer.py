import math

import numpy as np
import pytest

from marssep_rt.contract import MIXER
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
    ("bad", "words"),
    [
        ({"wet": 1.5}, "wet is 1.5; it must lie between 0 and 1"),
        ({"wet": -0.1}, "must lie between"),
        ({"wet": float("nan")}, "must lie between"),
        ({"gain_db": 90}, "must lie between"),
        ({"limit_db": -3}, "limit is -3 dB; it must be at least 0, and from 100 on there is no limit"),
        ({"limit_db": float("nan")}, "must be at least 0"),
    ],
)
def test_out_of_range_is_refused(bad, words):
    with pytest.raises(UsageError, match=words):
        Controls(**bad)


@pytest.mark.parametrize("remove", [False, True])
def test_from_one_limit_on_there_is_none(remove):
    """The same one as in the plug-in, whose parameter ends there, and on the page."""
    free = Controls(remove).coefficients()
    for limit in (MIXER.no_limit_db, 200, math.inf):
        assert Controls(remove, limit_db=limit).coefficients() == free
    assert Controls(remove, limit_db=MIXER.no_limit_db - 0.1).coefficients() != free


@pytest.mark.parametrize(("strength", "rest_db"), [(0.0, 0.0), (50.0, -15.0), (90.0, -27.0), (100.0, None)])
def test_strength_attenuates_everything_but_the_target(strength, rest_db):
    controls = Controls(wet=0.3, limit_db=6.0, gain_db=2.0, remove=True).with_changes(strength=strength)
    kept, rest = Controls(limit_db=controls.limit_db, wet=controls.wet).coefficients()
    assert kept + rest == pytest.approx(1.0)
    assert rest == pytest.approx(0.0 if rest_db is None else 10 ** (rest_db / 20))
    assert controls.strength == pytest.approx(strength)
    assert (controls.gain_db, controls.remove) == (2.0, True)


def test_mix_and_limit_amount_to_a_strength():
    assert Controls(wet=0.9).strength == pytest.approx(100 * 20 / 30)
    assert Controls(limit_db=60.0).strength == 100.0
    assert Controls(wet=0.0).strength == 0.0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"strength": 101}, "between 0 and 100"),
        ({"strength": "half"}, "'half'"),
        ({"wet": "half"}, "between 0 and 1"),
        ({"gain_db": None}, "None"),
        ({"limit_db": "20"}, "limit is '20' dB; it must be at least 0"),
        ({"loudness": 3}, "no setting loudness; there are strength, remove"),
        ({"limit_bd": 3}, r"no setting limit_bd; did you mean limit_db\?"),
        ({"strength": 50, "wet": 0.5}, "strength sets mix and limit; leave out wet and limit_db"),
        ({"strength": 100, "limit_db": None}, "strength sets mix and limit"),
    ],
)
def test_settings_of_another_kind_or_name_are_refused(changes, words):
    with pytest.raises(UsageError, match=words):
        Controls().with_changes(**changes)
