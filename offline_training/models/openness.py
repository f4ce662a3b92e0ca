"""How open and how sharp a mask is: two decisions per frame, and what they make of its logits."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

SHARPEST = math.log(4.0)  # largest logarithm of the factor on logits, up and down
WIDEST = 4.0  # largest shift of logits, up and down


class OpennessHead(nn.Module):
    """Sharpness and shift of every frame from the bottleneck's output; zero at first.

    The bottleneck has seen the past, so the head needs none of its own: it has no state and is causal.

    Args:
        channels: Of the bottleneck.
    """

    bound: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        # the bottleneck adds block to block: as it is, one step at a usual rate would move a shift by a logit
        self.norm = nn.LayerNorm(channels, elementwise_affine=False)
        self.linear = nn.Linear(channels, 2)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        self.register_buffer("bound", torch.tensor([SHARPEST, WIDEST]), persistent=False)

    def forward(self, seen: Tensor) -> Tensor:
        """The decisions of every frame.

        Args:
            seen: The bottleneck's output, [B, channels, T, 1].

        Returns:
            [B, T, 2]: the logarithm of the factor on logits, within ``SHARPEST``, and the shift of logits,
            within ``WIDEST``.
        """
        return torch.tanh(self.linear(self.norm(seen.squeeze(3).transpose(1, 2)))) * self.bound


def opened(logits: Tensor, decisions: Tensor) -> Tensor:
    """Logits [B, T, bands] under decisions [B, T, 2] of their frames: exp(sharpness) logits + shift."""
    sharpness, shift = decisions[..., :1], decisions[..., 1:]
    return torch.exp(sharpness) * logits + shift
