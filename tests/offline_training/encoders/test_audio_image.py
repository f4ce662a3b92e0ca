"""Encoders, their views of sounds and images, and what is measured of them."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image

from offline_training.alignment.mel_views import MelBank, MelViews, ViewConfig, change_speed
from offline_training.data.audio_windows import windows
from offline_training.data.corpus import CorpusError
from offline_training.data.images import ImageBank, ImageBatches
from offline_training.encoders.audio_image import EncoderShape, LogMel, TorchAudioEncoder, TorchImageEncoder
from offline_training.models.stft import SpectralConfig, mel_centres, mel_matrix
from offline_training.utils.retrieval import discriminability, retrieval

SMALL = EncoderShape(widths=(4, 8, 8), dim=16, dropout=0.0)
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A manifest over twenty-four small images: sirens are red, rain is blue."""
    folder = tmp_path_factory.mktemp("images")
    with open(folder / "images.csv", "w", newline="") as f:
        writer = csv.writer(f)
        writer.writerow(["path", "label", "split", "group"])
        for label, colour in (("siren", 0), ("rain", 2)):
            for i in range(24):
                pixels = RNG.integers(0, 90, (70, 100, 3))
                pixels[..., colour] += 150
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{label}{i}.png")
                writer.writerow([f"{label}{i}.png", label, "train" if i < 20 else "val", f"image{i}"])
    return ImageBank(folder / "images.csv")


def test_encoders_give_unit_vectors_for_any_length():
    audio, image = TorchAudioEncoder(SMALL).eval(), TorchImageEncoder(SMALL).eval()
    for frames in (100, 157, 400):
        torch.testing.assert_close(audio(torch.rand(2, frames, 64)).norm(dim=1), torch.ones(2))
    assert image(torch.rand(3, 3, 64, 64)).shape == (3, 16)


def test_log_mels_do_not_depend_on_level():
    analysis = LogMel()
    audio = torch.randn(1, 48_000) * 0.1
    torch.testing.assert_close(analysis(audio), analysis(audio * 0.01), atol=0.01, rtol=0)
    assert analysis(torch.zeros(1, 4800)).abs().max() == 0


def test_a_tone_lands_in_its_mel_band():
    tone = torch.sin(2 * torch.pi * 2000 * torch.arange(48_000) / 48_000)[None]
    band = int(LogMel(64).power(tone)[0, 50].argmax())
    assert abs(mel_centres(64, 40.0, 16_000.0)[band] - 2000) < 100


def test_every_mel_band_hears_something():
    matrix = mel_matrix(SpectralConfig(), 64)
    torch.testing.assert_close(matrix.sum(0), torch.ones(64, dtype=torch.float64), atol=2e-3, rtol=0)
    assert (matrix >= 0).all()


def test_the_bank_holds_the_encoders_own_analysis(corpus):
    bank = MelBank(corpus)
    clip = corpus.clips[0]
    count = clip.length // 480
    audio = torch.from_numpy(corpus.samples(clip, count=count * 480))
    expected = LogMel().power(audio[None])[0].numpy()
    found = bank.power(0, 0, count)
    loud = expected > expected.max() * 1e-4
    np.testing.assert_allclose(found[loud], expected[loud], rtol=0.02)


def test_powers_of_independent_sounds_add(corpus):
    """What MelViews.add does in place of mixing waveforms."""
    a, b = (torch.from_numpy(RNG.standard_normal((1, 96_000)).astype(np.float32)) for _ in range(2))
    analysis = LogMel()
    both = analysis.power(a + b)[0, 10:].mean(0)
    apart = (analysis.power(a) + analysis.power(b))[0, 10:].mean(0)
    assert (10 * torch.log10(both / apart)).abs().median() < 0.5
    views = MelViews(MelBank(corpus), ViewConfig(), [0])
    one, two = np.full((10, 4), 2.0, np.float32), np.full((10, 4), 8.0, np.float32)
    np.testing.assert_allclose(views.add(one, two, 3.0), one + 2.0 * 10**-0.3, rtol=1e-5)


def test_views_are_reproducible_and_differ(corpus):
    views = MelViews(MelBank(corpus), ViewConfig(frames=120), range(len(corpus.clips)))
    x = views.clips([0, 0, 5], np.random.default_rng(1))
    assert x.shape == (3, 120, 64)
    assert torch.isfinite(x).all()
    torch.testing.assert_close(x, views.clips([0, 0, 5], np.random.default_rng(1)))
    assert not torch.allclose(x[0], x[1])
    clean, mixed = views.mixtures([0], [20], np.random.default_rng(2))
    assert clean.shape == mixed.shape == (1, 120, 64)
    assert not torch.allclose(clean, mixed)


def test_faster_is_higher():
    power = np.zeros((120, 64), np.float32)
    power[:, 30] = 1
    fast, slow = (change_speed(power[: round(100 * f)], 100, f, LogMel()) for f in (1.2, 0.85))
    assert fast.shape == slow.shape == (100, 64)
    assert slow.sum(0).argmax() < 30 < fast.sum(0).argmax()


def test_images(images):
    assert {k: len(v) for k, v in images.by_label("train").items()} == {"rain": 20, "siren": 20}
    x = ImageBatches(images).images(images.by_label("train")["siren"], np.random.default_rng(0))
    assert x.shape == (20, 3, 64, 64)
    assert x.min() >= 0
    assert x.max() <= 1
    assert x[:, 0].mean() > x[:, 2].mean()


def test_an_image_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "x.png").write_text("no")
    (tmp_path / "m.csv").write_text("path,label,split,group\nx.png,dog,train,1\n")
    with pytest.raises(CorpusError, match=r"x\.png is not an image"):
        ImageBank(tmp_path / "m.csv")


def test_retrieval_and_discriminability_by_hand():
    labels = torch.eye(6)
    vectors = torch.tensor([[1.0, 0, 0, 0, 0, 0], [0.5, 0.6, 0.1, 0, 0, 0], [0.1, 0.2, 0.3, 0.4, 0.5, 0.0]])
    assert retrieval(vectors, [0, 0, 5], labels) == pytest.approx((1 / 3, 2 / 3))
    gap = discriminability(
        labels[:2], torch.tensor([[0.9, 0, 0, 0, 0, 0], [0, 0.5, 0, 0, 0, 0]]), labels[:2] * 0.6
    )
    torch.testing.assert_close(gap, torch.tensor([0.3, -0.1]))


def test_windows_of_silence_are_one():
    assert len(windows(np.zeros(10 * 48_000, np.float32))) == 1
