"""The Gaussian policy over decisions by hand-computed numbers."""

import math

import pytest
import torch

from offline_training.reinforce import decisions
from offline_training.reinforce.surrogate import importance_ratio

DEVIATIONS = (0.5, 2.0)
CENTRE = torch.tensor([[[0.0, 1.0]]])  # one query, one block: sharpness, shift
DRAWN = torch.tensor([[[0.5, -1.0]]])  # one deviation from it, up and down


def test_log_probability_by_hand():
    peak = [-math.log(0.5 * math.sqrt(2 * math.pi)), -math.log(2.0 * math.sqrt(2 * math.pi))]
    torch.testing.assert_close(decisions.log_prob(CENTRE, CENTRE, DEVIATIONS), torch.tensor([[peak]]))
    expected = torch.tensor([[[peak[0] - 0.5, peak[1] - 0.5]]])
    torch.testing.assert_close(decisions.log_prob(DRAWN, CENTRE, DEVIATIONS), expected)
    assert decisions.log_prob(DRAWN, CENTRE, DEVIATIONS)[0, 0, 0].item() == pytest.approx(-0.72579, abs=1e-5)


def test_ratio_by_hand():
    """A policy that moved onto the draw in sharpness and stayed in shift."""
    moved = torch.tensor([[[0.5, 1.0]]])
    new, old = (decisions.log_prob(DRAWN, centre, DEVIATIONS) for centre in (moved, CENTRE))
    torch.testing.assert_close(importance_ratio(new, old, "bin"), torch.tensor([[[math.exp(0.5), 1.0]]]))
    torch.testing.assert_close(importance_ratio(new, old, "mean"), torch.tensor([[math.exp(0.25)]]))


def test_kl_and_entropy_by_hand():
    moved = torch.tensor([[[1.0, 4.0]]])  # two deviations, and one and a half
    torch.testing.assert_close(
        decisions.kl(moved, CENTRE, DEVIATIONS), torch.tensor([[[2.0, 1.125]]])
    )  # half of the square
    found = decisions.entropy(CENTRE, DEVIATIONS)
    assert found[0, 0].tolist() == pytest.approx([0.72579, 2.11209], abs=1e-5)
    assert torch.equal(found, decisions.entropy(moved, DEVIATIONS))


def test_the_score_is_the_closed_form():
    centre = CENTRE.clone().requires_grad_()
    (score,) = torch.autograd.grad(decisions.log_prob(DRAWN, centre, DEVIATIONS).sum(), centre)
    torch.testing.assert_close(score, torch.tensor([[[2.0, -0.5]]]))  # (drawn - centre) / variance


def test_samples_have_the_centre_and_the_deviations():
    torch.manual_seed(0)
    drawn = decisions.sample(CENTRE.expand(40_000, 1, 2).clone().requires_grad_(), DEVIATIONS)
    assert not drawn.requires_grad
    assert drawn.mean((0, 1)).tolist() == pytest.approx([0.0, 1.0], abs=0.04)
    assert drawn.std((0, 1)).tolist() == pytest.approx(DEVIATIONS, rel=0.02)


def test_blocks_of_frames():
    values = torch.tensor([[[1.0, 0.0], [3.0, 0.0], [5.0, 8.0]]])  # two frames and a shorter last block
    means = decisions.block_means(values, 2)
    assert means.tolist() == [[[2.0, 0.0], [5.0, 8.0]]]
    assert decisions.of_frames(means, 2, 3).tolist() == [[[2.0, 0.0], [2.0, 0.0], [5.0, 8.0]]]
    audible = torch.tensor([[[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]]])
    assert decisions.weights(audible, 2).tolist() == [[[0.5, 0.5], [0.5, 0.5]]]
    assert decisions.weights(torch.ones(1, 3, 2), 2).tolist() == [[[1.0, 1.0], [0.5, 0.5]]]


def test_a_draw_moves_all_frames_of_its_block_alike_and_its_centre_is_the_deployed_mask():
    raw, decided = torch.tensor([[[1.0, -2.0], [3.0, 0.5]]]), torch.tensor([[[0.1, 0.2], [0.3, -0.4]]])
    deployed = torch.exp(decided[..., :1]) * raw + decided[..., 1:]
    assert torch.equal(decisions.acted(raw, decided, torch.zeros(1, 1, 2), 2), deployed)
    doubled = decisions.acted(raw, decided, torch.tensor([[[math.log(2.0), 1.0]]]), 2)
    torch.testing.assert_close(doubled, 2 * (deployed - decided[..., 1:]) + decided[..., 1:] + 1.0)
