"""A small policy over decisions: which of a few ways to ask again is best, reinforced by what each one earns.

Every way is tried on every mixture, so the policy gradient is taken of the expected reward itself and not of
samples: the sum over all choices of probability times reward. The advantage is the reward over that of the
first choice, which changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ChoiceConfig:
    """How the policy learns.

    Attributes:
        steps: Steps on all mixtures at once.
        lr: Learning rate of Adam.
        weight_decay: On the weights of the scaled features.
        entropy: Weight of the entropy against a dB of reward.
        most_db: Advantages are cut here, in dB.
        seed: Of the first weights.
    """

    steps: int = 1500
    lr: float = 2e-2
    weight_decay: float = 0.05
    entropy: float = 0.1
    most_db: float = 8.0
    seed: int = 0


def expected_objective(logits: torch.Tensor, advantages: torch.Tensor, entropy: float) -> torch.Tensor:
    """The mean over mixtures of the expected advantage and the weighted entropy.

    Args:
        logits: Of the choices, [N, C].
        advantages: Of the choices in dB, [N, C].
        entropy: Weight of the entropy.
    """
    log_p = logits.log_softmax(1)
    p = log_p.exp()
    return ((p * advantages).sum(1) - entropy * (p * log_p).sum(1)).mean()


def reinforced(features: Numbers, rewards: Numbers, config: ChoiceConfig | None = None) -> Numbers:
    """The weights of a linear softmax policy.

    Args:
        features: Of every mixture, [N, F].
        rewards: Of every mixture and choice in dB, [N, C]; the first choice changes nothing.
        config: How it learns.

    Returns:
        Weights of the constant 1 and the features, [C, 1 + F].
    """
    config = config or ChoiceConfig()
    mean, deviation = features.mean(0), features.std(0) + 1e-3
    scaled = torch.from_numpy((features - mean) / deviation).float()
    gained = np.clip(rewards - rewards[:, :1], -config.most_db, config.most_db)
    advantages = torch.from_numpy(gained).float()
    torch.manual_seed(config.seed)
    policy = torch.nn.Linear(features.shape[1], rewards.shape[1])
    optimiser = torch.optim.AdamW(policy.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    for _ in range(config.steps):
        optimiser.zero_grad()
        (-expected_objective(policy(scaled), advantages, config.entropy)).backward()
        optimiser.step()
    slopes = policy.weight.detach().numpy() / deviation
    constant = policy.bias.detach().numpy() - slopes @ mean
    return np.concatenate([constant[:, None], slopes], axis=1)
