"""Advantages by hand-computed numbers."""

import math

import pytest
import torch

from offline_training.reinforce.advantage import (
    AdvantageConfig,
    advantages_of_terms,
    group_advantages,
    moving_baseline,
)


def test_advantages_by_hand():
    found = group_advantages(torch.tensor([[1.0, 2.0, 3.0, 2.0], [5.0, 5.0, 5.0, 5.0]]))
    s = math.sqrt(0.5)
    torch.testing.assert_close(
        found.values, torch.tensor([[-1 / s, 0.0, 1 / s, 0.0], [0.0] * 4]), atol=1e-5, rtol=1e-5
    )
    assert (found.flat_groups, found.non_finite) == (1, 0)


def test_rewards_that_are_no_numbers_are_contained():
    nan, inf = float("nan"), float("inf")
    found = group_advantages(torch.tensor([[1.0, nan, 3.0], [nan, inf, -inf], [0.0, 1.0, 2.0]]))
    torch.testing.assert_close(
        found.values[:2], torch.tensor([[-1.0, 0.0, 1.0], [0.0, 0.0, 0.0]]), atol=1e-5, rtol=1e-5
    )
    torch.testing.assert_close(found.values[2], group_advantages(torch.tensor([[0.0, 1.0, 2.0]])).values[0])
    assert (found.flat_groups, found.non_finite) == (1, 4)


def test_one_mask_a_mixture_falls_back_to_the_batch():
    found = group_advantages(torch.tensor([[1.0], [2.0], [3.0]]), baseline=7.0)
    torch.testing.assert_close(
        found.values, torch.tensor([[-1.0], [0.0], [1.0]]) * math.sqrt(1.5), atol=1e-5, rtol=1e-5
    )


def test_moving_baseline():
    assert moving_baseline(None, torch.tensor([1.0, 3.0])) == 2.0
    assert moving_baseline(2.0, torch.tensor([3.0, float("nan")])) == pytest.approx(0.92 * 2 + 0.08 * 3)
    assert moving_baseline(2.0, torch.tensor([float("nan")])) == 2.0


def values(rewards, deployed=None, **config):
    deployed = None if deployed is None else torch.tensor(deployed)
    return group_advantages(torch.tensor(rewards), None, AdvantageConfig(**config), deployed).values


def test_against_the_deployed_mask():
    """The deviation is the group's, the centre what is deployed: a group that is worse altogether is pushed
    away from altogether.
    """
    found = values([[1.0, 3.0], [1.0, 3.0]], deployed=[2.0, 4.0], against="deployed")
    torch.testing.assert_close(found, torch.tensor([[-1.0, 1.0], [-3.0, -1.0]]), atol=1e-5, rtol=1e-5)


def test_a_group_whose_deployed_mask_earned_no_number_has_no_advantage():
    found = values([[1.0, 3.0], [1.0, 3.0]], deployed=[float("nan"), 2.0], against="deployed")
    torch.testing.assert_close(found, torch.tensor([[0.0, 0.0], [-1.0, 1.0]]), atol=1e-5, rtol=1e-5)


def test_a_floor_under_the_deviation():
    found = values([[0.0, 0.2], [0.0, 2.0]], floor=0.5)  # deviations 0.1 and 1
    torch.testing.assert_close(found, torch.tensor([[-0.2, 0.2], [-1.0, 1.0]]), atol=1e-5, rtol=1e-5)


def test_groups_that_agree_are_left_out():
    rewards = torch.tensor([[0.0, 0.2], [0.0, 2.0]])
    found = group_advantages(rewards, None, AdvantageConfig(least_spread=0.5))
    torch.testing.assert_close(found.values, torch.tensor([[0.0, 0.0], [-1.0, 1.0]]), atol=1e-5, rtol=1e-5)
    assert found.flat_groups == 1


def test_advantages_are_held():
    found = values([[0.0, 0.0, 0.0, 0.0, 9.0]], most=1.5)  # 9 is two deviations above the mean
    torch.testing.assert_close(found, torch.tensor([[-0.5] * 4 + [1.5]]), atol=1e-5, rtol=1e-5)


def test_terms_are_standardised_one_by_one():
    """A term that varies a hundred times more counts no more than its weight says."""
    loud, soft = torch.tensor([[0.0, 200.0], [5.0, 5.0]]), torch.tensor([[2.0, 0.0], [7.0, 7.0]])
    found = advantages_of_terms(
        {"loud": loud, "soft": soft}, {"loud": 1.0, "soft": 3.0}, AdvantageConfig(), {}
    )
    torch.testing.assert_close(found.values, torch.tensor([[2.0, -2.0], [0.0, 0.0]]), atol=1e-5, rtol=1e-5)
    assert found.flat_groups == 1


def test_terms_against_the_deployed_mask():
    found = advantages_of_terms(
        {"a": torch.tensor([[1.0, 3.0]]), "b": torch.tensor([[0.0, 4.0]])},
        {"a": 1.0, "b": 0.5},
        AdvantageConfig(against="deployed"),
        {"a": torch.tensor([1.0]), "b": torch.tensor([4.0])},
    )
    # a: (0, 2) / 1; b: (-4, 0) / 2, by half
    torch.testing.assert_close(found.values, torch.tensor([[-1.0, 2.0]]), atol=1e-5, rtol=1e-5)
