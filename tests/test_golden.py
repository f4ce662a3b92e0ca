"""The runtime computes what the golden vectors say, which the plug-in and the page are held to as well."""

import numpy as np
import pytest

import golden

STORED, COMPUTED = golden.stored(), golden.computed()


def close(a, b):
    """Equal, but for rounding of floats."""
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(close(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(close, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return bool(np.isclose(a, b, rtol=1e-6, atol=1e-6))
    return a == b


@pytest.mark.parametrize("section", sorted(COMPUTED))
def test_python_computes_the_golden_vectors(section):
    """After a change that is meant: python tests/helpers/golden.py."""
    assert COMPUTED.keys() == STORED.keys()
    assert close(COMPUTED[section], STORED[section])


def test_the_comparison_sees_a_difference():
    assert not close({"a": [1.0, None]}, {"a": [1.0001, None]})
    assert not close([1], [1, 2])
