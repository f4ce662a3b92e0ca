"""The page's graph takes what the bundle's may be given, and gives the same."""

import numpy as np
import onnx
import onnxruntime
import pytest

from daw_tools import MODEL
from export.web.required_inputs import with_required_inputs
from marssep_rt.model.stream import MIXING, GraphInfo, zero_state


@pytest.fixture(scope="module")
def graphs():
    """The bundle's graph and the page's."""
    given = MODEL.read_bytes()
    return given, with_required_inputs(given, MIXING)


def test_only_the_initializers_of_the_inputs_go(graphs):
    before, after = map(onnx.load_from_string, graphs)
    onnx.checker.check_model(after)
    gone = [i for i in before.graph.initializer if i.name in MIXING]
    assert len(gone) == len(MIXING)
    for tensor in gone:
        before.graph.initializer.remove(tensor)
    assert after == before
    assert with_required_inputs(graphs[1], MIXING) == graphs[1]
    assert with_required_inputs(graphs[0], []) == graphs[0]


def test_zeros_are_what_is_left_out(graphs):
    rng = np.random.default_rng(0)
    before, after = (onnxruntime.InferenceSession(graph) for graph in graphs)
    info = GraphInfo.of(before)
    given = {
        "audio": rng.standard_normal((2, 1, 10 * info.hop)).astype(np.float32),
        **{name: rng.standard_normal((2, info.query_dim)).astype(np.float32) for name in ("query", "other")},
        **zero_state(info, 2, 1),
    }
    given = {i.name: given[i.name] for i in before.get_inputs()}
    mixing = dict.fromkeys(MIXING, np.zeros((2, 2), np.float32))
    assert {i.name for i in after.get_inputs()} == {*given, *MIXING}
    expected = before.run(["target"], given)[0]
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(after.run(["target"], given | mixing)[0], expected, atol=1e-6)
