"""The space of sound: its projection tells classes apart, words lie where their recordings are, and a
separator moves into it.
"""

import numpy as np
import pytest
import torch

from offline_training.data.query_table import Examples, QueryTable
from offline_training.encoders import sound_space
from offline_training.encoders.audio_image import SoundHead
from offline_training.encoders.sound_space import (
    SpaceConfig,
    class_places,
    fit,
    mean_of_recordings,
    place_words,
    recording_weights,
)
from offline_training.training.rebase import rebase, ridge
from offline_training.utils.checkpoint_io import CheckpointError
from offline_training.utils.vectors import unit


def test_recordings_of_a_label_count_alike_and_labels_by_their_root():
    weights = recording_weights(["a", "a", "a", "b"], ["1", "1", "2", "3"])
    np.testing.assert_allclose(weights.sum(), 1)
    assert weights[0] + weights[1] == pytest.approx(
        weights[2]
    )  # two clips of one recording weigh as one of another
    assert weights[:3].sum() / weights[3] == pytest.approx(2**0.5)


def embeddings(rng, labels, per_label, noise):
    """Trunk embeddings in which the first axes tell labels apart and the loudest axes say nothing of them."""
    centres = rng.normal(size=(labels, 40)) * 0.3
    rows = np.repeat(centres, per_label, axis=0) + rng.normal(size=(labels * per_label, 40)) * 0.1
    nuisance = rng.normal(size=(labels * per_label, 24)) * noise
    return np.expm1(np.abs(np.concatenate([rows + 2, nuisance + 4], axis=1))).astype(np.float32)


def test_the_projection_takes_out_what_labels_do_not_share():
    rng = np.random.default_rng(0)
    features = embeddings(rng, 12, 30, noise=1.5)
    labels = [f"l{i // 30}" for i in range(360)]
    groups = [f"g{i}" for i in range(360)]
    fitted = fit(features[::2], labels[::2], groups[::2], SpaceConfig(dim=16, shrinkage=0.1))
    head = SoundHead(64, 16, 0.0).eval()
    head.load_state_dict({**head.state_dict(), **fitted})
    with torch.no_grad():
        vectors = head(torch.from_numpy(features)[:, None]).numpy()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    means = np.stack([unit(vectors[::2][15 * i : 15 * i + 15].mean(0)) for i in range(12)])
    plain = unit(np.log1p(features) - np.log1p(features).mean(0))
    plain_means = np.stack([unit(plain[::2][15 * i : 15 * i + 15].mean(0)) for i in range(12)])
    wanted = np.arange(360)[1::2] // 30
    assert ((vectors[1::2] @ means.T).argmax(1) == wanted).mean() > 0.95
    assert ((plain[1::2] @ plain_means.T).argmax(1) == wanted).mean() < 0.9
    again = fit(features[::2], labels[::2], groups[::2], SpaceConfig(dim=16, shrinkage=0.1))
    assert all(torch.equal(fitted[k], again[k]) for k in fitted)


def test_a_mean_counts_recordings_not_clips():
    vectors = np.array([[1, 0], [1, 0], [1, 0], [0, 1]], np.float32)
    np.testing.assert_allclose(
        mean_of_recordings(vectors, ["a", "a", "a", "b"]), [2**-0.5, 2**-0.5], rtol=1e-6
    )


def test_a_class_lies_where_it_scores_highest_one_window_a_recording():
    vectors = np.eye(4, dtype=np.float32)
    logits = np.array([[9.0, 0], [8.0, 0], [0, 5.0], [0, 0]], np.float32)
    places = class_places(vectors, logits, ["a", "a", "b", "c"], count=1)
    np.testing.assert_allclose(
        places, vectors[[0, 2]], atol=1e-6
    )  # the second window of recording a does not count again


def test_words_of_labels_families_and_classes(monkeypatch):
    monkeypatch.setattr(
        sound_space,
        "read_families",
        lambda labels: {"pet": (("pets",), tuple(x for x in ("cat", "dog") if x in labels))},
    )
    monkeypatch.setattr(
        sound_space,
        "read_classes",
        lambda known: {
            "Dog": [n for n in ("dog",) if n in known],
            "Howl": [n for n in ("wolf",) if n in known],
        },
    )
    vectors = np.eye(4, dtype=np.float32)
    of_classes = {"Dog": vectors[0], "Howl": vectors[2], "Owl": vectors[3]}
    table = place_words(
        vectors[:3], ["dog", "cat", "wolf"], ["1", "2", "3"], of_classes, unseen=["wolf", "yeti"]
    )
    np.testing.assert_allclose(table.label_vector("dog"), vectors[0])
    np.testing.assert_allclose(table.label_vector("wolf"), vectors[2])  # by its class, not by its recordings
    assert "yeti" not in table.index
    assert table.families == {"pet": ("cat", "dog")}
    np.testing.assert_allclose(table.family_vectors["pet"][0], unit(vectors[0] + vectors[1]))
    assert list(table.classes) == ["Owl"]


def test_the_shipped_lists_name_labels_that_exist():
    from offline_training.data.lexicon import read_lexicon, read_lines
    from offline_training.utils.recipe_files import LEXICON

    labels = {e.label for e in read_lexicon()}
    families = dict(read_lines(LEXICON / "families.txt"))
    for name, rest in families.items():
        members = [m.strip() for m in rest.partition(" / ")[2].split(",")]
        assert set(members) <= labels, name
        assert len(set(members)) == len(members) > 1, name
    names = sound_space.read_class_names()
    assert len(names) == 521
    same = sound_space.read_classes(labels | families.keys())
    assert same.keys() <= set(names)
    assert all(same.values())
    for word, rest in read_lines(LEXICON / "words.txt"):
        assert {x.strip() for x in rest.split(",")} <= labels, word
    assert len(list(read_lines(LEXICON / "words.txt"))) >= 60


def test_a_table_with_families_and_classes_comes_back(tmp_path):
    vectors = np.eye(3, dtype=np.float32)
    table = QueryTable(
        {"a": ["a"], "b": ["b"]},
        {"a": vectors[:1], "b": vectors[1:2]},
        "space",
        None,
        None,
        {"f": ("a", "b")},
        {"f": vectors[:2]},
        {"c": vectors[2]},
    )
    table.save(tmp_path / "t.npz")
    again = QueryTable.load(tmp_path / "t.npz")
    assert again.families == table.families
    np.testing.assert_array_equal(again.family_vectors["f"], table.family_vectors["f"])
    np.testing.assert_array_equal(again.classes["c"], vectors[2])


def test_ridge_finds_an_affine_map():
    rng = np.random.default_rng(0)
    x, weight, bias = rng.normal(size=(200, 5)), rng.normal(size=(3, 5)), rng.normal(size=3)
    found, offset = ridge(x, x @ weight.T + bias, np.ones(200), strength=1e-9)
    np.testing.assert_allclose(found, weight, atol=1e-6)
    np.testing.assert_allclose(offset, bias, atol=1e-6)


def test_a_rebased_query_layer_says_of_new_vectors_what_it_said_of_old_ones():
    rng = np.random.default_rng(1)
    labels = [f"l{i}" for i in range(6)]
    old = {label: unit(rng.normal(size=8)).astype(np.float32) for label in labels}
    places = {label: unit(rng.normal(size=(1, 12))).astype(np.float32) for label in labels}
    audio = {"l0": Examples(np.repeat(places["l0"], 3, axis=0), ("train",) * 3, ("a", "b", "c"))}
    table = QueryTable({label: [label] for label in labels}, places, "new", audio)
    layer = torch.nn.Linear(8, 5)
    weights = {
        "unet.query.0.weight": layer.weight.detach(),
        "unet.query.0.bias": layer.bias.detach(),
        "x": torch.ones(2),
    }
    content = {
        "separator": {"network": "streaming", "unet": {"query_dim": 8}},
        "encoder": "old",
        "weights": weights,
    }
    made = rebase(content, old, table)
    assert made["encoder"] == "new"
    assert made["separator"]["unet"]["query_dim"] == 12
    assert torch.equal(made["weights"]["x"], torch.ones(2))
    for label in labels:
        with torch.no_grad():
            said = layer(torch.from_numpy(old[label] * 8**0.5)).numpy()
        says = made["weights"]["unet.query.0.weight"].float().numpy() @ (places[label][0] * 12**0.5)
        np.testing.assert_allclose(
            says + made["weights"]["unet.query.0.bias"].float().numpy(), said, atol=0.15
        )
    with pytest.raises(CheckpointError, match="less than two"):
        rebase(content, {"l0": old["l0"]}, table)
