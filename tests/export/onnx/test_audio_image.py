"""The audio and image encoders as graphs, and which encoders a bundle gets."""

import json

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from export.bundle import QuerySources, query_files
from export.onnx.audio_image import export_audio, export_image, prove_encoders
from export.onnx.verify import ContractError
from marssep_rt.errors import BundleError
from marssep_rt.model import bundle as bundles
from offline_training.encoders.audio_image import EncoderShape
from offline_training.encoders.builtin import build_encoders, describe, encoders_of
from offline_training.utils.checkpoint_io import CheckpointError


@pytest.fixture(scope="module")
def encoders():
    torch.manual_seed(0)
    made = build_encoders(
        EncoderShape(widths=(8, 16, 24), dim=384), EncoderShape(widths=(8, 16, 24), dim=384)
    )
    for name, buffer in made.named_buffers():
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 2.0)
    return made.eval()


@pytest.fixture(scope="module")
def graphs(encoders):
    return export_audio(encoders), export_image(encoders)


def test_graphs_are_the_torch_encoders(encoders, graphs):
    assert max(c.difference for c in prove_encoders(encoders, *graphs)) < 1e-3
    other = build_encoders(
        EncoderShape(widths=(8, 16, 24), dim=384), EncoderShape(widths=(8, 16, 24), dim=384)
    )
    with pytest.raises(ContractError, match=r"audio\.onnx.*cosine"):
        prove_encoders(other, *graphs)


def test_graphs_are_small_plain_and_know_nothing_of_this_machine(graphs):
    for content in graphs:
        model = onnx.load_from_string(content)
        assert {i.domain for i in model.opset_import} == {""}
        assert b"/offline_training/" not in content
        weights = sum(
            len(t.raw_data) for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT
        )
        assert weights < 0.3 * len(content)


def test_a_longer_sound_is_one_more_window(graphs):
    session = ort.InferenceSession(graphs[0], providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).standard_normal((2, 480 * 130)).astype(np.float32)
    (both,) = session.run(["embedding"], {"audio": x})
    for i in range(2):
        np.testing.assert_allclose(
            session.run(["embedding"], {"audio": x[i : i + 1]})[0], both[i : i + 1], atol=1e-4
        )


def test_encoders_of_a_bundle(encoders, tmp_path, bundle):
    torch.save(
        {
            "kind": "encoders",
            "describe": json.dumps(describe(encoders)),
            "weights": encoders.state_dict(),
            "stage": 3,
        },
        tmp_path / "t.pt",
    )
    parts = query_files(QuerySources(encoders=tmp_path / "t.pt"), bundle.encoder)
    files, card, checks = parts.files, parts.card, parts.checks
    assert set(files) >= {"text.onnx", "tokenizer.json", "audio.onnx", "image.onnx", "sounds.json"}
    assert card["audio"]["stage"] == 3
    assert checks
    parts = query_files(QuerySources(), "pe-av:tiny")
    files, card = parts.files, parts.card
    assert files == {}
    assert "text" not in card
    with pytest.raises(BundleError, match=f"pe-av:tiny.*{bundle.encoder}"):
        query_files(QuerySources(encoders=tmp_path / "t.pt"), "pe-av:tiny")
    known = json.loads(bundle.read("sounds.json"))
    (tmp_path / "s.json").write_text(json.dumps({**known, "encoder": "other-2"}))
    with pytest.raises(BundleError, match=f"{bundle.encoder}.*other-2"):
        query_files(QuerySources(sounds=tmp_path / "s.json"), bundle.encoder)


def of_before(graph):
    """A graph of an audio encoder with the names that its weights had before."""
    model = onnx.load_from_string(graph)
    assert any(t.name.startswith("encoder.") for t in model.graph.initializer)
    for tensor in model.graph.initializer:
        tensor.name = tensor.name.replace("encoder.", "tower.")
    return model.SerializeToString()


@pytest.mark.parametrize("audio", [lambda graph: graph, of_before])
def test_a_bundles_encoders_come_back_as_torch_modules(encoders, graphs, tmp_path, bundle, audio):
    card = {k: bundle.card[k] for k in ("name", "encoder", "query_dim")}
    bundles.write(tmp_path / "b", card, {"audio.onnx": audio(graphs[0]), "image.onnx": graphs[1]})
    again = encoders_of(bundles.load(tmp_path / "b"))
    x, rgb = torch.rand(3, 120, 64) * 5, torch.rand(3, 3, 64, 64)
    with torch.no_grad():
        assert (again.audio(x) * encoders.audio(x)).sum(1).min() > 0.999
        assert (again.image(rgb) * encoders.image(rgb)).sum(1).min() > 0.999
    bundles.write(tmp_path / "c", card, {"x": b""})
    with pytest.raises(CheckpointError, match="no audio encoder"):
        encoders_of(bundles.load(tmp_path / "c"))
