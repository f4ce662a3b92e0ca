"""Expert iteration: the policy imitates the best of a group's masks, where it beats the deployed one."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from offline_training.reinforce.surrogate import over_bins


class Winners(NamedTuple):
    """The best mask of every group.

    Attributes:
        mask: [Q, T, bands].
        ahead: Whether it earned more than the deployed mask, [Q] bool.
    """

    mask: Tensor
    ahead: Tensor


def winners(masks: Tensor, rewards: Tensor, deployed: Tensor) -> Winners:
    """The best of G masks for each of Q queries.

    Args:
        masks: [Q, G, T, bands].
        rewards: [Q, G]; one that is no number never wins.
        deployed: What the deployed masks earned, [Q].
    """
    earned = torch.where(torch.isfinite(rewards), rewards, torch.full_like(rewards, -torch.inf))
    best, index = earned.max(1)
    return Winners(masks[torch.arange(len(masks), device=masks.device), index], best > deployed)


def imitation(proposal: Tensor, found: Winners, counted: Tensor) -> Tensor:
    """Mean squared distance of proposals [Q, T, bands] from the winners that are ahead, over the bins that
    count [Q, T, bands]; zero where none is.
    """
    far = over_bins((proposal - found.mask).square(), counted)
    return (far * found.ahead).sum() / found.ahead.sum().clamp(min=1)
