"""A graph whose streams' masks can be put together: sounds are added and taken out by their own masks."""

import numpy as np
import onnxruntime as ort
import pytest
import torch

from export.bundle import About, metadata, proven_graph
from export.onnx.streaming_module import combined
from export.onnx.verify import ContractError, probe_signal, prove, run_graph, torch_mixed
from marssep_rt.dsp.mixer import Controls
from marssep_rt.dsp.stream_processor import StreamProcessor
from marssep_rt.model.stream import GraphStream
from marssep_rt.query.types import Query
from offline_training.models.separator import MaskSeparator, SeparatorConfig
from offline_training.models.unet import UNetConfig

HOP = 480


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(3)
    unet = UNetConfig(channels=(4, 4, 4, 4, 6, 6, 6), dilations=(1, 5), components=4, query_hidden=8)
    return MaskSeparator(SeparatorConfig(unet=unet)).eval()


@pytest.fixture(scope="module")
def proven(model):
    return proven_graph(model, metadata(model, "builtin-text-1", About("tiny", "none", "nothing")))


@pytest.fixture(scope="module")
def session(proven):
    return ort.InferenceSession(proven[0], providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def sounds():
    rows = np.random.default_rng(0).standard_normal((3, 384)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def audio():
    return probe_signal(1, 1, 30 * HOP, 48_000, np.random.default_rng(1))


def asked(session, audio, query, controls=None):
    processor = StreamProcessor(session, "cpu", 1, query, controls or Controls())
    pieces = [processor.process(audio[0, :, at : at + HOP]).copy() for at in range(0, audio.shape[-1], HOP)]
    return np.concatenate(pieces, axis=1)[0]


def test_the_masks_are_united_and_taken_out():
    mask = torch.tensor([0.25, 0.5, 0.75]).reshape(3, 1, 1)
    logits, also, drop = torch.logit(mask), torch.zeros(3, 3), torch.zeros(3, 3)
    also[0, 1] = also[1, 2] = drop[0, 2] = drop[2, 0] = drop[2, 1] = 1.0
    united = [1 - 0.75 * 0.5, 1 - 0.5 * 0.25, 0.75]
    expected = [united[0] * 0.25**0.5, united[1], united[2] * 0.75**0.5 * 0.5**0.5]
    torch.testing.assert_close(combined(logits, also, drop).flatten(), torch.tensor(expected))
    one = torch.zeros(1, 1)
    torch.testing.assert_close(combined(logits, one, one), torch.sigmoid(logits))


def test_the_proof_compares_both_with_torch(proven, model, monkeypatch):
    assert {"also", "drop"} <= {check.name.rpartition(", ")[2] for check in proven[1]}
    monkeypatch.setattr("export.onnx.verify.combined", lambda logits, also, drop: torch.sigmoid(logits))
    with pytest.raises(ContractError, match="graph = torch, also"):
        prove(proven[0], model, hops=12)


def test_hosts_that_do_not_know_of_it_see_the_graph_of_before(session):
    assert [i.name for i in session.get_inputs()][:3] == ["audio", "query", "analysis"]
    assert GraphStream.can_mix(session)


def test_the_runtime_puts_the_sounds_of_a_query_together(session, model, sounds, audio):
    three = np.repeat(audio, 3, axis=0)
    mixing = {"also": np.zeros((3, 3), np.float32), "drop": np.zeros((3, 3), np.float32)}
    mixing["also"][0, 1] = mixing["drop"][0, 2] = 1.0
    expected = torch_mixed(model, three, sounds, mixing)[0, 0]
    found = asked(session, audio, Query(sounds[0], "", "q", keep=sounds[:2], drop=sounds[2:]))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    alone = asked(session, audio, sounds[0])
    np.testing.assert_allclose(alone, run_graph(session, audio, sounds[:1], [30])[0, 0], atol=1e-5)
    assert np.abs(alone - found).max() > 1e-3


def test_two_targets_have_sounds_of_their_own(session, sounds, audio):
    queries = [Query(sounds[0], "", "a", keep=sounds[:2]), Query(sounds[2], "", "b", drop=sounds[:1])]
    processor = StreamProcessor(session, "cpu", 1, queries, Controls())
    both = processor.process(audio[0, :, :HOP]).copy()
    for row, query in zip(both, queries, strict=True):
        np.testing.assert_allclose(row, asked(session, audio[..., :HOP], query), atol=1e-6)
