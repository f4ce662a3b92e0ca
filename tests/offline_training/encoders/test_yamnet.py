"""YAMNet as the audio encoder's trunk: front end, network, weights out of a file, and the exported graph."""

import json
from pathlib import Path

import numpy as np
import pytest
import soxr
import torch

from export.onnx.audio_image import export_audio, export_image, prove_encoders
from marssep_rt.model import bundle as bundles
from offline_training.encoders import yamnet
from offline_training.encoders.audio_image import EncoderShape, TorchAudioEncoder, TorchImageEncoder
from offline_training.encoders.builtin import describe, encoders_of, load_encoders
from offline_training.encoders.pair import EncoderPair
from offline_training.encoders.tflite_weights import load_trunk, save_trunk
from offline_training.encoders.trunks import convert
from offline_training.encoders.yamnet import LEVEL, YamnetMel, YamnetTrunk
from offline_training.utils.checkpoint_io import CheckpointError

SHARED = Path(__file__).parents[4] / "shared" / "models"


@pytest.fixture(scope="module")
def trunk():
    torch.manual_seed(0)
    return YamnetTrunk().eval()


def published_front_end(sound):
    """The front end as published, at 16 kHz: 25 ms Hann frames every 10 ms, FFT of 512, mel magnitudes;
    [frames, 64].
    """
    frames = np.lib.stride_tricks.sliding_window_view(sound, 400)[::160] * (
        0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    )
    return np.abs(np.fft.rfft(frames, 512)) @ yamnet.mel_filters(257).numpy()


def test_the_front_end_at_48_khz_is_the_published_one_at_16():
    rng = np.random.default_rng(0)
    low = rng.standard_normal(16_000).astype(np.float32) * 0.1
    low = np.fft.irfft(
        np.fft.rfft(low) * (np.arange(8001) < 6500), 16_000
    )  # nothing near half the rate, where resamplers differ
    expected = published_front_end(low)
    high = soxr.resample(low, 16_000, 48_000, "VHQ").astype(np.float32)
    # our frame n ends with hop n, the published frame m begins with hop m: 1.5 hops earlier. Half a hop of
    # silence makes it two
    late = np.concatenate([np.zeros(240, np.float32), high[:-240]])
    found = YamnetMel().power(torch.from_numpy(late[None]))[0].sqrt().numpy()[2:]
    inner = slice(10, 80)
    np.testing.assert_allclose(found[inner], expected[inner], rtol=0.02, atol=expected.max() * 1e-3)


def test_every_sound_comes_at_one_level_and_silence_stays_silence():
    front = YamnetMel()
    sound = torch.randn(1, 48_000) * 0.01
    quiet, loud = front(sound), front(sound * 50)
    torch.testing.assert_close(quiet, loud, atol=2e-3, rtol=0)
    assert torch.exp(loud).sub(yamnet.OFFSET).square().mean().item() == pytest.approx(LEVEL, rel=0.01)
    assert front(torch.zeros(1, 48_000)).max().item() == pytest.approx(np.log(yamnet.OFFSET), abs=1e-5)


def test_patches_are_96_frames_half_overlapping(trunk):
    x = torch.randn(2, 48 * 4 + 17, 64)
    with torch.no_grad():
        found = trunk(x)
        assert found.shape == (2, 3, 1024)
        torch.testing.assert_close(found[:, 1], trunk.patches(x[:, None, 48:144]), atol=1e-4, rtol=1e-4)


def test_a_trunk_is_kept_with_its_classifier_and_its_name(trunk, tmp_path):
    save_trunk(tmp_path / "t.pt", yamnet.NAME, trunk, classifier_bias=torch.ones(521))
    again = YamnetTrunk()
    content = load_trunk(tmp_path / "t.pt", yamnet.NAME, again)
    assert content["classifier_bias"].float().sum() == 521
    torch.testing.assert_close(again.stem.weight, trunk.stem.weight, atol=1e-3, rtol=1e-2)
    with pytest.raises(CheckpointError, match="holds the trunk yamnet; mobilenet is needed here"):
        load_trunk(tmp_path / "t.pt", "mobilenet", again)


def test_an_ear_is_exported_proven_and_comes_back(trunk, tmp_path, bundle):
    encoder = TorchAudioEncoder(EncoderShape(trunk=yamnet.NAME)).eval()
    encoder.trunk.load_state_dict(trunk.state_dict())
    with torch.no_grad():
        encoder.head.mean.uniform_(0.0, 0.1)
        encoder.head.deviation.uniform_(0.5, 1.0)
    encoders = EncoderPair(encoder, TorchImageEncoder(EncoderShape(widths=(8, 16, 24)))).eval()
    torch.save(
        {"kind": "encoders", "describe": json.dumps(describe(encoders)), "weights": encoders.state_dict()},
        tmp_path / "t.pt",
    )
    again, _ = load_encoders(tmp_path / "t.pt")
    graphs = export_audio(again), export_image(again)
    assert len(graphs[0]) < 5_000_000
    assert max(c.difference for c in prove_encoders(again, *graphs)) < 5e-3
    bundles.write(
        tmp_path / "b",
        {k: bundle.card[k] for k in ("name", "encoder", "query_dim")},
        {"audio.onnx": graphs[0], "image.onnx": graphs[1]},
    )
    back = encoders_of(bundles.load(tmp_path / "b"))
    mels = torch.randn(2, 200, 64)
    with torch.no_grad():
        assert (back.audio(mels) * encoder(mels)).sum(1).min() > 0.99


@pytest.mark.skipif(not (SHARED / "yamnet.tflite").exists(), reason="the pre-trained model is not there")
def test_the_published_weights_give_the_published_embeddings(tmp_path):
    assert convert(SHARED / "yamnet.tflite", tmp_path / "t.pt") == yamnet.NAME
    published, reference = YamnetTrunk().eval(), np.load(SHARED / "yamnet_reference.npz")
    content = load_trunk(tmp_path / "t.pt", yamnet.NAME, published)
    with torch.no_grad():
        found = published.patches(torch.from_numpy(reference["log_mel"])[:, None]).numpy()
    cosine = (
        (found * reference["embedding"]).sum(1)
        / np.linalg.norm(found, axis=1)
        / np.linalg.norm(reference["embedding"], axis=1)
    )
    assert cosine.min() > 0.999
    logits = (
        found @ content["classifier_weight"].float().numpy().T + content["classifier_bias"].float().numpy()
    )
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), reference["logits"], atol=0.05)
