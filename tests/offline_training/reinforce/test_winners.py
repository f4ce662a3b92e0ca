"""Expert iteration by hand-computed numbers."""

import torch

from offline_training.reinforce.winners import imitation, winners

MASKS = torch.tensor([[[[0.0, 1.0]], [[1.0, 1.0]]], [[[0.5, 0.5]], [[0.2, 0.0]]]])  # [2, 2, 1, 2]


def test_the_best_mask_of_each_group():
    rewards = torch.tensor([[1.0, 2.0], [3.0, float("nan")]])
    found = winners(MASKS, rewards, deployed=torch.tensor([1.5, 3.5]))
    assert torch.equal(found.action, torch.stack([MASKS[0, 1], MASKS[1, 0]]))
    assert found.ahead.tolist() == [True, False]


def test_only_winners_that_are_ahead_are_imitated_and_only_where_bins_count():
    found = winners(MASKS, torch.tensor([[1.0, 2.0], [3.0, 0.0]]), deployed=torch.tensor([1.5, 3.5]))
    proposal = torch.tensor([[[0.5, 0.0]], [[0.0, 0.0]]], requires_grad=True)
    loss = imitation(proposal, found, torch.tensor([[[1.0, 0.0]], [[1.0, 1.0]]]))
    assert loss.item() == 0.25  # (0.5 - 1)^2 of the one bin that counts
    loss.backward()
    assert proposal.grad.tolist() == [[[-1.0, 0.0]], [[0.0, 0.0]]]


def test_nothing_is_imitated_where_no_winner_is_ahead():
    found = winners(MASKS, torch.zeros(2, 2), deployed=torch.ones(2))
    assert imitation(torch.rand(2, 1, 2), found, torch.ones(2, 1, 2)).item() == 0.0
