"""The surrogate by hand-computed numbers."""

import math

import pytest
import torch

from offline_training.reinforce import policy
from offline_training.reinforce.advantage import group_advantages
from offline_training.reinforce.surrogate import (
    SurrogateConfig,
    clipped,
    importance_ratio,
    objective,
    over_bins,
)


def test_ratios_by_hand():
    new, old = (
        torch.log(torch.tensor([[2.0, 8.0], [1.0, 1.0]])),
        torch.log(torch.tensor([[1.0, 2.0], [4.0, 1.0]])),
    )
    torch.testing.assert_close(importance_ratio(new, old, "bin"), torch.tensor([[2.0, 4.0], [0.25, 1.0]]))
    torch.testing.assert_close(importance_ratio(new, old, "mean"), torch.tensor([[math.sqrt(8.0)], [0.5]]))
    counted = torch.tensor([[1.0, 0.0], [0.0, 3.0]])
    torch.testing.assert_close(importance_ratio(new, old, "mean", counted), torch.tensor([[2.0], [1.0]]))
    assert torch.isfinite(importance_ratio(torch.full((1, 4), 500.0), torch.zeros(1, 4), "bin")).all()
    with pytest.raises(ValueError, match="bin or mean"):
        importance_ratio(new, old, "product")


def test_the_ratio_of_a_whole_mask_survives_where_a_product_would_not():
    p = torch.sigmoid(torch.randn(2, 200, 128, generator=torch.Generator().manual_seed(0)) * 3)
    torch.manual_seed(0)
    m = policy.sample(p)
    new, old = policy.log_prob(m, torch.sigmoid(torch.logit(p, 1e-6) + 0.05)), policy.log_prob(m, p)
    assert (new - old).sum((1, 2)).exp().max() < 1e-6
    assert importance_ratio(new, old, "mean").sub(1).abs().max() < 0.01


@pytest.mark.parametrize(
    ("ratio", "advantage", "expected", "moves"),
    [
        (1.5, 1.0, 1.2, False),
        (0.5, 1.0, 0.5, True),
        (1.5, -1.0, -1.5, True),
        (0.5, -1.0, -0.8, False),
        (1.1, 2.0, 2.2, True),
    ],
)
def test_clipping_on_both_sides(ratio, advantage, expected, moves):
    r = torch.tensor([[ratio]], requires_grad=True)
    value = clipped(r, torch.tensor([advantage]), 0.2)
    assert value.item() == pytest.approx(expected)
    value.sum().backward()
    assert r.grad.item() == pytest.approx(advantage if moves else 0.0)


def terms(p, old, mask, advantage, config, counted=None):
    ratio = importance_ratio(policy.log_prob(mask, p), policy.log_prob(mask, old), config.ratio, counted)
    return objective(ratio, advantage, policy.entropy(p), policy.kl(p, old), config, counted)


@pytest.mark.parametrize("kind", ["bin", "mean"])
def test_at_the_old_policy_the_gradient_is_the_score_times_the_advantage(kind):
    torch.manual_seed(0)
    p = torch.rand(3, 4, 5).clamp(0.05, 0.95).requires_grad_()
    mask, advantage = policy.sample(p.detach()), torch.tensor([1.0, -2.0, 0.5])
    config = SurrogateConfig(ratio=kind, entropy=0.0, kl=1.0)  # the KL's gradient vanishes there too
    found = terms(p, p.detach(), mask, advantage, config)
    assert found["ratio_mean"].item() == pytest.approx(1.0)
    (gradient,) = torch.autograd.grad(found["loss"], p)
    q = p.detach().requires_grad_()
    (score,) = torch.autograd.grad(policy.log_prob(mask, q).sum(), q)
    torch.testing.assert_close(gradient, -score * advantage[:, None, None] / p.numel(), atol=1e-6, rtol=1e-4)


def test_equal_rewards_move_nothing():
    torch.manual_seed(0)
    p = torch.rand(4, 6).requires_grad_()
    mask = policy.sample(p.detach())
    advantage = group_advantages(torch.full((1, 4), 0.3)).values.flatten()
    (gradient,) = torch.autograd.grad(
        terms(p, p.detach(), mask, advantage, SurrogateConfig(entropy=0.0))["loss"], p
    )
    assert gradient.abs().max() == 0


def test_bins_that_do_not_count_get_no_gradient():
    torch.manual_seed(0)
    p = torch.rand(2, 6).requires_grad_()
    counted = torch.tensor([[1.0, 0, 1, 0, 1, 0], [0.0, 0, 0, 0, 0, 0]])
    found = terms(
        p, p.detach(), policy.sample(p.detach()), torch.tensor([1.0, 1.0]), SurrogateConfig(), counted
    )
    (gradient,) = torch.autograd.grad(found["loss"], p)
    assert (gradient[counted == 0] == 0).all()
    assert (gradient[0, ::2] != 0).all()
    torch.testing.assert_close(
        over_bins(torch.tensor([[1.0, 5.0]]), torch.tensor([[3.0, 1.0]])), torch.tensor([2.0])
    )


def test_shares_of_clipped_ratios():
    ratio = torch.tensor([[1.5, 0.5, 1.0, 1.3], [1.5, 0.5, 0.7, 1.0]])
    found = objective(
        ratio, torch.tensor([1.0, -1.0]), torch.zeros(2, 4), torch.zeros(2, 4), SurrogateConfig()
    )
    assert found["clip_high"].item() == pytest.approx(2 / 8)
    assert found["clip_low"].item() == pytest.approx(2 / 8)


def test_a_bandit_finds_the_bins_that_are_rewarded():
    """Eight bins; the reward is how well the mask keeps bins 0-3 and drops the rest."""
    torch.manual_seed(0)
    wanted = torch.tensor([1.0] * 4 + [0.0] * 4)
    logits = torch.zeros(8, requires_grad=True)
    optimiser = torch.optim.Adam([logits], lr=0.05)
    config = SurrogateConfig(entropy=0.001)
    for _ in range(150):
        old = torch.sigmoid(logits.detach()).expand(16, 8)
        mask = policy.sample(old)
        advantage = group_advantages(-(mask - wanted).abs().mean(1)[None]).values[0]
        for _ in range(2):
            loss = terms(torch.sigmoid(logits).expand(16, 8), old, mask, advantage, config)["loss"]
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    assert (torch.sigmoid(logits[:4]) > 0.8).all()
    assert (torch.sigmoid(logits[4:]) < 0.2).all()
