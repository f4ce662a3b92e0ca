"""Stored views: the ear's upper layers train on what its lower layers heard once."""

import itertools
import json

import numpy as np
import pytest
import torch

from offline_training.alignment.config import AlignmentConfig, StageConfig
from offline_training.alignment.data import builtin
from offline_training.alignment.mel_views import ViewConfig
from offline_training.alignment.stored_views import store
from offline_training.alignment.trainer import Alignment
from offline_training.alignment.validation import HeldOut
from offline_training.data.training_data import TrainingData
from offline_training.encoders.audio_image import EncoderShape, LogMel
from offline_training.encoders.builtin import Mels, build_encoders, describe
from offline_training.evaluation.encoder_report import report_on
from offline_training.utils.run import RunOptions

pytestmark = pytest.mark.slow

UPPER = ("audio.head", "audio.trunk.blocks.12", "log_scale")
STAGE = StageConfig(
    0,
    4,
    batch=8,
    warmup=1,
    trains=UPPER,
    weights={"audio_labels": 1.0, "near": 0.5, "keep": 1.0, "mixture_triplet": 1.0, "audio_audio": 1.0},
    validate_every=2,
)
RECIPE = AlignmentConfig(stages=(STAGE,), stored_views=2, views=ViewConfig(frames=144), bf16=False)


@pytest.fixture(scope="module")
def ear(table):
    torch.manual_seed(0)
    return build_encoders(
        EncoderShape(dim=table.dim, trunk="yamnet"), EncoderShape(dim=table.dim, widths=(4, 8))
    )


@pytest.fixture(scope="module")
def made(corpus, table, ear, tmp_path_factory):
    """A folder with stored views, and what ``builtin`` gives with them."""
    folder = tmp_path_factory.mktemp("views")
    return folder, builtin(TrainingData(corpus, table), RECIPE, encoders=ear, folder=folder)


def test_maps_in_the_middle_of_the_trunk_give_the_vector_of_the_log_mels(ear):
    encoder = ear.audio.eval()
    log_mels = torch.randn(2, 200, 64)
    maps = encoder.trunk.lower(log_mels)
    assert maps.shape == (2, 3, 512, 3, 2)
    torch.testing.assert_close(encoder(maps), encoder(log_mels))


def test_views_are_made_once(made):
    folder, (_, material, _, _) = made
    chosen = sorted(clip for group in material.clips.values() for clip in group)
    assert np.load(folder / "views.npy", mmap_mode="r").shape == (len(chosen), 4, 2, 512, 3, 2)
    again = store(folder / "views.npy", None, None, chosen, 2)  # neither trunk nor sound is needed
    np.testing.assert_array_equal(again.mixed[chosen[0]], material.audio_views.mixed[chosen[0]])
    with pytest.raises(ValueError, match=f"holds 4 views of {len(chosen)} clips, not 6 of"):
        store(folder / "views.npy", None, None, chosen, 3)


def test_a_mixture_is_another_sound_than_its_target(made):
    _, (_, material, _, _) = made
    clip = next(iter(material.clips.values()))[0]
    clean, mixed = material.audio_views.mixtures([clip], [clip], np.random.default_rng(0))
    assert clean.shape == mixed.shape
    assert not torch.equal(clean, mixed)


def test_the_upper_layers_alone_train(made):
    folder, prepared = made
    encoders, held = prepared.encoders, prepared.held_out
    assert held.clips[0].shape[1:] == (held.clips[0].shape[1], 512, 3, 2)
    before = {k: v.clone() for k, v in encoders.audio.state_dict().items()}
    better = itertools.count()  # the last encoders are the best
    run = Alignment(RunOptions(folder), prepared, RECIPE)
    run.measure = lambda _: {"audio_top1": float(next(better))}
    assert run.run()
    moved = {name for name, v in encoders.audio.state_dict().items() if not torch.equal(v, before[name])}
    assert moved
    assert all(name.startswith(("head.", "trunk.blocks.12.")) for name in moved), moved


def test_another_trunk_is_refused(tmp_path, corpus, table):
    small = EncoderShape(dim=table.dim, widths=(4, 8))
    with pytest.raises(ValueError, match="YAMNet's trunk"):
        builtin(TrainingData(corpus, table), RECIPE, build_encoders(small, small), tmp_path)


def test_the_report_hears_as_the_trunk_does(corpus, table, ear, tmp_path, monkeypatch):
    class Text:
        def embed_text(self, texts):
            return np.stack([table.label_vector(label) for label in texts])

    heard = []

    class Recorded(Mels):
        def __init__(self, front_end=None):
            super().__init__(front_end)
            heard.append(front_end)

    monkeypatch.setattr("offline_training.alignment.data.Mels", Recorded)
    monkeypatch.setattr(HeldOut, "figures", lambda *_: {"audio_top1": 1.0})
    monkeypatch.setattr(HeldOut, "gaps", lambda *_: torch.ones(3))
    content = {"kind": "encoders", "describe": json.dumps(describe(ear)), "weights": ear.state_dict()}
    torch.save(content, tmp_path / "stage0.pt")
    found = report_on(tmp_path, corpus, None, Text(), "val", 10)
    assert found["stages"]["stage0"]["audio_top1"] == 1.0
    assert [type(x) for x in heard] == [type(ear.audio.front_end())]
    assert not isinstance(heard[0], LogMel)
