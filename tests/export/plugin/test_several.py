"""Several sounds and negative queries in the engine: the runtime's masks, and what is too much."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info
from onnx.numpy_helper import from_array

from daw_tools import MODEL, OWN, Engine, library, sound
from marssep_rt import Separator
from marssep_rt.contract import QUERY
from marssep_rt.dsp.presence import PresenceCurve, PresenceMeter
from marssep_rt.model import bundle as bundles
from marssep_rt.model.stream import GraphInfo
from marssep_rt.query.build import build_query
from marssep_rt.query.query_file import write_query
from marssep_rt.query.types import Query, QueryRequest

HOP = 480
SENTENCES = (
    "dog barking and rain",
    "dog barking but not rain",
    "dog barking and violin, but not rain and wind",
)


@pytest.fixture(scope="module")
def x():
    return sound(1.0)


@pytest.fixture
def engine(tmp_path):
    """Makes engines that listen to a query file; ``ask`` gives them another."""
    made = []

    def make(query, **settings):
        made.append(Engine(**settings))
        ask(made[-1], query, tmp_path)
        made[-1]("select", OWN)
        return made[-1]

    yield make
    for one in made:
        one.close()


def ask(engine, query, folder):
    write_query(folder / "x.query", query)
    assert engine("query_file", str(folder / "x.query").encode()) == 0, library().marssep_error()


def query_of(sentence):
    return build_query(bundles.load(None), QueryRequest(texts=[sentence]))


def runtime(x, *queries, hops=0):
    """What the runtime makes of [C, n]: each query, words or a vector, for so many hops."""
    s, at, outs = Separator(query=queries[0]), 0, []
    x = np.concatenate([x, np.zeros((len(x), s.latency), np.float32)], axis=1)
    for i, query in enumerate(queries):
        s.set_query(query)
        until = (i + 1) * hops * HOP if i + 1 < len(queries) else x.shape[1]
        outs.append(s.process(x[:, at:until]))
        at = until
    return np.concatenate(outs, axis=1)[:, s.latency :]


def whole(engine, x, sizes=(480,)):
    y = engine.run(np.concatenate([x, np.zeros((len(x), engine.latency), np.float32)], axis=1), sizes)
    return y[:, engine.latency :]


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("sentence", SENTENCES)
def test_several_sounds_are_the_runtimes(engine, x, sentence, channels):
    query = query_of(sentence)
    e = engine(query, channels=channels)
    expected = runtime(x[:channels], sentence)
    assert np.abs(expected).max() > 0.02
    np.testing.assert_allclose(whole(e, x[:channels], [64, 512, 1, 300]), expected, atol=1e-5)
    blend = runtime(x[:channels], query.vector)
    assert np.abs(expected - blend).max() > 1e-3  # it is not the mean of the vectors
    assert e("missed") == 0


def test_the_number_of_sounds_changes_as_in_the_runtime(engine, x, tmp_path):
    """The states of the streams go on, and what the first one had is what the others begin with."""
    sentences = ("dog barking", SENTENCES[0], "violin and rain", SENTENCES[2], "violin")
    e, hops = engine(query_of(sentences[0]), block=480), 17
    outs = []
    for i, sentence in enumerate(sentences):
        ask(e, query_of(sentence), tmp_path)
        until = (i + 1) * hops * HOP if i + 1 < len(sentences) else x.shape[1]
        outs.append(e.run(x[:, i * hops * HOP : until], [480]))
    outs.append(e.run(np.zeros((2, e.latency), np.float32), [480]))
    y = np.concatenate(outs, axis=1)[:, e.latency :]
    np.testing.assert_allclose(y, runtime(x, *sentences, hops=hops), atol=1e-5)


def test_reset_and_start_equal_fresh(engine, x):
    e = engine(query_of(SENTENCES[2]))
    first = e.run(x, [512])
    e("reset")
    np.testing.assert_array_equal(e.run(x, [512]), first)
    e.start()
    np.testing.assert_array_equal(e.run(x, [512]), first)


def test_numbers_that_are_none_stay_inside(engine, x):
    e = engine(query_of(SENTENCES[2]))
    broken = x.copy()
    broken[:, 5000:5010] = np.nan
    assert np.isfinite(e.run(broken, [512])).all()
    e("reset")
    np.testing.assert_allclose(whole(e, x), runtime(x, SENTENCES[2]), atol=1e-5)


def test_a_graph_without_masks_to_put_together_takes_one_vector(engine, x, tmp_path):
    model = onnx.load(MODEL)
    for name in ("also", "drop"):  # zeros for good
        model.graph.input.remove(next(i for i in model.graph.input if i.name == name))
    onnx.save(model, tmp_path / "old.onnx")
    query = query_of(SENTENCES[2])
    e = engine(query, model=tmp_path / "old.onnx")
    np.testing.assert_allclose(whole(e, x), runtime(x, query.vector), atol=1e-5)


@pytest.fixture
def slow(tmp_path):
    """A separator that gives its input back, at once for one sound and far too late for two."""
    nodes = [
        make_node("Shape", ["audio"], ["streams"], start=0, end=1),
        make_node("Sub", ["streams", "one"], ["more"]),
        make_node("Concat", ["more", "size"], ["shape"], axis=0),
        make_node("Expand", ["big", "shape"], ["much"]),
        make_node("MatMul", ["much", "much"], ["work"]),
        make_node("ReduceSum", ["work"], ["sum"], keepdims=0),
        make_node("ReduceSum", ["also"], ["united"], keepdims=0),
        make_node("ReduceSum", ["drop"], ["dropped"], keepdims=0),
        make_node("Sum", ["sum", "united", "dropped"], ["all"]),
        make_node("Mul", ["all", "zero"], ["nothing"]),
        make_node("Add", ["audio", "nothing"], ["target"]),
        make_node("Identity", ["kept"], ["kept_next"]),
        make_node("ReduceMax", ["query"], ["used"], keepdims=0),
    ]
    shapes = {"audio": ["B", "C", 480], "query": ["B", 384], "also": ["B", "B"], "drop": ["B", "B"]}
    ends = {"target": ["B", "C", 480], "kept_next": ["B", 1], "used": []}
    inputs, outputs = (
        [make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in some.items()]
        for some in (shapes | {"kept": ["B", 1]}, ends)
    )
    constants = {
        "one": np.array([1]),
        "size": np.array([1500, 1500]),
        "big": np.ones((1, 1500, 1500), np.float32),
        "zero": np.float32(0),
        "also": np.zeros((1, 1), np.float32),
        "drop": np.zeros((1, 1), np.float32),
    }
    initial = [from_array(np.asarray(value), name) for name, value in constants.items()]
    model = make_model(
        make_graph(nodes, "slow", inputs, outputs, initial),
        opset_imports=[make_opsetid("", 18)],
        ir_version=9,
    )
    metadata = {
        "format": 1,
        "sample_rate": 48_000,
        "hop": 480,
        "latency": 0,
        "query_dim": 384,
        "encoder": bundles.load(None).encoder,
        "states": {"kept": ["B", 1]},
    }
    onnx.helper.set_model_props(model, {"marssep": json.dumps(metadata)})
    onnx.save(model, tmp_path / "slow.onnx")
    return tmp_path / "slow.onnx"


def test_too_many_sounds_are_silent_in_real_time_and_work_offline(engine, slow, tmp_path):
    e = engine(query_of("rain"), model=slow, offline=False, channels=1)
    x = np.full((1, 4800), 0.5, np.float32)
    assert e.run(x, [480])[:, 2000:].any()
    assert e("too_many") == 0
    ask(e, query_of(SENTENCES[0]), tmp_path)
    e.run(x, [480])  # with what was inside
    assert not e.run(x, [480]).any()
    assert (e("too_many"), e("missed")) == (1, 0)
    e("offline", 1)
    e.run(x, [480])
    assert (e.run(x[:, :960], [480]) == 0.5).all()
    assert e("too_many") == 0
    e("offline", 0)
    ask(e, query_of("violin"), tmp_path)
    e.run(x, [480])
    assert (e.run(x, [480]) == 0.5).all()


def test_more_sounds_than_a_query_may_name_are_refused(tmp_path):
    e, one = Engine(), query_of("rain")
    for count in (QUERY.most_sounds, QUERY.most_sounds + 1):
        query = Query(
            one.vector, one.encoder, "rain", keep=np.stack([one.vector] * (count - 1)), drop=one.vector[None]
        )
        write_query(tmp_path / "x.query", query)
        refused = e("query_file", str(tmp_path / "x.query").encode())
        assert refused == (count > QUERY.most_sounds)
    words = library().marssep_error().decode()
    assert f"names {count} sounds; name at most {QUERY.most_sounds}" in words
    e.close()


def test_presence_is_that_of_the_whole_target(engine, x):
    e, x = engine(query_of(SENTENCES[0])), np.tile(x, 2)
    e.run(x, [512])
    curve = PresenceCurve.of(GraphInfo.of(onnxruntime.InferenceSession(MODEL)).presence)
    meter, s = PresenceMeter(2, HOP, 48_000, curve), Separator(query=SENTENCES[0])
    target = s.process(x)
    dry = np.concatenate([np.zeros((2, s.latency), np.float32), x], axis=1)
    for at in range(0, x.shape[1] - HOP, HOP):
        meter.add(target[:, at : at + HOP], dry[:, at : at + HOP])
    assert e("presence") == pytest.approx(meter.presence(), abs=0.02)
