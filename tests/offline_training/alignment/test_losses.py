"""The contrastive losses against values worked out by hand."""

import math

import pytest
import torch

from offline_training.alignment.losses import classes, consistency, hardest, info_nce, triplet

AXES = torch.eye(3)
ONE = torch.tensor(1.0)


def test_info_nce_of_perfect_pairs():
    expected = math.log(math.e + 2) - 1  # logits 1, 0, 0 in every row and column
    assert info_nce(AXES, AXES, torch.tensor([0, 1, 2]), ONE).item() == pytest.approx(expected, abs=1e-6)


def test_rows_of_one_label_are_not_each_others_negatives():
    same = info_nce(AXES, AXES, torch.tensor([0, 0, 1]), ONE)
    rows = [math.log(math.e + 1) - 1, math.log(math.e + 1) - 1, math.log(math.e + 2) - 1]
    assert same.item() == pytest.approx(sum(rows) / 3, abs=1e-6)


def test_info_nce_is_symmetric_and_the_scale_sharpens():
    a, b = (
        torch.nn.functional.normalize(torch.randn(5, 8, generator=torch.Generator().manual_seed(i)), dim=1)
        for i in (1, 2)
    )
    labels = torch.arange(5)
    assert info_nce(a, b, labels, ONE).item() == pytest.approx(info_nce(b, a, labels, ONE).item(), abs=1e-6)
    assert info_nce(a, a, labels, torch.tensor(20.0)) < info_nce(a, a, labels, ONE)


def test_classes_without_smoothing_is_cross_entropy():
    value = classes(AXES[:1], torch.tensor([0]), AXES, torch.tensor(2.0), smoothing=0.0)
    assert value.item() == pytest.approx(math.log(math.exp(2) + 2) - 2, abs=1e-6)


def test_triplet_by_hand():
    anchor, positive, negative = (
        AXES[:1],
        torch.tensor([[0.6, 0.8, 0.0]]),
        torch.tensor([[0.5, 0.0, math.sqrt(0.75)]]),
    )
    assert triplet(anchor, positive, negative, 0.2).item() == pytest.approx(0.1, abs=1e-6)
    assert triplet(anchor, positive, negative, 0.05).item() == 0


def test_the_hardest_negative_is_of_another_label():
    candidates = torch.tensor([[1.0, 0, 0], [0.9, 0.1, 0], [0, 1.0, 0]])
    found = hardest(AXES[:1], candidates, torch.tensor([7]), torch.tensor([7, 8, 9]))
    torch.testing.assert_close(found, candidates[1:2])


def test_consistency():
    assert consistency(AXES, AXES).item() == pytest.approx(0)
    assert consistency(AXES, -AXES).item() == pytest.approx(2)
