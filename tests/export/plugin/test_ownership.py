"""The engine gives back what it takes from ONNX Runtime, and its coefficients change together."""

import subprocess

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

from daw_tools import Engine, counting_runtime, helper, library, sound


@pytest.fixture
def runtime():
    """The path of a runtime that counts, and its functions; nothing may be left in the end."""
    path, functions = counting_runtime()
    assert functions.counting_live() == 0
    yield path, functions
    functions.counting_fail_tensor(-1)
    assert functions.counting_live() == 0


@pytest.fixture
def strange(tmp_path):
    """A valid graph that is not a separator."""
    inputs, outputs = (make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y"))
    graph = make_graph([make_node("Identity", ["x"], ["y"])], "strange", [inputs], [outputs])
    path = tmp_path / "strange.onnx"
    onnx.save(make_model(graph, opset_imports=[make_opsetid("", 18)], ir_version=9), path)
    return path


def test_an_engine_gives_everything_back(runtime):
    path, functions = runtime
    engine = Engine(runtime=path)
    assert functions.counting_live() > 10  # it would have seen a leak
    engine.run(sound(0.1), [512])
    engine.start(44_100, 300)
    engine.close()


def test_a_graph_that_is_no_separator_leaves_nothing(runtime, strange):
    with pytest.raises(RuntimeError, match="no usable marssep metadata"):
        Engine(model=strange, runtime=runtime[0])


@pytest.mark.parametrize("number", [0, 2, 9])
def test_a_stream_that_cannot_be_made_leaves_nothing_and_the_engine_is_silent(runtime, number):
    path, functions = runtime
    engine = Engine(runtime=path)
    functions.counting_fail_tensor(number)
    assert engine.start() == 1
    assert b"no more tensors" in library().marssep_error()
    assert not engine.run(sound(0.2), [512]).any()
    functions.counting_fail_tensor(-1)
    assert engine.start() == 0
    assert engine.run(sound(0.2), [512]).any()
    engine.close()


def test_a_library_that_is_no_runtime(tmp_path):
    (tmp_path / "text.so").write_text("no library")
    with pytest.raises(RuntimeError, match="cannot be loaded"):
        Engine(runtime=tmp_path / "text.so")


def test_a_pair_of_coefficients_is_never_torn():
    """Two separate atomics gave mixtures of an old pair and a new one."""
    done = subprocess.run([helper("coefficients_race")], capture_output=True, text=True, timeout=60)
    changed, torn = map(int, done.stdout.split())
    assert changed > 0
    assert torn == 0


def test_controls_that_change_while_it_runs_end_where_they_should():
    engine = Engine(offline=True, block=64)
    x = sound(0.5)
    for i in range(50):
        engine("controls", 1.0, 100.0, 0.0, 2 if i % 2 else 0)
        engine.process(x[:, i * 64 : (i + 1) * 64])
    engine("controls", 1.0, 100.0, 0.0, 2)
    y = engine.run(np.concatenate([np.zeros((2, 4800), np.float32), x], axis=1), [64])
    late = 4800 + engine.latency
    np.testing.assert_array_equal(y[:, late:], x[:, : y.shape[1] - late])
    engine.close()
