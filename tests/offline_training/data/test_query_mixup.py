"""Queries by other recordings, images and blends in training and in validation."""

import numpy as np
import pytest
import torch

from offline_training.data.eval_mixtures import EvalConfig
from offline_training.data.mixtures import MixtureConfig, MixtureDataset
from offline_training.data.query_table import Examples, QueryTable
from offline_training.data.training_data import TrainingData
from offline_training.models.separator import MaskSeparator, SeparatorConfig
from offline_training.models.unet import UNetConfig
from offline_training.training.validation import validate
from offline_training.utils.vectors import unit

EXACT = {"query_noise_cosine": 1.0, "label_query": 1.0}


@pytest.fixture(scope="module")
def full(corpus, table):
    """The table with a vector of its own for every recording, and images of sirens."""
    rng = np.random.default_rng(1)

    def examples(clips):
        vectors = np.stack([unit(rng.standard_normal(16).astype(np.float32)) for _ in clips])
        return Examples(vectors, tuple(c.split for c in clips), tuple(c.group for c in clips))

    audio = {
        label: examples([c for c in corpus.clips if c.label == label and c.split != "test"])
        for label in corpus.labels()
    }
    images = Examples(
        np.stack([unit(rng.standard_normal(16).astype(np.float32)) for _ in range(6)]),
        ("train",) * 3 + ("val",) * 3,
        tuple("abcdef"),
    )
    return QueryTable(table.phrases, table.vectors, table.encoder, audio, {"siren": images})


def dataset(corpus, table, **changes):
    return MixtureDataset(corpus, table, MixtureConfig(seconds=0.5, **EXACT, **changes), 10, 0)


def test_an_audio_query_is_never_the_recording_that_is_to_be_separated(corpus, full):
    data = dataset(corpus, full, query_kinds=(0, 1, 0, 0))
    rng = np.random.default_rng(0)
    own = full.audio["siren"].groups.index("siren3")
    for _ in range(200):
        q = data.query("siren", "siren3", [], rng)
        row = int(np.argmax(full.audio["siren"].vectors @ q))
        assert full.audio["siren"].vectors[row] @ q == pytest.approx(1, abs=1e-5)
        assert row != own
        assert full.audio["siren"].splits[row] == "train"


def test_the_only_recording_is_better_than_none(full):
    lone = Examples(np.eye(16, dtype=np.float32)[:2], ("train", "val"), ("a", "b"))
    assert lone.of("train", other_than="a").tolist() == [0]
    assert lone.of("train", "val", other_than="a").tolist() == [1]


def test_image_queries_are_means_of_training_images_and_words_where_there_are_none(corpus, full):
    data = dataset(corpus, full, query_kinds=(0, 0, 1, 0))
    rng = np.random.default_rng(0)
    train = full.image["siren"].vectors[:3]
    for _ in range(50):
        q = data.query("siren", "siren0", [], rng)
        rest = q - np.linalg.lstsq(train.T, q, rcond=None)[0] @ train
        assert np.linalg.norm(rest) < 1e-4
    np.testing.assert_allclose(data.query("rain", "rain0", [], rng), full.label_vector("rain"), atol=1e-6)


def test_a_blend_lies_among_its_parts_and_a_negative_is_pushed_away_from(corpus, full):
    rng = np.random.default_rng(0)
    blend = dataset(corpus, full, query_kinds=(0, 0, 0, 1)).query("siren", "siren0", [], rng)
    assert np.linalg.norm(blend) == pytest.approx(1, abs=1e-5)
    pushed = dataset(corpus, full, negative=1.0).query("siren", "siren0", ["rain"], rng)
    np.testing.assert_allclose(
        pushed, unit(1.5 * full.label_vector("siren") - 0.5 * full.label_vector("rain")), atol=1e-5
    )


def test_labels_that_are_held_out_never_come(corpus, full):
    data = dataset(corpus, full, held_out_labels=("rain",))
    assert "rain" not in data.labels
    assert all("rain" not in near for near in data.siblings.values())


def test_held_out_queries(full):
    assert full.held_out_query("rain", "image", "val", 1) is None
    shown = [("image", v) for v in full.image["siren"].vectors[3:]]
    q = full.held_out_query("siren", "image", "val", 1)
    np.testing.assert_allclose(
        q, unit(np.mean([v for v, _ in full.known.snap_to_labels(shown)], axis=0)), atol=1e-6
    )
    audio = full.held_out_query("rain", "audio", "val", 5)
    heard = [
        full.known.snap_to_labels([("audio", v)])[0][0]
        for v in full.audio["rain"].vectors[full.audio["rain"].of("train")]
    ]
    assert (np.stack(heard) @ audio).max() == pytest.approx(1, abs=1e-5)
    rng = np.random.default_rng(1)
    sound = full.audio["siren"].vectors[int(rng.choice(full.audio["siren"].of("train")))]
    omni = full.held_out_query("siren", "omni", "val", 1)
    snapped = [
        v
        for v, _ in full.known.snap_to_labels(
            [("text", full.label_vector("siren")), ("audio", sound), *shown]
        )
    ]
    np.testing.assert_allclose(
        omni, unit(2 * snapped[0] + snapped[1] + 2 * unit(np.mean(snapped[2:], axis=0))), atol=1e-5
    )


def test_validation_follows_all_kinds(corpus, full):
    torch.manual_seed(0)
    small = UNetConfig(channels=(4,) * 7, dilations=(1, 2), components=4, query_dim=16, query_hidden=8)
    model = MaskSeparator(SeparatorConfig(unet=small)).eval()
    figures = validate(model, TrainingData(corpus, full), EvalConfig(mixtures=12, seconds=1.0), None)
    assert {"si_sdri", "si_sdri_audio", "si_sdri_image", "si_sdri_text_for_image", "si_sdri_omni"} <= set(
        figures
    )
    assert all(np.isfinite(v) for v in figures.values())
