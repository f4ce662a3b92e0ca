"""How much better a sampled mask is than what it is compared with; pure functions on rewards.

Rewards are [M, G]: G masks for each of M mixtures. The paper standardises them within a group (MARS-Sep
section 4, GRPO). The other ways are options: the deployed mask as what samples are compared with
(SlidingWindowGRPO), a floor under the deviation, groups that agree left out, and several rewards standardised
one by one (FlowSE-GRPO).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor

from offline_training.utils.recipe import Key

TINY = 1e-6  # a deviation below has no direction


@dataclass(frozen=True)
class AdvantageConfig:
    """What rewards are compared with, and which groups count. The paper's are the defaults."""

    against: Annotated[
        Literal["group", "deployed"],
        Key("What a mask is compared with: the group's mean, or the mask that is deployed."),
    ] = "group"
    each: Annotated[
        bool, Key("Every term of the reward is standardised for itself before their weighted sum.")
    ] = False
    floor: Annotated[float, Key("Smallest deviation that advantages are divided by.", least=0)] = 0.0
    least_spread: Annotated[
        float, Key("Groups whose rewards deviate less do not count: their masks agree.", least=0)
    ] = 0.0
    most: Annotated[float, Key("Largest advantage, up and down.", least=0)] = 100.0


@dataclass(frozen=True)
class Advantages:
    """``values`` [M, G]; ``flat_groups``: mixtures whose masks all earned the same; ``non_finite``: rewards
    that were no numbers.
    """

    values: Tensor
    flat_groups: int
    non_finite: int


PAPER = AdvantageConfig()


def group_advantages(
    rewards: Tensor,
    baseline: float | None = None,
    config: AdvantageConfig = PAPER,
    deployed: Tensor | None = None,
) -> Advantages:
    """Rewards [M, G] -> standardised advantages, detached, fp32.

    G > 1: (R - mean) / std within a mixture's group (population std). G = 1: there is no group, so the batch
    is one, after the moving ``baseline`` is taken off (section 4 of the paper). A reward that is not finite
    gets no advantage and does not touch the others'; a group without variance gets none at all.

    Args:
        rewards: [M, G].
        baseline: What is taken off where G is 1.
        config: How they are compared.
        deployed: What the deployed mask of each mixture earns, [M], for ``against = "deployed"``. A group
            whose deployed mask earned no number gets no advantage.
    """
    r = rewards.detach().float()
    good = torch.isfinite(r)
    lost = int((~good).sum())
    r = torch.where(good, r, torch.zeros_like(r))
    if r.shape[1] == 1:
        r = ((r - (baseline or 0.0)) * good).reshape(1, -1)
        good = good.reshape(1, -1)
    count = good.sum(1, keepdim=True).clamp(min=1)
    mean = r.sum(1, keepdim=True) / count
    std = (torch.where(good, r - mean, torch.zeros_like(r)).square().sum(1, keepdim=True) / count).sqrt()
    flat = std <= max(TINY, config.least_spread)
    centre = mean
    if config.against == "deployed" and deployed is not None:
        centre = deployed.detach().float()[:, None]
        good = good & torch.isfinite(centre)
    above = torch.where(good & ~flat, r - centre, torch.zeros_like(r))
    values = (above / (std + TINY).clamp(min=config.floor)).clamp(-config.most, config.most)
    return Advantages(values.reshape(rewards.shape), int(flat.sum()), lost)


def advantages_of_terms(
    terms: Mapping[str, Tensor],
    weights: Mapping[str, float],
    config: AdvantageConfig,
    deployed: Mapping[str, Tensor],
) -> Advantages:
    """Terms of a reward [M, G] each, standardised one by one, then summed by their weights: none counts for
    more because it varies more (FlowSE-GRPO).

    Args:
        terms: Name -> what every mask earns of it.
        weights: Name -> its weight.
        config: How each is compared.
        deployed: Name -> what the deployed masks earn of it, [M]; may be empty.

    Returns:
        The sum; a group is flat where all terms are.
    """
    found = {name: group_advantages(value, None, config, deployed.get(name)) for name, value in terms.items()}
    values = torch.stack([weights[name] * one.values for name, one in found.items()]).sum(0)
    flat = int((values == 0).all(1).sum())
    return Advantages(values, flat, max(one.non_finite for one in found.values()))


def moving_baseline(baseline: float | None, rewards: Tensor, decay: float = 0.92) -> float | None:
    """b <- decay b + (1 - decay) mean(R), starting from the first mean; rewards that are not finite do not
    count.
    """
    good = rewards[torch.isfinite(rewards)]
    if not len(good):
        return baseline
    new = float(good.mean())
    return new if baseline is None else decay * baseline + (1 - decay) * new
