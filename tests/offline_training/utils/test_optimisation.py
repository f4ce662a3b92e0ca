"""Schedules, averaged weights and steps of the optimiser, by hand."""

import pytest
import torch
from torch import nn

from offline_training.utils.optimisation import descend, follow, parameter_groups, set_rate, young
from offline_training.utils.schedules import half_cosine, rise, trapezoid


def test_a_rise_learns_from_its_first_step_on():
    assert [rise(step, 4) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert rise(0, 0) == 1.0


def test_a_trapezoid():
    factors = [trapezoid(step, 10, 2, 4) for step in range(11)]
    assert factors == [0.5, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0]
    assert trapezoid(3, 10, 0, 0) == 1.0
    assert trapezoid(5, 10, 100, 100) == pytest.approx(6 / 100 * 5 / 100)  # both at once
    assert trapezoid(12, 10, 2, 4) == 0.0  # a finished run that is prolonged by nothing


def test_half_a_cosine():
    factors = [half_cosine(step, 4, 1) for step in range(5)]
    assert factors == pytest.approx([1.0, (1 + 2**-0.5) / 2, 0.5, (1 - 2**-0.5) / 2, 0.0])
    assert half_cosine(0, 4, 10) == pytest.approx(0.1)


def test_young_averages_follow_faster():
    assert young(0.999, 1) == pytest.approx(2 / 11)
    assert young(0.999, 90) == pytest.approx(91 / 100)
    assert young(0.5, 90) == 0.5


def test_an_average_follows_weights_statistics_and_counts():
    average, model = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    with torch.no_grad():
        average.weight.copy_(torch.tensor([1.0, 2.0]))
        model.weight.copy_(torch.tensor([3.0, 4.0]))
        model.running_mean.copy_(torch.tensor([8.0, 0.0]))
        model.num_batches_tracked.fill_(7)
    follow(average, model, 0.75)
    torch.testing.assert_close(average.weight.detach(), torch.tensor([1.5, 2.5]))
    torch.testing.assert_close(average.running_mean, torch.tensor([2.0, 0.0]))
    assert average.num_batches_tracked == 7


def weight(*values):
    return nn.Parameter(torch.tensor(values))


def test_a_step_is_clipped_by_its_norm():
    p = weight(0.0, 0.0)
    optimiser = torch.optim.SGD([p], lr=1.0)
    norm, finite = descend(optimiser, (p * torch.tensor([3.0, 4.0])).sum(), [p], clip=1.0)
    assert (norm, finite) == (pytest.approx(5.0), True)
    torch.testing.assert_close(p.detach(), torch.tensor([-0.6, -0.8]), atol=1e-5, rtol=0)
    set_rate(optimiser, 0.5)
    descend(optimiser, (p * torch.tensor([0.6, 0.8])).sum(), [p], clip=2.0)  # the former gradient is gone
    torch.testing.assert_close(p.detach(), torch.tensor([-0.9, -1.2]), atol=1e-5, rtol=0)


def test_a_gradient_that_is_no_number_moves_nothing():
    p = weight(1.0)
    norm, finite = descend(torch.optim.SGD([p], lr=1.0), (p * float("inf")).sum(), [p])
    assert not finite
    assert norm == float("inf")
    assert p.item() == 1.0


def test_only_matrices_decay():
    decayed, free = parameter_groups(nn.Linear(2, 3).parameters(), 0.1)
    assert [tuple(p.shape) for p in decayed["params"]] == [(3, 2)]
    assert decayed["weight_decay"] == 0.1
    assert [tuple(p.shape) for p in free["params"]] == [(3,)]
    assert free["weight_decay"] == 0.0
