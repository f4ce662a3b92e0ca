"""What is exported keeps the graph's contract, and what does not is not written."""

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from export import bundle as exporting
from export.bundle import About, QuerySources, make_bundle, metadata, proven_graph
from export.onnx.verify import ContractError, probe_signal, prove, run_graph
from marssep_rt import Separator, embed_text
from marssep_rt.model import bundle as bundles
from marssep_rt.model.stream import GraphStream
from marssep_rt.query.build import build_query
from marssep_rt.query.second_look import FEATURES, Choice
from marssep_rt.query.types import QueryRequest
from marssep_rt.query.vocabulary import Doubt, Vocabulary
from offline_training.models import registry
from offline_training.models.separator import MaskSeparator, SeparatorConfig
from offline_training.models.streaming_state import Memory as StreamingState
from offline_training.models.unet import ADDED, UNetConfig
from offline_training.utils import checkpoint_io

BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    unet = UNetConfig(channels=(4, 4, 4, 4, 6, 6, 6), dilations=(1, 5), components=4, query_hidden=8)
    model = MaskSeparator(SeparatorConfig(unet=unet))
    for module in model.modules():  # statistics as after training: folding has something to fold
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.3)
            module.running_var.uniform_(0.3, 3.0)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(std=0.3)
    return model.eval()


@pytest.fixture(scope="module")
def checkpoint_file(model, bundle, tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "best.pt"
    content = {
        "separator": registry.describe(model),
        "weights": model.state_dict(),
        "encoder": bundle.encoder,
        "step": 1,
    }
    checkpoint_io.save(path, content)
    return path


@pytest.fixture(scope="module")
def graph(model):
    return proven_graph(model, metadata(model, "builtin-text-1", About("tiny", "none", "nothing")))[0]


def test_every_promise_is_checked(model, graph):
    names = " ".join(c.name for c in prove(graph, model, hops=12))
    for words in (
        "torch offline",
        "random chunks",
        "one hop",
        "streams do not mix",
        "B=2 C=2",
        "mono",
        "causal",
        "mask of ones",
    ):
        assert words in names


def test_only_standard_operators_and_no_control_flow(graph):
    model = onnx.load_from_string(graph)
    assert {o.domain for o in model.opset_import if o.domain} == set()
    assert not {n.op_type for n in model.graph.node} & {"If", "Loop", "Scan"}
    assert not {n.domain for n in model.graph.node if n.domain}
    assert str(Path.home()) not in graph.decode("latin-1")
    assert "offline_training/" not in graph.decode("latin-1")


def test_names_shapes_and_metadata(graph, model):
    session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    data = json.loads(session.get_modelmeta().custom_metadata_map["marssep"])
    assert data["latency"] == 480
    assert data["hop"] == 480
    assert data["mask"] == "mode"
    assert "kappa" not in data  # whether and how it was reinforced, the checkpoint's recipe says
    inputs, outputs = [i.name for i in session.get_inputs()], [o.name for o in session.get_outputs()]
    assert inputs == ["audio", "query", *data["states"]]
    assert outputs == ["target", *(f"{k}_next" for k in data["states"])]
    assert all(shape[0] == "B" for shape in data["states"].values())


def test_a_wrong_graph_is_caught(graph, model):
    """A graph whose weights differ a little, or whose state is stale, must not pass."""
    damaged = onnx.load_from_string(graph)
    for tensor in damaged.graph.initializer:
        if "encoder.0.conv.weight" in tensor.name:
            values = onnx.numpy_helper.to_array(tensor) * 1.05
            tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float32), tensor.name))
    with pytest.raises(ContractError, match="torch offline"):
        prove(damaged.SerializeToString(), model, hops=12)
    stale = onnx.load_from_string(graph)
    for node in stale.graph.node:
        for i, name in enumerate(node.output):
            if name == "overlap_next":
                node.output[i] = "dropped"
    stale.graph.node.append(onnx.helper.make_node("Identity", ["overlap"], ["overlap_next"]))
    with pytest.raises(ContractError):
        prove(stale.SerializeToString(), model, hops=12)


def test_baked_query_gives_the_same_sound(model, graph):
    query = torch.nn.functional.normalize(torch.randn(384, generator=torch.Generator().manual_seed(1)), dim=0)
    baked = proven_graph(model, metadata(model, "builtin-text-1", About("tiny", "none", "nothing")), query)[0]
    audio = probe_signal(1, 1, 20 * 480, 48_000, np.random.default_rng(0))
    sessions = [ort.InferenceSession(g, providers=["CPUExecutionProvider"]) for g in (graph, baked)]
    assert "query" not in {i.name for i in sessions[1].get_inputs()}
    a, b = (run_graph(s, audio, query[None].numpy(), [3, 17]) for s in sessions)
    np.testing.assert_allclose(a, b, atol=1e-6)


def test_command_makes_a_bundle_that_runs(checkpoint_file, tmp_path):
    done = subprocess.run(
        [BIN / "marssep-export", "bundle", checkpoint_file, "-o", tmp_path / "m.marssep"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    s = Separator("rain", bundle=tmp_path / "m.marssep")
    assert np.isfinite(s.process(np.ones(1000, np.float32))).all()
    done = subprocess.run(
        [BIN / "marssep-export", "verify", tmp_path / "m.marssep"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "keeps its promises" in done.stderr


def test_command_refuses_what_is_no_checkpoint(tmp_path):
    for name, content in (("none.pt", None), ("junk.pt", b"junk")):
        if content:
            (tmp_path / name).write_bytes(content)
        done = subprocess.run(
            [BIN / "marssep-export", "bundle", tmp_path / name, "-o", tmp_path / "b"],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "b").exists()


def test_nothing_is_written_when_the_proof_fails(checkpoint_file, tmp_path, monkeypatch):
    def broken(*args, **kwargs):
        raise ContractError("one hop at a time = whole: differs by 1.0e-02")

    monkeypatch.setattr(exporting, "prove", broken)
    with pytest.raises(ContractError):
        make_bundle(checkpoint_file, tmp_path / "b", QuerySources(), About("x"))
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_for_another_encoder_gets_no_encoders(model, tmp_path):
    content = {"separator": registry.describe(model), "weights": model.state_dict(), "encoder": "other-1"}
    checkpoint_io.save(tmp_path / "c.pt", content)
    with pytest.raises(bundles.BundleError, match="other-1"):
        make_bundle(tmp_path / "c.pt", tmp_path / "b", QuerySources(bundle=bundles.DEFAULT), About("x"))
    make_bundle(tmp_path / "c.pt", tmp_path / "b", QuerySources(), About("x"))
    made = bundles.load(tmp_path / "b")
    assert made.encoder == "other-1"
    assert not made.has("text.onnx")


@pytest.fixture(scope="module")
def listening_model():
    """A model with everything at work: what to push away, band memory, a residual query layer, a head that
    decides on the openness.
    """
    torch.manual_seed(2)
    unet = UNetConfig(
        channels=(4, 4, 4, 4, 6, 6, 6),
        dilations=(1, 5),
        components=4,
        query_hidden=8,
        other=True,
        query_inner=6,
        band_memory=(16, 8),
        decoder_memory=(8,),
        band_dilations=(1, 3),
        openness=True,
    )
    model = MaskSeparator(SeparatorConfig(unet=unet))
    for name, parameter in model.named_parameters():
        if name.startswith(("unet.other", "unet.query_outer", "unet.remember", "unet.openness")):
            parameter.data.normal_(std=0.3)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.3)
            module.running_var.uniform_(0.3, 3.0)
    return model.eval()


def test_a_graph_with_the_other_input_keeps_the_contract(listening_model):
    properties = metadata(
        listening_model,
        "space",
        About("tiny", "none", "nothing", presence={"both": [0, 1, 2], "share": [0, 1]}),
    )
    graph, checks = proven_graph(listening_model, properties)
    assert any("with other" in check.name for check in checks)
    session = ort.InferenceSession(graph)
    names = [i.name for i in session.get_inputs()]
    assert names[:3] == ["audio", "query", "other"]
    told = json.loads(session.get_modelmeta().custom_metadata_map["marssep"])
    assert told["other"] is True
    assert told["presence"] == {"both": [0, 1, 2], "share": [0, 1]}
    assert {"band_memory2_0", "band_memory2_1", "band_memory3_0", "band_memory3_1"} <= told["states"].keys()
    assert {"decoder_memory3_0", "decoder_memory3_1"} <= told["states"].keys()
    audio = probe_signal(1, 1, 480 * 8, 48_000, np.random.default_rng(0))
    query, away = (np.eye(2, 384, dtype=np.float32)[i : i + 1] for i in range(2))
    silent, pushed = (run_graph(session, audio, query, [8], other) for other in (None, away))
    assert np.abs(silent - pushed).max() > 1e-4


def test_a_head_that_decides_on_the_openness_leaves_the_contract_as_it_is(model, graph):
    """The same inputs, outputs and states; and the graph is not the one without the head."""
    torch.manual_seed(3)
    config = UNetConfig(**{**vars(model.config.unet), "openness": True})
    opening = MaskSeparator(SeparatorConfig(unet=config)).eval()
    checkpoint_io.load_weights(opening, model.state_dict(), may_lack=("unet.openness.",))
    assert opening.unet.openness is not None
    torch.nn.init.normal_(opening.unet.openness.linear.weight)
    made, checks = proven_graph(
        opening, metadata(opening, "builtin-text-1", About("tiny", "none", "nothing"))
    )
    assert {"causal: the future does not change the past", "B=2 C=2: graph = torch, also"} <= {
        check.name for check in checks
    }
    before, after = (ort.InferenceSession(g, providers=["CPUExecutionProvider"]) for g in (graph, made))
    for side in ("get_inputs", "get_outputs"):
        names = [[(i.name, i.shape) for i in getattr(session, side)()] for session in (before, after)]
        assert names[0] == names[1]
    audio = probe_signal(1, 1, 480 * 8, 48_000, np.random.default_rng(0))
    plain, other = (
        run_graph(session, audio, np.eye(1, 384, dtype=np.float32), [8]) for session in (before, after)
    )
    assert np.abs(plain - other).max() > 1e-3


def test_a_stream_of_such_a_graph_starts_with_nothing_to_push_away(listening_model):
    graph, _ = proven_graph(
        listening_model, metadata(listening_model, "space", About("tiny", "none", "nothing"))
    )
    session = ort.InferenceSession(graph)
    audio = probe_signal(1, 1, 480, 48_000, np.random.default_rng(0))
    query, away = (np.eye(2, 384, dtype=np.float32)[i : i + 1] for i in range(2))
    stream = GraphStream(session, "cpu", 1)
    stream.query[...] = query
    for other in (None, away):
        stream.reset()
        stream.other[...] = 0 if other is None else other
        stream.audio[...] = audio
        stream.run()
        np.testing.assert_allclose(stream.target, run_graph(session, audio, query, [1], other), atol=1e-6)


def test_a_baked_query_bakes_the_other_too(listening_model):
    query = torch.eye(384)[0]
    graph = proven_graph(
        listening_model, metadata(listening_model, "space", About("tiny", "none", "nothing")), query
    )[0]
    names = {i.name for i in ort.InferenceSession(graph).get_inputs()}
    assert not {"query", "other"} & names


def test_parts_that_begin_as_nothing_change_nothing(model):
    """Older weights go on in a network with more parts: until it is trained it is the same network."""
    config = model.config.unet
    grown = MaskSeparator(
        SeparatorConfig(
            unet=UNetConfig(
                **{
                    **vars(config),
                    "other": True,
                    "query_inner": 6,
                    "band_memory": (16,),
                    "decoder_memory": (16, 4),
                    "openness": True,
                }
            )
        )
    )
    checkpoint_io.load_weights(grown, model.state_dict(), may_lack=tuple(f"unet.{part}" for part in ADDED))
    audio = torch.from_numpy(probe_signal(1, 1, 480 * 6, 48_000, np.random.default_rng(0)))
    query, away = torch.eye(384)[:1], torch.eye(384)[1:2]
    with torch.no_grad():
        before, after = (m.eval()(audio, query, StreamingState()) for m in (model, grown))
        torch.testing.assert_close(after, before)
        torch.testing.assert_close(grown(audio, query, StreamingState(), away), before)
    with pytest.raises(checkpoint_io.CheckpointError, match="does not fit"):
        checkpoint_io.load_weights(grown, model.state_dict())


def test_the_card_says_of_a_model_only_what_is_known(checkpoint_file, tmp_path):
    made = make_bundle(checkpoint_file, tmp_path / "b", QuerySources(), About("x"))
    assert made["licence"] == made["trained_on"] == "not stated by its maker"
    told = {**torch.load(checkpoint_file), "trained_on": "my clips", "labels": ["rain", "siren"]}
    torch.save(told, tmp_path / "c.pt")
    made = make_bundle(tmp_path / "c.pt", tmp_path / "c", QuerySources(), About("x", licence="CC0"))
    assert (made["licence"], made["trained_on"]) == ("CC0", "my clips")
    assert Vocabulary.of(bundles.load(tmp_path / "c")).labels == ("rain", "siren")


def test_what_benchmarks_fitted_travels_and_what_they_did_not_is_refused(checkpoint_file, tmp_path):
    narrowing = {"temperature": 0.2, "snap_temperatures": {"image": 0.1}, "gain_db": 1.0}
    weights = np.eye(2, 1 + FEATURES)
    choices = [asdict(Choice()), asdict(Choice(away=0.5))]
    look = {"choices": choices, "weights": weights.tolist(), "seeds": [1], "gains_db": {"seen": 0.5}}
    sources = QuerySources(doubt={"cosine": 0.7, "limit_db": 9.0}, narrowing=narrowing, second_look=look)
    made = make_bundle(checkpoint_file, tmp_path / "b", sources, About("x"))
    assert made["narrowing"] == narrowing
    known = Vocabulary.of(bundles.load(tmp_path / "b"))
    assert (known.family_temperature, known.snap_temperatures) == (0.2, {"image": 0.1})
    assert known.doubt == Doubt(0.7, 9.0)
    assert known.second_look.choices == (Choice(), Choice(away=0.5))
    np.testing.assert_array_equal(known.second_look.weights, weights)
    assert made["second_look"] == {"gains_db": {"seen": 0.5}}
    for wrong in (
        {"narrowing": {"foo": 1}},
        {"narrowing": {"temperature": "x"}},
        {"narrowing": {"temperature": 0}},
        {"narrowing": {"temperature": None}},
        {"narrowing": {"temperature": 0.1, "snap_temperatures": [1]}},
        {"narrowing": {"temperature": 0.1, "snap_temperatures": {"image": -1}}},
        {"doubt": {"foo": 1}},
        {"second_look": {"foo": 1}},
        {"second_look": {"choices": choices, "weights": [[1.0, 2.0]]}},
    ):
        with pytest.raises(bundles.BundleError, match="doubt, narrowing or second look do not fit"):
            make_bundle(checkpoint_file, tmp_path / "c", QuerySources(**wrong), About("x"))
    assert not (tmp_path / "c").exists()


def test_labels_of_one_s_own_are_in_the_vocabulary_of_the_bundle(checkpoint_file, tmp_path):
    told = {**torch.load(checkpoint_file), "labels": ["mains hum", "rain"]}
    torch.save(told, tmp_path / "c.pt")
    make_bundle(tmp_path / "c.pt", tmp_path / "c", QuerySources(), About("x"))
    bundle = bundles.load(tmp_path / "c")
    known = Vocabulary.of(bundle)
    assert known.labels == ("rain", "mains hum")
    assert known.vectors[1] @ embed_text("mains hum") > 0.999
    assert build_query(bundle, QueryRequest(["mains hum"])).warnings == ()
    assert build_query(bundle, QueryRequest(["typewriter"])).warnings
