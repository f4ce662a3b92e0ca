"""The plug-in's engine against the runtime, through its C functions: block sizes, rates, offline, faults."""

import json
import subprocess
import sys
import threading
import time

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from onnx.helper import (
    make_graph,
    make_model,
    make_node,
    make_opsetid,
    make_tensor,
    make_tensor_value_info,
)
from scipy.signal import resample_poly

import marssep_rt
from daw_tools import (
    MODEL,
    QUERIES,
    Engine,
    core,
    library,
    plugins,
    probe,
    scratch,
    shipped_flags,
    sound,
    tools,
)
from marssep_rt import Separator
from marssep_rt.query.build import build_query
from marssep_rt.query.query_file import write_query
from marssep_rt.query.types import QueryRequest

HOP = 480


@pytest.fixture(scope="module")
def x():
    return sound(1.2)


@pytest.fixture
def engine(request):
    made = []

    def make(**settings):
        made.append(Engine(**settings))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def brittle(tmp_path):
    """A separator whose target is its state plus the input, and whose state is a root of the input's sum."""
    nodes = [
        make_node("Add", ["audio", "kept"], ["target"]),
        make_node("ReduceMin", ["audio"], ["least"], axes=[2], keepdims=1),
        make_node("Sqrt", ["least"], ["root"]),
        make_node("Mul", ["kept", "zero"], ["same"]),  # NaN stays NaN
        make_node("Add", ["root", "same"], ["kept_next"]),
        make_node("ReduceMax", ["query"], ["used"], keepdims=0),
    ]
    shapes = {"audio": [1, "C", 480], "query": [1, 384], "kept": [1, "C", 1]}
    ends = {"target": [1, "C", 480], "kept_next": [1, "C", 1], "used": []}
    inputs, outputs = (
        [make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in some.items()]
        for some in (shapes, ends)
    )
    zero = make_tensor("zero", TensorProto.FLOAT, [], [0.0])
    graph = make_graph(nodes, "brittle", inputs, outputs, [zero])
    model = make_model(graph, opset_imports=[make_opsetid("", 17)], ir_version=9)
    metadata = {
        "format": 1,
        "sample_rate": 48_000,
        "hop": 480,
        "latency": 480,
        "query_dim": 384,
        "encoder": "builtin-text-1",
        "states": {"kept": ["B", "C", 1]},
    }
    onnx.helper.set_model_props(model, {"marssep": json.dumps(metadata)})
    onnx.save(model, tmp_path / "brittle.onnx")
    return tmp_path / "brittle.onnx"


def reference(x, query="dog barking", **settings):
    """What the runtime makes of [C, n], aligned to it."""
    s = Separator(query=query, **settings)
    y = s.process(np.concatenate([x, np.zeros((len(x), s.latency), np.float32)], axis=1))
    return y[:, s.latency :]


def aligned(engine, x, sizes):
    y = engine.run(np.concatenate([x, np.zeros((len(x), engine.latency), np.float32)], axis=1), sizes)
    return y[:, engine.latency :]


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("sizes", [[64], [1024], [4096], [8192], [1, 7, 333, 512, 2, 480, 64]], ids=str)
def test_equals_the_runtime_for_any_blocks(engine, x, channels, sizes):
    e = engine(channels=channels, block=max(sizes))
    assert e.latency == 480 + HOP - 1 + max(HOP, max(sizes))
    expected = reference(x[:channels])
    assert np.abs(expected).max() > 0.05
    np.testing.assert_allclose(aligned(e, x[:channels], sizes), expected, atol=1e-5)
    assert e("missed") == 0


def test_a_host_ahead_of_real_time_is_waited_for_without_saying_so(engine, x):
    e = engine(offline=False, block=256)
    np.testing.assert_allclose(aligned(e, x, [256]), reference(x), atol=1e-5)
    assert e("missed") == 0


def test_a_host_at_real_time_gets_the_same(engine, x):
    e = engine(offline=False, block=512)
    x = np.concatenate([x, np.zeros((2, e.latency), np.float32)], axis=1)[:, : 512 * 110]
    begun, outs = time.perf_counter(), []
    for at in range(0, x.shape[1], 512):
        outs.append(e.process(x[:, at : at + 512]))
        time.sleep(max(0.0, begun + (at + 512) / 48_000 - time.perf_counter()))
    y = np.concatenate(outs, axis=1)[:, e.latency :]
    late = e("missed")
    if late:  # another program took the processor: what is there must still be in its place
        pytest.skip(f"this machine was too busy: {late} samples came too late")
    np.testing.assert_allclose(y, reference(x)[:, : y.shape[1]], atol=1e-5)


def test_controls_are_the_runtimes(engine, x):
    for output, settings in (
        (0, {"wet": 0.5, "gain_db": -6.0}),
        (1, {"limit_db": 12.0}),
        (0, {"limit_db": 6.0}),
    ):
        e = engine()
        e(
            "controls",
            settings.get("wet", 1.0),
            settings.get("limit_db", 100.0),
            settings.get("gain_db", 0.0),
            output,
        )
        e.start()
        np.testing.assert_allclose(
            aligned(e, x, [512]), reference(x, remove=output == 1, **settings), atol=2e-5
        )


@pytest.mark.parametrize("rate", [44_100, 48_000, 88_200, 96_000])
def test_bypass_is_the_input_late_by_the_latency(engine, rate):
    x = sound(0.5, rate=rate)
    e = engine(rate=rate, block=300)
    e("controls", 1.0, 100.0, 0.0, 2)
    e.start(rate, 300)
    np.testing.assert_array_equal(aligned(e, x, [300]), x)


@pytest.mark.parametrize("rate", [44_100, 88_200, 96_000])
def test_other_rates_are_in_place_and_the_runtimes(engine, rate):
    """The short resampler moves nothing by a sample; the rest is the runtime's at that rate."""
    x = sound(2.0)
    here = np.stack([resample_poly(row, rate // 300, 160) for row in x]).astype(np.float32)
    e = engine(rate=rate, block=256)
    base = Engine(block=256)
    assert e.latency / rate - base.latency / 48_000 < 0.002  # what resampling adds, both ways
    base.close()
    y = aligned(e, here, [256])
    expected = np.stack([resample_poly(row, rate // 300, 160) for row in reference(x)])[:, : y.shape[1]]
    y = y[:, : expected.shape[1]]
    shifts = {k: float((np.roll(y, k, axis=1) * expected).sum()) for k in range(-4, 5)}
    assert max(shifts, key=shifts.get) == 0
    np.testing.assert_allclose(y, reference(here, sample_rate=rate)[:, : y.shape[1]], atol=1e-5)


def test_another_query_and_a_query_file(engine, x, tmp_path):
    e = engine()
    e("select", 1)
    np.testing.assert_allclose(aligned(e, x, [512]), reference(x, "violin"), atol=1e-5)
    write_query(
        tmp_path / "rain.query", build_query(marssep_rt.model.bundle.load(None), QueryRequest(texts=["rain"]))
    )
    assert e("query_file", str(tmp_path / "rain.query").encode()) == 0
    e("select", len(QUERIES))
    e.start()
    np.testing.assert_allclose(aligned(e, x, [512]), reference(x, "rain"), atol=1e-5)


@pytest.mark.parametrize("words", ["no dog", "background noise", "no background noise", "dog but not rain"])
@pytest.mark.parametrize("output", [0, 1, 2])
def test_a_query_file_of_a_residual_gives_the_residual(engine, x, tmp_path, words, output):
    """The parameter stays; where it is the residual, as with ``--mode residual`` beside the words."""
    query = build_query(marssep_rt.model.bundle.load(None), QueryRequest(texts=[words]))
    write_query(tmp_path / "x.query", query)
    e = engine()
    assert e("query_file", str(tmp_path / "x.query").encode()) == 0, library().marssep_error()
    e("select", len(QUERIES))
    e("controls", 1.0, 20.0, 0.0, output)
    e.start()
    expected = x if output == 2 else reference(x, words, remove=output == 1, limit_db=20.0)
    np.testing.assert_allclose(aligned(e, x, [512]), expected, atol=2e-5)
    e("select", 0)
    e.start()
    expected = x if output == 2 else reference(x, QUERIES[0], remove=output == 1, limit_db=20.0)
    np.testing.assert_allclose(aligned(e, x, [512]), expected, atol=2e-5)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot read"),
        ("nonsense", "is no query file"),
        ('{"format": 9}', "newer format"),
        (
            '{"format": 1, "label": "x", "encoder": "other-1", "dim": 1, "vector": [1]}',
            "made by encoder other-1",
        ),
        (
            '{"format": 1, "label": "x", "encoder": "ENCODER", "dim": 384, "vector": ['
            + ", ".join(["0"] * 384)
            + "]}",
            "no direction",
        ),
    ],
)
def test_query_files_that_are_none(engine, tmp_path, content, words):
    path = tmp_path / "q.query"
    if content is not None:
        encoder = marssep_rt.model.bundle.load(None).encoder
        path.write_text(content.replace("ENCODER", encoder))
    assert engine()("query_file", str(path).encode()) == 1
    assert words in library().marssep_error().decode()


def test_begun_again_equals_fresh(engine, x):
    e = engine()
    first = e.run(x, [512])
    e.run(x[:, ::-1], [100])
    e.start()
    np.testing.assert_array_equal(e.run(x, [512]), first)


@pytest.mark.parametrize("offline", [True, False])
@pytest.mark.parametrize("rate", [48_000, 44_100])
def test_reset_equals_fresh(engine, x, rate, offline):
    """Without offline the host is ahead of real time, does not say so, and is waited for."""
    e = engine(rate=rate, offline=offline)
    first = e.run(x, [512])
    e.run(x[:, 5000:20_000], [100])
    e("reset")
    np.testing.assert_array_equal(e.run(x, [512]), first)
    for n in (1, 512, 3, 480):  # again before the model's thread has answered
        e("reset")
        e.process(x[:, :n])
    e("reset")
    e("reset")
    np.testing.assert_array_equal(e.run(x, [512]), first)
    assert e("missed") == 0


def test_reset_at_real_time_equals_fresh(engine, x):
    e = engine(offline=False, block=512)
    x = x[:, : 512 * 80]
    begun, blocks, rounds = time.perf_counter(), 0, []
    for _ in range(2):
        outs = []
        for at in range(0, x.shape[1], 512):
            outs.append(e.process(x[:, at : at + 512]))
            blocks += 1
            time.sleep(max(0.0, begun + blocks * 512 / 48_000 - time.perf_counter()))
        rounds.append(np.concatenate(outs, axis=1))
        e("reset")
    if late := e("missed"):
        pytest.skip(f"this machine was too busy: {late} samples came too late")
    np.testing.assert_array_equal(rounds[1], rounds[0])


def test_hops_that_are_spared_are_latency_and_nothing_else(engine, x):
    e = engine(spare=2, block=512)
    assert e.latency == 480 + HOP - 1 + 3 * HOP
    assert engine(spare=2, block=4096).latency == 480 + HOP - 1 + 4096  # a long block gives time enough
    np.testing.assert_allclose(aligned(e, x, [512]), reference(x), atol=1e-5)


def test_the_engine_is_tested_as_it_ships():
    """With -ffast-math std::isfinite is always true."""
    assert "-ffast-math" in shipped_flags()


@pytest.mark.parametrize("what", ["engine", "plugin"])
def test_a_host_that_loads_the_plugin_keeps_its_denormals(what):
    """Linked with -ffast-math alone, a library turns them off in the thread that loads it."""
    loaded = core() if what == "engine" else next(plugins(2).glob("*.lv2/*.so"))
    program = f"import ctypes; ctypes.CDLL({str(loaded)!r}); print(5e-324 > 0)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


@pytest.mark.parametrize("rate", [48_000, 44_100])
@pytest.mark.parametrize("output", [0, 1, 2])
def test_numbers_that_are_none_stay_inside(engine, x, output, rate):
    """NaN and infinities count as silence, and nothing of them is left in states, resamplers and meters."""
    bad = x.copy()
    bad[:, 10_000] = np.nan
    bad[0, 20_000], bad[0, 21_000], bad[1, 30_000] = np.inf, -np.inf, 1e30
    clean = np.clip(np.nan_to_num(bad, nan=0.0, posinf=0.0, neginf=0.0), -1e6, 1e6)
    outputs = []
    for given in (bad, clean):
        e = engine(rate=rate)
        e("controls", 1.0, 20.0, 0.0, output)
        outputs.append(e.run(given, [512]))
        e.run(np.tile(x, 4), [512])
        assert -60 < e("level") < 0
        assert 0 <= e("presence") <= 1
    assert np.isfinite(outputs[0]).all()
    np.testing.assert_array_equal(*outputs)


def test_a_model_that_yields_no_number_begins_afresh(engine, brittle):
    e = engine(model=brittle, block=480)
    x = np.full((2, 480 * 12), 0.25, np.float32)
    x[:, 480 * 4] = -1.0  # the graph takes a root of it and keeps the result
    y = e.run(x, [480])
    assert np.isfinite(y).all()
    assert (y[:, e.latency : e.latency + 480 * 3] > 0).all()
    assert (y[:, -480:] > 0).all()


def test_controls_that_are_no_numbers_change_nothing(engine, x):
    e = engine()
    for bad in (np.nan, np.inf):
        e("controls", bad, 100.0, bad, 0)
    np.testing.assert_allclose(aligned(e, x, [512]), reference(x), atol=1e-5)


def test_sixteen_at_once_are_sixteen_alone(x):
    engines = [Engine(channels=1, block=512) for _ in range(16)]
    inputs = [sound(0.6, 1, seed=i) for i in range(16)]
    found = [None] * 16

    def work(i):
        found[i] = aligned(engines[i], inputs[i], [512])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for e, given, y in zip(engines, inputs, found, strict=True):
        np.testing.assert_allclose(y, reference(given), atol=1e-5)
        e.close()


def test_meters(engine, x):
    e = engine()
    assert e("level") == -120.0
    y = e.run(np.tile(x, 2), [512])
    measured = 10 * np.log10(np.square(y[:, -24_000:]).mean())
    assert abs(e("level") - measured) < 3
    assert 0 < e("presence") <= 1
    e("controls", 1.0, 100.0, 20.0, 0)
    before = e("level")
    e.run(np.tile(x, 2), [512])
    assert e("level") > before + 15


def test_what_is_missing_is_said(tmp_path):
    with pytest.raises(RuntimeError, match=r"none\.onnx"):
        Engine(model=tmp_path / "none.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"no graph")
    with pytest.raises(RuntimeError, match=r"bad\.onnx"):
        Engine(model=tmp_path / "bad.onnx")


def watched(*flags):
    """What the real-time probe says of some seconds at real time."""
    vector = scratch()[1] / "dog.f32"
    np.asarray(marssep_rt.embed_text("dog barking"), np.float32).tofile(vector)
    return subprocess.run(
        [probe(*flags), tools().library, MODEL, vector], capture_output=True, text=True, timeout=120
    )


def test_the_hosts_thread_neither_allocates_nor_locks(x):
    """Counted by the allocator and the mutex themselves, which the probe puts itself before."""
    done = watched()
    assert done.returncode == 0, done.stdout + done.stderr
    said = dict(line.split() for line in done.stdout.splitlines())
    assert int(said["noticed"]) >= 2  # that it would have seen an allocation and a lock
    assert int(said["forbidden"]) == 0
    assert int(said["blocks"]) >= 500


def test_nothing_is_touched_that_is_not_ours():
    done = watched("-fsanitize=address,undefined", "-g", "-O1")
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert "ERROR" not in done.stderr
    assert "runtime error" not in done.stderr
