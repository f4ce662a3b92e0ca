"""What a sampled mask is worth: how near the separated sound comes to its anchor in meaning (MARS-Sep eq. 5),
and optional guards.

R = cos(phi_a(separated), z*), with the audio encoder frozen and everything in fp32. z* is made of the
*target* (its recording, label, image), so the reward does not depend on how the separator was asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from offline_training.encoders.audio_image import LogMel, TorchAudioEncoder
from offline_training.evaluation.metrics import ratio_db, si_sdr
from offline_training.utils.recipe import Key

SoundVectors = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class RewardConfig:
    """Weights of the reward's terms. The paper's reward is the cosine alone."""

    cosine: Annotated[float, Key("Weight of the cosine to the anchor.", least=0)] = 1.0
    level: Annotated[float, Key("Weight of a guard against silence and all-pass.", least=0)] = 0.0
    si_sdr: Annotated[float, Key("Weight of a tenth of the SI-SDR in dB.", least=0)] = 0.0
    absent: Annotated[
        float, Key("Weight of silence where the sound is absent; nothing else is earned there.", least=0)
    ] = 0.0


class FrozenEncoder:
    """A frozen audio encoder as a function of sound [B, samples] at 48 kHz (-> unit vectors [B, D], fp32, no
    gradient).
    """

    def __init__(self, encoder: torch.nn.Module, device: torch.device | str = "cpu") -> None:
        self.encoder = encoder.to(device).eval().requires_grad_(False)
        front_end = encoder.front_end() if isinstance(encoder, TorchAudioEncoder) else LogMel()
        self.analysis = front_end.to(device)

    @torch.no_grad()
    def __call__(self, sound: Tensor) -> Tensor:
        hop = self.analysis.hop
        with torch.autocast(sound.device.type, enabled=False):
            mels = self.analysis(sound[:, : sound.shape[1] // hop * hop].float())
            return self.encoder(mels).float()  # type: ignore[no-any-return]


def level_guard(estimate: Tensor, target: Tensor, tolerance_db: float = 3.0) -> Tensor:
    """0 while the output is as loud as the target within the tolerance, minus a tenth of every dB beyond;
    rows [B, samples] -> [B].
    """
    off = ratio_db(estimate.square().sum(-1), target.square().sum(-1)).abs()
    return -(off - tolerance_db).clamp(min=0.0) / 10


def quality(estimate: Tensor, target: Tensor) -> Tensor:
    """SI-SDR in tens of dB, held within -2 .. 3."""
    return (si_sdr(estimate, target) / 10).clamp(-2.0, 3.0)


def silence(estimate: Tensor, mixture: Tensor, floor_db: float = -30.0) -> Tensor:
    """1 for an output ``floor_db`` under the mixture or lower, 0 for one as loud as it, straight in dB
    between (and beyond 0).
    """
    return (ratio_db(estimate.square().sum(-1), mixture.square().sum(-1)) / floor_db).clamp(max=1.0)


@torch.no_grad()
def rewards(
    ear: SoundVectors,
    estimate: Tensor,
    target: Tensor,
    mixture: Tensor,
    anchor: Tensor,
    absent: Tensor,
    config: RewardConfig,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Rewards [B] of outputs [B, samples] and the unweighted terms [B]; target, mixture and anchor row by
    row, ``absent`` [B] bool.

    Rows with an absent target have no anchor: they earn ``silence`` times its weight.
    """
    estimate = estimate.float()
    terms = {"cosine": (ear(estimate) * anchor).sum(-1)}
    if config.level:
        terms["level"] = level_guard(estimate, target)
    if config.si_sdr:
        terms["si_sdr"] = quality(estimate, target)
    total = torch.stack([getattr(config, name) * value for name, value in terms.items()]).sum(0)
    if absent.any():
        terms["absent"] = silence(estimate, mixture)
        total = torch.where(absent, config.absent * terms["absent"], total)
    return total, terms
