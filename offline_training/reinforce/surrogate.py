"""The clipped, group-relative surrogate of a policy (MARS-Sep eq. 4); pure functions on tensors.

Rows are sampled actions: masks [S, ...bins], or decisions [S, blocks, 2], for which "bin" below means a
decision. Ratios, entropy and KL are means over bins, never sums: a plain product
of 10^4 to 10^5 per-bin ratios is zero or infinite after the smallest step of the weights. ``counted`` (same
shape as the bins, >= 0) weighs bins in those means: a bin in which the mixture has nothing cannot change the
reward, so leaving it out takes noise out of the gradient and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor

from offline_training.utils.recipe import Key

Ratio = Literal["bin", "mean"]


def over_bins(values: Tensor, counted: Tensor | None = None) -> Tensor:
    """Mean of each row over its bins, [S, ...] -> [S]; a row of which no bin counts gives 0."""
    flat = values.flatten(1)
    if counted is None:
        return flat.mean(1)
    weights = counted.flatten(1).to(flat.dtype)
    return (flat * weights).sum(1) / weights.sum(1).clamp(min=1e-8)


def importance_ratio(log_new: Tensor, log_old: Tensor, kind: Ratio, counted: Tensor | None = None) -> Tensor:
    """pi_theta / pi_old of sampled masks: ``bin``, each bin's own [S, ...]; ``mean``, the geometric mean over
    a row's bins, [S, 1].

    Log-ratios are held within +-20, so that a policy gone far astray gives large numbers instead of infinite
    ones.
    """
    difference = (log_new - log_old.detach()).clamp(-20.0, 20.0)
    if kind == "bin":
        return difference.exp()
    if kind == "mean":
        return over_bins(difference, counted).exp().unsqueeze(1)
    raise ValueError(f"ratio is {kind!r}; choose bin or mean")


def clipped(ratio: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """min(r A, clip(r, 1 - clip, 1 + clip) A), ratios [S, ...] and advantages [S] -> [S, ...]."""
    a = advantage.reshape(-1, *(1,) * (ratio.dim() - 1))
    return torch.minimum(ratio * a, ratio.clamp(1.0 - clip, 1.0 + clip) * a)


@dataclass(frozen=True)
class SurrogateConfig:
    """The clipped surrogate."""

    ratio: Annotated[Ratio, Key("Importance ratio: of each bin, or the geometric mean over bins.")] = "bin"
    clip: Annotated[float, Key("Of ratios, plus or minus.", least=0)] = 0.2
    entropy: Annotated[float, Key("Weight of the entropy.", least=0)] = 0.1
    kl: Annotated[float, Key("Weight of the KL to the old policy.", least=0)] = 0.01
    reference_kl: Annotated[float, Key("Weight of the KL to the policy of --start.", least=0)] = 0.0


def objective(
    ratio: Tensor,
    advantage: Tensor,
    entropy: Tensor,
    kl: Tensor,
    config: SurrogateConfig,
    counted: Tensor | None = None,
    reference_kl: Tensor | None = None,
    proposals_counted: Tensor | None = None,
) -> dict[str, Tensor]:
    """The terms of J (to be maximised), each a mean over rows and bins, and ``loss`` = -J.

    ``ratio`` from ``importance_ratio`` and ``counted``, its bins: a row for each sampled mask, as advantage
    [S]. Entropy, kl and reference_kl [Q, ...bins]: a row for each proposal, which may stand behind several
    masks, with ``proposals_counted`` (None: as ``counted``). Beside them, for the log: ``ratio_mean``,
    ``clip_low`` and ``clip_high``, the shares of ratios under 1 - clip and above 1 + clip where clipping acts
    on them (A < 0 and A > 0).
    """
    if proposals_counted is None:
        proposals_counted = counted
    weights = counted if ratio.shape[1:] == entropy.shape[1:] else None
    gain = over_bins(clipped(ratio, advantage, config.clip), weights).mean()
    terms = {
        "gain": gain,
        "entropy": over_bins(entropy, proposals_counted).mean(),
        "kl": over_bins(kl, proposals_counted).mean(),
    }
    j = gain + config.entropy * terms["entropy"] - config.kl * terms["kl"]
    if reference_kl is not None:
        terms["reference_kl"] = over_bins(reference_kl, proposals_counted).mean()
        j = j - config.reference_kl * terms["reference_kl"]
    with torch.no_grad():
        a = advantage.reshape(-1, *(1,) * (ratio.dim() - 1))
        terms["ratio_mean"] = over_bins(ratio, weights).mean()
        terms["clip_low"] = over_bins(((ratio < 1 - config.clip) & (a < 0)).float(), weights).mean()
        terms["clip_high"] = over_bins(((ratio > 1 + config.clip) & (a > 0)).float(), weights).mean()
    terms["loss"] = -j
    return terms
