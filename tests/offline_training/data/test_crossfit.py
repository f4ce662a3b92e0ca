"""Cross-fitting: what a fold leaves out, and the vectors that only such encoders give."""

import json

import numpy as np
import pytest
import torch

from coloured import Coloured
from marssep_rt.errors import UsageError
from offline_training.alignment.config import AlignmentConfig
from offline_training.alignment.data import builtin, query_table
from offline_training.cli.aligning import read_fold
from offline_training.cli.encoders import crossed_encoders
from offline_training.data.crossfit import left_out
from offline_training.data.mixtures import MixtureConfig, MixtureDataset
from offline_training.data.query_table import ROUGH, QueryTable
from offline_training.data.training_data import TrainingData
from offline_training.encoders.builtin import left_out_of
from offline_training.utils.recipe import RecipeError, read

ITEMS = [
    ("dog", "d1", "1"),
    ("dog", "d1", "2"),
    ("dog", "d2", "3"),
    ("dog", "d3", "4"),
    ("cat", "c1", "5"),
    ("hen", "h1", "6"),
    ("hen", "h2", "7"),
]


def small(**more):
    """A recipe of small encoders."""
    encoders = {k: {"widths": [4, 8, 8]} for k in ("audio", "image")}
    return read(AlignmentConfig, {"stages": [], "encoders": encoders, "views": {"frames": 80}, **more})


def test_every_group_is_left_out_once_and_a_lone_one_never():
    folds = [left_out(ITEMS, i, 3) for i in range(3)]
    assert folds == [{"1", "2", "6"}, {"3", "7"}, {"4"}]


@pytest.mark.parametrize(("fold", "folds"), [(3, 3), (-1, 3), (0, 1)])
def test_folds_that_are_none(fold, folds):
    with pytest.raises(ValueError, match="fold"):
        left_out(ITEMS, fold, folds)


def test_a_fold_never_trains_on_what_its_description_lists(corpus, table, tmp_path):
    encoders, material, _, plain = builtin(TrainingData(corpus, table), small(fold=[0, 2]))
    out = set(plain["left_out"])
    train = {c.path for c in corpus.clips if c.split == "train"}
    used = {corpus.clips[i].path for group in material.clips.values() for i in group}
    assert out | used == train
    assert not out & used
    assert not {corpus.clips[i].path for i in material.audio_views.others} & out
    assert plain["splits"] == ["train"]
    content = {"kind": "encoders", "describe": json.dumps(plain), "weights": encoders.state_dict()}
    torch.save(content, tmp_path / "fold.pt")
    assert set(left_out_of(tmp_path / "fold.pt")) == out
    torch.save({**content, "describe": json.dumps({**plain, "left_out": []})}, tmp_path / "all.pt")
    with pytest.raises(UsageError, match="trained on everything"):
        crossed_encoders([tmp_path / "all.pt"], None)


def test_the_last_lap_trains_on_val_too_but_never_on_test(corpus, table):
    recipe = small(splits=["train", "val"])
    _, material, _, plain = builtin(TrainingData(corpus, table), recipe)
    assert {corpus.clips[i].split for group in material.clips.values() for i in group} == {"train", "val"}
    assert plain["splits"] == ["train", "val"]
    with pytest.raises(
        RecipeError, match=r'splits in the recipe is \["train", "test"\]; .*one of train, val'
    ):
        small(splits=["train", "test"])


@pytest.mark.slow
def test_an_encoder_may_begin_anew_beside_one_that_is_kept(corpus, table):
    first = builtin(TrainingData(corpus, table), small(seed=1))[0]
    kept = {k: v.clone() for k, v in first.state_dict().items()}
    again = builtin(TrainingData(corpus, table), small(seed=2, fresh=["audio"]), encoders=first)[
        0
    ].state_dict()
    same = {k for k, v in again.items() if torch.equal(v, kept[k])}
    assert {k for k in kept if k.startswith("image.")} <= same
    kernels = {k for k, v in kept.items() if k.startswith("audio.") and v.dim() > 1 and v.any()}
    assert kernels
    assert not kernels & same
    with pytest.raises(RecipeError, match=r'fresh in the recipe is \["nose"\]; .*one of audio, image'):
        small(fresh=["nose"])


class Backwards(Coloured):
    """Another encoder: the same vectors turned round."""

    def embed_audio(self, sounds):
        return super().embed_audio(sounds)[:, ::-1].copy()


def test_training_asks_with_vectors_of_the_encoder_that_never_met_the_clip(corpus):
    clip = next(c for c in corpus.clips if c.label == "siren" and c.split == "train")
    phrases = {"siren": ["siren"], "rain": ["rain"]}
    made = query_table(Coloured(), phrases, corpus, None, augmented=1, crossed={clip.path: Backwards()})
    siren = made.audio["siren"]
    own = [i for i, g in enumerate(siren.groups) if g == clip.group]
    assert [siren.splits[i] for i in own] == ["train", ROUGH, ROUGH]
    np.testing.assert_allclose(siren.vectors[own[1]], siren.vectors[own[0]][::-1], atol=1e-6)
    data = MixtureDataset(
        corpus,
        only(made, clip.group),
        MixtureConfig(seconds=0.5, query_noise_cosine=1.0, query_kinds=(0, 1, 0, 0)),
        1,
        0,
    )
    asked = [data.query("siren", "another", [], np.random.default_rng(i)) for i in range(40)]
    nearest = {int(np.argmax(siren.vectors[own] @ q)) for q in asked}
    assert nearest == {0, 1, 2}
    # what is measured is what users' files give
    heard = np.stack(
        [made.known.snap_to_labels([("audio", v)])[0][0] for v in siren.vectors[siren.of("train")]]
    )
    assert all((heard @ made.held_out_query("siren", "audio", "val", i)).max() > 1 - 1e-5 for i in range(60))


def only(table, group):
    """The table with the recordings of one group of sirens alone."""
    siren = table.audio["siren"]
    rows = [i for i, g in enumerate(siren.groups) if g == group]
    kept = type(siren)(
        siren.vectors[rows], tuple(siren.splits[i] for i in rows), tuple(siren.groups[i] for i in rows)
    )
    return QueryTable(table.phrases, table.vectors, table.encoder, {**table.audio, "siren": kept}, {})


@pytest.mark.parametrize("plain", ["3", "0/3", "4/3", "1/1", "a/b", "-1/3"])
def test_folds_are_written_as_a_part_of_a_number(plain):
    assert read_fold("1/3") == (0, 3)
    with pytest.raises(UsageError, match="such as 1/3"):
        read_fold(plain)
