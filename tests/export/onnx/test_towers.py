"""The audio and image towers as graphs, and which towers a bundle gets."""

import json

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from export.bundle import QuerySources, query_files
from export.onnx.towers import export_audio, export_image, prove_towers
from export.onnx.verify import ContractError
from marssep_rt.errors import BundleError
from marssep_rt.model import bundle as bundles
from offline_training.encoders.builtin import build_towers, describe, towers_of
from offline_training.encoders.towers import TowerShape
from offline_training.utils.checkpoint_io import CheckpointError


@pytest.fixture(scope="module")
def towers():
    torch.manual_seed(0)
    made = build_towers(TowerShape(widths=(8, 16, 24), dim=384), TowerShape(widths=(8, 16, 24), dim=384))
    for name, buffer in made.named_buffers():
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 2.0)
    return made.eval()


@pytest.fixture(scope="module")
def graphs(towers):
    return export_audio(towers), export_image(towers)


def test_graphs_are_the_torch_towers(towers, graphs):
    assert max(c.difference for c in prove_towers(towers, *graphs)) < 1e-3
    other = build_towers(TowerShape(widths=(8, 16, 24), dim=384), TowerShape(widths=(8, 16, 24), dim=384))
    with pytest.raises(ContractError, match=r"audio\.onnx.*cosine"):
        prove_towers(other, *graphs)


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


def test_towers_of_a_bundle(towers, tmp_path, bundle):
    torch.save(
        {
            "kind": "towers",
            "describe": json.dumps(describe(towers)),
            "weights": towers.state_dict(),
            "stage": 3,
        },
        tmp_path / "t.pt",
    )
    parts = query_files(QuerySources(towers=tmp_path / "t.pt"), bundle.encoder)
    files, card, checks = parts.files, parts.card, parts.checks
    assert set(files) >= {"text.onnx", "tokenizer.json", "audio.onnx", "image.onnx", "sounds.json"}
    assert card["audio"]["stage"] == 3
    assert checks
    parts = query_files(QuerySources(), "pe-av:tiny")
    files, card = parts.files, parts.card
    assert files == {}
    assert "text" not in card
    with pytest.raises(BundleError, match=f"pe-av:tiny.*{bundle.encoder}"):
        query_files(QuerySources(towers=tmp_path / "t.pt"), "pe-av:tiny")
    known = json.loads(bundle.read("sounds.json"))
    (tmp_path / "s.json").write_text(json.dumps({**known, "encoder": "other-2"}))
    with pytest.raises(BundleError, match=f"{bundle.encoder}.*other-2"):
        query_files(QuerySources(sounds=tmp_path / "s.json"), bundle.encoder)


def test_a_bundles_towers_come_back_as_torch_modules(towers, graphs, tmp_path, bundle):
    card = {k: bundle.card[k] for k in ("name", "encoder", "query_dim")}
    bundles.write(tmp_path / "b", card, {"audio.onnx": graphs[0], "image.onnx": graphs[1]})
    again = towers_of(bundles.load(tmp_path / "b"))
    x, rgb = torch.rand(3, 120, 64) * 5, torch.rand(3, 3, 64, 64)
    with torch.no_grad():
        assert (again.audio(x) * towers.audio(x)).sum(1).min() > 0.999
        assert (again.image(rgb) * towers.image(rgb)).sum(1).min() > 0.999
    bundles.write(tmp_path / "c", card, {"x": b""})
    with pytest.raises(CheckpointError, match="no audio tower"):
        towers_of(bundles.load(tmp_path / "c"))
