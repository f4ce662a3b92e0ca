"""Stored views: the ear's upper layers train on what its lower layers heard once."""

import itertools

import numpy as np
import pytest
import torch

from offline_training.alignment.config import AlignmentConfig, StageConfig
from offline_training.alignment.data import builtin
from offline_training.alignment.mel_views import ViewConfig
from offline_training.alignment.trainer import Alignment
from offline_training.encoders.builtin import build_towers
from offline_training.encoders.towers import TowerShape

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


@pytest.fixture
def ear(table):
    torch.manual_seed(0)
    return build_towers(TowerShape(dim=table.dim, trunk="yamnet"), TowerShape(dim=table.dim, widths=(4, 8)))


def test_maps_in_the_middle_of_the_trunk_give_the_vector_of_the_log_mels(ear):
    tower = ear.audio.eval()
    log_mels = torch.randn(2, 200, 64)
    maps = tower.trunk.lower(log_mels)
    assert maps.shape == (2, 3, 512, 3, 2)
    torch.testing.assert_close(tower(maps), tower(log_mels))


def test_views_are_made_once_and_train_the_upper_layers_alone(tmp_path, corpus, table, ear):
    before = {k: v.clone() for k, v in ear.audio.state_dict().items()}
    towers, material, held, about = builtin(corpus, None, table, RECIPE, towers=ear, folder=tmp_path)
    made = (tmp_path / "views.npy").stat().st_mtime_ns
    count = sum(len(group) for group in material.clips.values())
    assert np.load(tmp_path / "views.npy", mmap_mode="r").shape == (count, 4, 2, 512, 3, 2)
    first = held.of(material.anchors)(towers.eval())
    assert 0 <= first["audio_top1"] <= 1
    better = itertools.count()  # the last encoders are the best
    assert Alignment(
        tmp_path, towers, material, RECIPE, lambda _: {"audio_top1": float(next(better))}, about
    ).run()
    moved = {name for name, v in towers.audio.state_dict().items() if not torch.equal(v, before[name])}
    assert moved
    assert all(name.startswith(("head.", "trunk.blocks.12.")) for name in moved), moved
    builtin(corpus, None, table, RECIPE, towers=ear, folder=tmp_path)
    assert (tmp_path / "views.npy").stat().st_mtime_ns == made


def test_a_mixture_is_another_sound_than_its_target(tmp_path, corpus, table, ear):
    _, material, _, _ = builtin(corpus, None, table, RECIPE, towers=ear, folder=tmp_path)
    clip = next(iter(material.clips.values()))[0]
    clean, mixed = material.audio_views.mixtures([clip], [clip], np.random.default_rng(0))
    assert clean.shape == mixed.shape
    assert not torch.equal(clean, mixed)


def test_other_trunks_and_other_clips_are_refused(tmp_path, corpus, table, ear):
    residual = build_towers(
        TowerShape(dim=table.dim, widths=(4, 8)), TowerShape(dim=table.dim, widths=(4, 8))
    )
    with pytest.raises(ValueError, match="YAMNet's trunk"):
        builtin(corpus, None, table, RECIPE, towers=residual, folder=tmp_path)
    np.save(tmp_path / "views.npy", np.zeros((1, 2), np.float16))
    with pytest.raises(ValueError, match="holds 2 views of 1 clips, not 4 of"):
        builtin(corpus, None, table, RECIPE, towers=ear, folder=tmp_path)
