"""Expert iteration: the policy imitates the best of a group's actions, where it beats the deployed one."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from offline_training.reinforce.surrogate import over_bins


class Winners(NamedTuple):
    """The best action of every group.

    Attributes:
        action: A mask [Q, T, bands], or decisions [Q, blocks, 2].
        ahead: Whether it earned more than the deployed mask, [Q] bool.
    """

    action: Tensor
    ahead: Tensor


def winners(actions: Tensor, rewards: Tensor, deployed: Tensor) -> Winners:
    """The best of G actions for each of Q queries.

    Args:
        actions: [Q, G, ...].
        rewards: [Q, G]; one that is no number never wins.
        deployed: What the deployed masks earned, [Q].
    """
    earned = torch.where(torch.isfinite(rewards), rewards, torch.full_like(rewards, -torch.inf))
    best, index = earned.max(1)
    return Winners(actions[torch.arange(len(actions), device=actions.device), index], best > deployed)


def imitation(centre: Tensor, found: Winners, counted: Tensor) -> Tensor:
    """Mean squared distance of a policy's centres [Q, ...] from the winners that are ahead, over the parts of
    an action that count [Q, ...]; zero where none is.
    """
    far = over_bins((centre - found.action).square(), counted)
    return (far * found.ahead).sum() / found.ahead.sum().clamp(min=1)
