"""The reward's anchor: by hand, fitted on recordings that mean something, kept apart by encoder."""

import numpy as np
import pytest
import torch

from offline_training.data.query_table import ROUGH, Examples, QueryTable
from offline_training.reinforce import anchor
from offline_training.reinforce.anchor import Mlbp, mean_anchor
from offline_training.utils.checkpoint_io import CheckpointError
from offline_training.utils.vectors import unit


def test_by_hand():
    model = Mlbp(2, 2)
    with torch.no_grad():
        for layer in model.into.values():
            layer.weight.copy_(torch.eye(2))
            layer.bias.zero_()
        model.out.weight.copy_(torch.eye(2))
        model.out.bias.zero_()
    a, t = torch.tensor([[0.6, 0.8]]), torch.tensor([[1.0, 0.5]])
    product = torch.tanh(a) * torch.tanh(t)
    torch.testing.assert_close(model({"audio": a, "text": t}), product / product.norm())
    alone = torch.tanh(a)
    missing = {"audio": torch.tensor([True]), "text": torch.tensor([False])}
    torch.testing.assert_close(model({"audio": a, "text": t}, missing), alone / alone.norm())
    torch.testing.assert_close(model({"audio": a}), alone / alone.norm())
    with pytest.raises(ValueError, match="at least one"):
        model({})


def test_the_mean_by_hand():
    parts = {"audio": torch.tensor([[1.0, 0.0], [0.0, 1.0]]), "text": torch.tensor([[0.0, 1.0], [1.0, 0.0]])}
    present = {"audio": torch.tensor([True, True]), "text": torch.tensor([True, False])}
    torch.testing.assert_close(mean_anchor(parts, present), torch.tensor([[0.5**0.5, 0.5**0.5], [0.0, 1.0]]))


@pytest.fixture(scope="module")
def full():
    """Twelve labels whose recordings lie around a direction that is not that of their words: the anchor has
    something to learn.
    """
    rng = np.random.default_rng(0)
    words, sounds = (np.linalg.qr(rng.standard_normal((16, 16)))[0][:12].astype(np.float32) for _ in range(2))
    labels = [f"label {i}" for i in range(12)]

    def near(v, spread, n):
        return np.stack([unit(v + spread * rng.standard_normal(16).astype(np.float32)) for _ in range(n)])

    audio, image = {}, {}
    for i, label in enumerate(labels):
        vectors = np.concatenate(
            [near(0.5 * words[i] + sounds[i], 0.1, 4), near(0.5 * words[i] + sounds[i], 0.15, 8)]
        )
        splits = ("train",) * 3 + ("val",) + (ROUGH,) * 8
        audio[label] = Examples(vectors, splits, ("a", "b", "c", "d", *"aaabbbcc"))
        if i % 2:
            image[label] = Examples(near(words[i], 0.2, 3), ("train",) * 3, tuple("xyz"))
    return QueryTable(
        {label: [label] for label in labels},
        {k: words[i : i + 1] for i, k in enumerate(labels)},
        "e",
        audio,
        image,
    )


def test_fitting_learns_where_recordings_lie_and_freezes(full, tmp_path):
    before = Mlbp(16, 32)
    start = anchor.quality(before, full, list(full.audio))
    model, figures = anchor.fit(full, rank=32, steps=300, batch=12)
    assert figures["top1"] >= 0.9 > start["top1"]
    assert not any(p.requires_grad for p in model.parameters())
    anchor.save(model, tmp_path / "anchor.pt", "e", figures)
    again = anchor.load(tmp_path / "anchor.pt", "e")
    x = {"text": torch.eye(16)}
    torch.testing.assert_close(again(x), model(x))
    with pytest.raises(CheckpointError, match="the encoder e, not for f"):
        anchor.load(tmp_path / "anchor.pt", "f")
    torch.save({"kind": "encoders"}, tmp_path / "no.pt")
    with pytest.raises(CheckpointError, match="not a fitted anchor"):
        anchor.load(tmp_path / "no.pt", "e")


def test_drawn_examples_leave_modalities_out_but_never_all(full):
    rng = np.random.default_rng(0)
    seen = np.zeros(3)
    for _ in range(40):
        views, parts, present = anchor.draw(full, list(full.audio), rng)
        rows = np.stack([present[k].numpy() for k in anchor.MODALITIES])
        assert rows.any(0).all()
        assert not rows[2, ::2].any()  # no images of every other label
        seen += rows.mean(1) / 40
        assert views.shape == parts["image"].shape == (12, 16)
    np.testing.assert_allclose(seen, [0.75, 0.76, 0.375], atol=0.08)


def test_a_table_without_recordings_is_refused(table):
    with pytest.raises(ValueError, match="embed --corpus"):
        anchor.fit(table)
