"""The policy over decisions, by hand-computed numbers and on a bandit whose best answer is known."""

import numpy as np
import torch

from offline_training.reinforce.choices import ChoiceConfig, expected_objective, reinforced


def test_the_objective_is_the_expected_advantage_and_the_entropy():
    logits = torch.tensor([[0.0, float(np.log(3.0))]])  # probabilities 1/4 and 3/4
    advantages = torch.tensor([[0.0, 2.0]])
    entropy = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))
    expected = 0.75 * 2.0 + 0.1 * entropy
    assert abs(float(expected_objective(logits, advantages, 0.1)) - expected) < 1e-6


def test_the_gradient_is_that_of_the_policy_gradient_theorem():
    logits = torch.tensor([[0.2, -0.4, 0.1]], requires_grad=True)
    advantages = torch.tensor([[0.0, 1.0, -2.0]])
    expected_objective(logits, advantages, 0.0).backward()
    p = logits.detach().softmax(1)
    # of a softmax: p (A - E[A])
    torch.testing.assert_close(logits.grad, p * (advantages - (p * advantages).sum()))


def bandit(count=200):
    """The second choice gains 1 dB where the first feature is above 5, else it loses 1 dB; the third never
    does anything.
    """
    rng = np.random.default_rng(0)
    features = np.c_[rng.uniform(0, 10, count), rng.normal(0, 1, count)]
    good = np.where(features[:, 0] > 5, 1.0, -1.0)
    base = rng.normal(5, 3, count)
    return features, np.c_[base, base + good, base], good


def test_a_policy_learns_when_to_choose():
    features, rewards, good = bandit()
    weights = reinforced(features, rewards, ChoiceConfig(steps=200, lr=0.05))
    assert weights.shape == (3, 3)
    chosen = (np.c_[np.ones(len(features)), features] @ weights.T).argmax(1)
    assert ((chosen == 1) == (good > 0)).mean() > 0.95


def test_one_outlier_does_not_decide():
    features, rewards, good = bandit()
    rewards[np.argmin(features[:, 0]), 1] += 1e6
    config = ChoiceConfig(steps=200, lr=0.05)
    weights = reinforced(features, rewards, config)
    chosen = (np.c_[np.ones(len(features)), features] @ weights.T).argmax(1)
    assert ((chosen == 1) == (good > 0)).mean() > 0.9
