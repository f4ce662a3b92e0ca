"""What a sampled mask is worth: how near the separated sound comes to its anchor in meaning (MARS-Sep eq. 5),
and optional guards.

R = cos(phi_a(separated), z*), with the audio encoder frozen and everything in fp32. z* is made of the
*target* (its recording, label, image), so the reward does not depend on how the separator was asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
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
    margin: Annotated[
        float, Key("Weight of the cosine of the output minus that of the residual.", least=0)
    ] = 0.0
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
def terms_of(
    ear: SoundVectors,
    estimate: Tensor,
    target: Tensor,
    mixture: Tensor,
    anchor: Tensor,
    absent: Tensor,
    config: RewardConfig,
) -> dict[str, Tensor]:
    """The unweighted terms [B] of outputs [B, samples]; target, mixture and anchor row by row, ``absent`` [B]
    bool.

    The cosine is always there, for the log. Rows with an absent target have no anchor: they earn ``absent``
    alone, and the others none of it.
    """
    estimate = estimate.float()
    cosine = (ear(estimate) * anchor).sum(-1)
    terms = {"cosine": cosine}
    if config.margin:
        terms["margin"] = cosine - (ear(mixture - estimate) * anchor).sum(-1)
    if config.level:
        terms["level"] = level_guard(estimate, target)
    if config.si_sdr:
        terms["si_sdr"] = quality(estimate, target)
    earned = {name: torch.where(absent, torch.zeros_like(value), value) for name, value in terms.items()}
    # always there: several processes exchange terms, and not all of them have absent targets
    earned["absent"] = torch.where(absent, silence(estimate, mixture), torch.zeros_like(cosine))
    return earned


def weights_of(config: RewardConfig, names: Iterable[str]) -> dict[str, float]:
    """The weights of terms."""
    return {name: float(getattr(config, name)) for name in names}


def total(terms: Mapping[str, Tensor], config: RewardConfig) -> Tensor:
    """The reward: the weighted sum of its terms."""
    weights = weights_of(config, terms)
    return torch.stack([weights[name] * value for name, value in terms.items()]).sum(0)
