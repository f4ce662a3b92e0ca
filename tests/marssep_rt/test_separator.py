"""The Python face: any block sizes, alignment, controls, reset, stereo, bad input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marssep_rt import Separator, UsageError, embed_audio, embed_text, separate
from marssep_rt.errors import QueryError
from signals import mixture


@pytest.fixture(scope="module")
def separator(vector):
    return Separator(vector)


def run(s, x, sizes):
    s.reset()
    outs, at = [], 0
    for n in sizes:
        piece = x[..., at : at + n]
        if piece.shape[-1]:
            outs.append(s.process(piece))
        at += n
    return np.concatenate(outs, axis=-1)


@settings(max_examples=15, deadline=None)
@given(sizes=st.lists(st.integers(1, 1500), min_size=1, max_size=12))
def test_any_block_sizes_give_the_same_stream(separator, sizes):
    x = mixture(sum(sizes))
    whole = run(separator, x, [len(x)])
    np.testing.assert_allclose(run(separator, x, sizes), whole, atol=1e-5)


def test_single_samples(separator):
    x = mixture(1100)
    np.testing.assert_allclose(run(separator, x, [1] * len(x)), run(separator, x, [len(x)]), atol=1e-5)


def test_latency_is_the_contracts(separator):
    assert separator.latency == 480 + separator.hop - 1
    assert separator.sample_rate == 48_000


def test_dry_path_is_the_input_late_by_latency(vector):
    s = Separator(vector, wet=0.0)
    x = mixture(5000)
    y = s.process(x)
    np.testing.assert_allclose(y[s.latency :], x[: -s.latency], atol=1e-7)
    assert np.all(y[: s.latency] == 0)


def test_target_and_removal_add_up_to_the_input(vector):
    x = mixture(9600)
    keep, drop = Separator(vector).process(x), Separator(vector, remove=True).process(x)
    latency = Separator(vector).latency
    np.testing.assert_allclose((keep + drop)[latency:], x[:-latency], atol=1e-5)
    assert np.abs(keep).max() > 1e-3
    assert np.abs(drop).max() > 1e-3


def test_flush_gives_the_rest_and_leaves_a_fresh_stream(vector):
    s = Separator(vector, wet=0.0)
    x = mixture(3333)
    y = np.concatenate([s.process(x), s.flush()])
    np.testing.assert_allclose(y[s.latency :], x, atol=1e-7)
    assert np.all(s.process(np.ones(100, np.float32)) == 0)


def test_reset_equals_fresh(vector):
    x = mixture(7000)
    s = Separator(vector)
    s.process(mixture(12345, seed=3))
    s.reset()
    np.testing.assert_array_equal(s.process(x), Separator(vector).process(x))


def test_stereo_keeps_its_image(vector):
    x = mixture(9600)
    s = Separator(vector)
    mono = s.process(x)
    s.reset()
    same = s.process(np.stack([x, x]))
    np.testing.assert_allclose(same, np.stack([mono, mono]), atol=1e-5)
    s.reset()
    panned = s.process(np.stack([x, 0.25 * x]))
    np.testing.assert_allclose(panned[1], 0.25 * panned[0], atol=1e-5)
    s.reset()
    opposite = s.process(np.stack([x, -x]))  # energies are averaged, so opposite phases do not cancel
    np.testing.assert_allclose(opposite[0], mono, atol=1e-5)


def test_causality(vector):
    x = mixture(9600)
    changed = x.copy()
    changed[6000:] = 0.5
    a, b = Separator(vector).process(x), Separator(vector).process(changed)
    np.testing.assert_array_equal(a[:6000], b[:6000])
    assert not np.array_equal(a[6000:], b[6000:])


def test_nan_and_infinity_are_silence(vector):
    x = mixture(4800)
    x[1000:1010] = np.nan
    x[2000] = np.inf
    clean = np.where(np.isfinite(x), x, 0)
    y = Separator(vector).process(x)
    assert np.all(np.isfinite(y))
    np.testing.assert_allclose(y, Separator(vector).process(clean), atol=1e-6)


def test_changing_the_query_keeps_the_state_and_does_not_click(bundle, vector):
    x = np.full(48_000, 0.0, np.float32)
    x += 0.3 * np.sin(2 * np.pi * 440 * np.arange(48_000) / 48_000).astype(np.float32)
    s = Separator(vector)
    first = s.process(x[:24_000])
    s.set_query("rain")
    second = s.process(x[24_000:])
    y = np.concatenate([first, second])
    # a 440 Hz tone of 0.3 moves by 0.018 a sample; a hard switch would jump by far more
    assert np.abs(np.diff(y)).max() < 0.03


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (np.zeros((3, 10), np.float32), "3 channels"),
        (np.zeros(0, np.float32), "n >= 1"),
        (np.zeros((1, 1, 4), np.float32), "shape"),
    ],
)
def test_bad_blocks(separator, bad, words):
    separator.reset()
    with pytest.raises(UsageError, match=words):
        separator.process(bad)


def test_channel_count_may_not_change_midway(separator):
    separator.reset()
    separator.process(np.zeros(10, np.float32))
    with pytest.raises(UsageError, match="reset"):
        separator.process(np.zeros((2, 10), np.float32))


def test_no_query_and_wrong_vector_are_refused():
    with pytest.raises(QueryError, match="say what to hear"):
        Separator()
    with pytest.raises(UsageError, match="shape"):
        Separator(np.ones(7, np.float32))


def test_unknown_provider_is_refused(vector):
    with pytest.raises(UsageError, match="auto, cpu or cuda"):
        Separator(vector, provider="tpu")


def test_denormal_input_is_processed_like_silence(vector):
    """The network has no recursion for denormals; ones that come in must not change anything."""
    tiny = np.full(4800, 1e-39, np.float32)
    np.testing.assert_allclose(Separator(vector).process(tiny), 0.0, atol=1e-30)
    x = mixture(4800)
    s, fresh = Separator(vector), Separator(vector)
    s.process(tiny)
    fresh.process(np.zeros(4800, np.float32))
    np.testing.assert_allclose(s.process(x), fresh.process(x), atol=1e-6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda s: Separator(qery="dog"), r"^Separator has no argument qery; did you mean query\?$"),
        (lambda s: Separator("dog", volume=3), "no argument volume; there are query, image, .*sample_rate"),
        (lambda s: Separator("dog", "cat"), "too many positional arguments"),
        (lambda s: s.set_query(qury="dog"), r"set_query has no argument qury; did you mean query\?"),
        (lambda s: s.set_controls(strenght=50), r"no setting strenght; did you mean strength\?"),
        (lambda s: separate(np.zeros(9), quary="dog"), r"no argument quary; did you mean query\?"),
        (lambda s: separate(sorce=np.zeros(9)), r"separate has no argument sorce; did you mean source\?"),
        (lambda s: embed_text(txt="dog"), r"embed_text has no argument txt; did you mean text\?"),
        (lambda s: embed_audio(), "embed_audio: missing a required argument: 'path'"),
    ],
)
def test_arguments_that_there_are_not(separator, call, words):
    """Errors of the project, and still what Python raises."""
    with pytest.raises(UsageError, match=words) as found:
        call(separator)
    assert isinstance(found.value, TypeError)


def test_an_error_inside_is_no_wrong_argument(monkeypatch):
    monkeypatch.setattr(Separator, "_query", lambda *_: 3 + "a")
    with pytest.raises(TypeError, match="unsupported operand") as found:
        Separator("dog")
    assert not isinstance(found.value, UsageError)


def test_strength_beside_what_it_sets_is_refused(vector):
    s = Separator(vector)
    for changes in ({"strength": 50, "wet": 0.3}, {"strength": 50, "limit_db": 6}):
        before = s.controls
        with pytest.raises(UsageError, match="strength sets mix and limit; leave out wet and limit_db"):
            s.set_controls(**changes)
        assert s.controls == before
        with pytest.raises(UsageError, match="strength sets mix and limit"):
            Separator(vector, **changes)


def test_a_warning_points_at_who_asked():
    with pytest.warns(UserWarning, match="unlike|every voice") as told:
        Separator(DOUBTED).set_query("my voice")
    assert [warning.filename for warning in told] == [__file__, __file__]


DOUBTED = "quarterly tax returns"  # training never asked for it


def test_doubted_words_leave_the_rest_audible():
    """The output of a query with a limit is target + leak (input - target)."""
    x = mixture(48_000)[:48_000].astype(np.float32)
    with pytest.warns(UserWarning, match="at most 12 dB"):
        limited = Separator(DOUBTED)
    with pytest.warns(UserWarning, match="unless a limit is set"):
        free = Separator(DOUBTED, limit_db=200)
    with pytest.warns(UserWarning, match=DOUBTED):
        assert Separator(DOUBTED, strength=100).mixing.coefficients() == free.mixing.coefficients()
    assert Separator("dog barking").mixing.limit_db is None
    assert Separator("dogs").mixing.limit_db is None  # a plural is no doubt
    late = np.concatenate([np.zeros(free.latency, np.float32), x])[: len(x)]
    target = free.process(x)
    leak = 10 ** (-12 / 20)
    np.testing.assert_allclose(limited.process(x), target + leak * (late - target), atol=1e-6)


def test_a_query_brings_its_limit_and_takes_it_along():
    separator = Separator("dog barking")
    separator.process(np.zeros(480, np.float32))
    with pytest.warns(UserWarning, match="at most 12 dB"):
        separator.set_query(DOUBTED)
    assert separator.mixing.limit_db == 12
    separator.set_query("dog barking")
    assert separator.mixing.limit_db is None
    separator.set_controls(limit_db=20)
    with pytest.warns(UserWarning, match=DOUBTED):
        separator.set_query(DOUBTED)
    assert separator.mixing.limit_db == 20
