"""Several sounds in one query: a stream for each, and the state goes on when their number changes."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from marssep_rt.dsp.mixer import Controls
from marssep_rt.dsp.query_streams import QueryStreams
from marssep_rt.dsp.stream_processor import StreamProcessor
from marssep_rt.errors import UsageError
from marssep_rt.model.stream import MIXING
from marssep_rt.query.build import in_one
from marssep_rt.query.types import Query
from signals import mixture

HOP = 480


@pytest.fixture
def sounds(bundle):
    """Four unit vectors."""
    rows = np.random.default_rng(1).standard_normal((4, bundle.query_dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def query(keep, drop=None):
    return Query(keep[0], "", "test", keep=keep, drop=drop)


def test_one_sound_is_one_stream(sounds):
    streams = QueryStreams.of([Query(sounds[0], "", "one")], True)
    np.testing.assert_array_equal(streams.query, sounds[:1])
    assert not streams.also.any()
    assert not streams.drop.any()


def test_kept_sounds_are_added_and_dropped_ones_taken_out_of_their_own_target(sounds):
    streams = QueryStreams.of([query(sounds[:2]), query(sounds[2:3], sounds[3:])], True)
    np.testing.assert_array_equal(streams.query, sounds[[0, 2, 1, 3]])
    assert streams.owner == (0, 1, 0, 1)
    assert np.argwhere(streams.also).tolist() == [[0, 2]]
    assert np.argwhere(streams.drop).tolist() == [[1, 3]]


def test_streams_of_what_is_kept_know_what_is_dropped(sounds, session, bundle):
    asked = query(sounds[:2], sounds[2:])
    streams = QueryStreams.of([Query(sounds[0], "", "one"), asked], True)
    assert streams.owner == (0, 1, 1, 1, 1)
    away = in_one(sounds[2:])
    nothing = np.zeros_like(away)
    np.testing.assert_array_equal(streams.other, [nothing, away, away, nothing, nothing])
    processor = StreamProcessor(session, "cpu", 1, asked, Controls())
    np.testing.assert_array_equal(processor.stream.other, [away, away, nothing, nothing])
    processor.set_query(query(sounds[:2], sounds[2:3]))
    np.testing.assert_array_equal(processor.stream.other, [sounds[2], sounds[2], nothing])
    assert not QueryStreams.of([asked], False).other.any()


def test_without_masks_a_negative_steers_every_kept_sound(sounds):
    streams = QueryStreams.of([query(sounds[:2], sounds[3:])], False)
    expected = [in_one(sound[None], sounds[3:]) for sound in sounds[:2]]
    np.testing.assert_array_equal(streams.query, expected)
    assert not streams.drop.any()


def run(processor, x):
    return np.concatenate(
        [processor.process(x[None, at : at + HOP])[0].copy() for at in range(0, len(x), HOP)]
    )


@pytest.fixture
def older(bundle):
    """The built-in graph as earlier exports wrote it: its masks cannot be put together."""
    graph = onnx.load_from_string(bundle.read("separator.onnx"))
    kept = [i for i in graph.graph.input if i.name not in MIXING]
    assert len(kept) == len(graph.graph.input) - len(MIXING)
    del graph.graph.input[:]
    graph.graph.input.extend(kept)
    return ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])


def test_of_a_graph_without_masks_the_targets_are_added(older, sounds):
    session = older
    x = mixture(20 * HOP)
    both, *alone = (
        run(StreamProcessor(session, "cpu", 1, asked, Controls()), x)
        for asked in (query(sounds[:2]), sounds[0], sounds[1])
    )
    np.testing.assert_allclose(both, alone[0] + alone[1], atol=1e-6)
    assert min(np.abs(a).max() for a in alone) > 1e-4


def test_the_state_goes_on_when_the_number_of_sounds_changes(session, sounds):
    x = mixture(30 * HOP)
    steady = run(StreamProcessor(session, "cpu", 1, sounds[0], Controls()), x)
    changing = StreamProcessor(session, "cpu", 1, sounds[0], Controls())
    first = run(changing, x[: 10 * HOP])
    changing.set_query(query(sounds[:3]))
    more = run(changing, x[10 * HOP : 20 * HOP])
    changing.set_query(sounds[0])
    last = run(changing, x[20 * HOP :])
    np.testing.assert_allclose(first, steady[: 10 * HOP], atol=1e-6)
    # overlap-add: half of the first hop still has the masks of before
    np.testing.assert_allclose(last[HOP:], steady[21 * HOP :], atol=1e-5)
    assert np.abs(more - steady[10 * HOP : 20 * HOP]).max() > 1e-4


def test_more_sounds_than_the_machine_has_time_for_change_nothing(session, sounds):
    processor = StreamProcessor(session, "cpu", 1, sounds[0], Controls())
    with pytest.raises(UsageError, match=r"3 sounds at once take .* name fewer"):
        processor.prepare(query(sounds[:3]), most_seconds=0.0)
    x = mixture(5 * HOP)
    processor.apply(processor.prepare(sounds[0], most_seconds=0.0))  # as many as before are always taken
    np.testing.assert_allclose(
        run(processor, x), run(StreamProcessor(session, "cpu", 1, sounds[0], Controls()), x), atol=1e-6
    )


def test_changes_that_are_prepared_together_are_made_one_after_the_other(session, sounds):
    processor = StreamProcessor(session, "cpu", 1, sounds[:2], Controls())
    changes = [processor.prepare(query(sounds[:3]), 0), processor.prepare(query(sounds[2:]), 1)]
    for change in changes:
        processor.apply(change)
    np.testing.assert_array_equal(processor.stream.query, sounds[[0, 2, 1, 2, 3]])
    assert processor.process(mixture(HOP)[None]).shape == (2, HOP)
