"""The factorised Beta mask policy (MARS-Sep eq. 2): every bin's mask is drawn from its own Beta distribution
around the proposal P.

alpha = 1 + kappa P, beta = 1 + kappa (1 - P): the proposal is the distribution's *mode*, and kappa says how
tightly samples lie around it. The mean, (1 + kappa P) / (2 + kappa), never comes near 0 or 1 (kappa 9: 0.09
.. 0.91), which is why the mode is what ships.

Everything is computed in fp32, whatever comes in and whatever autocast is on: lgamma and digamma of
half-precision numbers are useless. All functions work bin by bin on tensors of one shape; what reduces over
bins stands in ``surrogate``.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy.special
import torch
from torch import Tensor

KAPPA = 9.0  # the paper's best
EDGE = 1e-4  # samples are kept this far from 0 and 1, where log-probabilities end


def concentrations(p: Tensor, kappa: float = KAPPA) -> tuple[Tensor, Tensor]:
    """alpha and beta of proposals ``p`` in 0..1; raises ValueError unless ``kappa`` is above 0."""
    if not kappa > 0:
        raise ValueError(f"kappa is {kappa}; it must be above 0")
    p = p.float().clamp(0.0, 1.0)
    return 1.0 + kappa * p, 1.0 + kappa * (1.0 - p)


@torch.no_grad()
def sample(p: Tensor, kappa: float = KAPPA, block: tuple[int, int] = (1, 1)) -> Tensor:
    """Masks in EDGE..1 - EDGE drawn around ``p`` [..., T, bands] by torch's global generator, fp32; no
    gradient flows through a sample.

    ``block`` (frames, bands): bins of a block go up and down together, by one quantile for all of them; every
    bin alone still has its own Beta. Independent bins average out: no mask then sounds different from any
    other, and rewards tell nothing.
    """
    if block == (1, 1):
        a, b = concentrations(p, kappa)
        return torch.distributions.Beta(a, b, validate_args=False).sample().clamp(EDGE, 1.0 - EDGE)  # type: ignore[no-untyped-call, no-any-return]
    return quantile(shared_quantiles(p.shape, block, p.device), p, kappa).clamp(EDGE, 1.0 - EDGE)


def shared_quantiles(shape: torch.Size, block: tuple[int, int], device: torch.device | str = "cpu") -> Tensor:
    """Uniform numbers [..., T, bands], the same within blocks, whose grid lies elsewhere in every draw."""
    frames, bands = block
    at, up = (int(torch.randint(n, ()).item()) for n in block)
    coarse = torch.rand(*shape[:-2], -(-shape[-2] // frames) + 1, -(-shape[-1] // bands) + 1, device=device)
    fine = coarse.repeat_interleave(frames, -2).repeat_interleave(bands, -1)
    return fine[..., at : at + shape[-2], up : up + shape[-1]]


@lru_cache(maxsize=4)
def quantile_table(kappa: float) -> Tensor:
    """The inverse of the Beta's distribution function, [proposals, quantiles] on even grids over 0..1,
    float32.
    """
    p, u = np.linspace(0, 1, 129)[:, None], np.linspace(0, 1, 1025)[None]
    return torch.from_numpy(scipy.special.betaincinv(1 + kappa * p, 1 + kappa * (1 - p), u)).float()


def quantile(u: Tensor, p: Tensor, kappa: float) -> Tensor:
    """The ``u``-quantile of each bin's Beta, by linear interpolation in a table."""
    table = quantile_table(kappa).to(p.device)
    rows, columns = table.shape
    x, y = p.float().clamp(0, 1) * (rows - 1), u * (columns - 1)
    i, j = x.long().clamp(max=rows - 2), y.long().clamp(max=columns - 2)
    fx, fy = x - i, y - j
    flat, at = table.flatten(), i * columns + j
    low, high = (
        torch.lerp(flat[at], flat[at + 1], fy),
        torch.lerp(flat[at + columns], flat[at + columns + 1], fy),
    )
    return torch.lerp(low, high, fx)


def log_beta(a: Tensor, b: Tensor, kappa: float) -> Tensor:
    """ln B(a, b), a + b = 2 + kappa."""
    total = torch.lgamma(torch.tensor(2.0 + kappa, dtype=torch.float32, device=a.device))
    return torch.lgamma(a) + torch.lgamma(b) - total


def log_prob(mask: Tensor, p: Tensor, kappa: float = KAPPA) -> Tensor:
    """Log-density of each bin's ``mask`` under its Beta."""
    a, b = concentrations(p, kappa)
    m = mask.float().clamp(EDGE, 1.0 - EDGE)
    return (a - 1.0) * torch.log(m) + (b - 1.0) * torch.log1p(-m) - log_beta(a, b, kappa)


def entropy(p: Tensor, kappa: float = KAPPA) -> Tensor:
    """Differential entropy of each bin in nats; at most 0, largest at p = 0.5."""
    a, b = concentrations(p, kappa)
    both = kappa * torch.digamma(torch.tensor(2.0 + kappa, dtype=torch.float32, device=a.device))
    return log_beta(a, b, kappa) - (a - 1.0) * torch.digamma(a) - (b - 1.0) * torch.digamma(b) + both


def kl(p: Tensor, reference: Tensor, kappa: float = KAPPA) -> Tensor:
    """KL(Beta of ``p`` || Beta of ``reference``) of each bin in nats."""
    a, b = concentrations(p, kappa)
    c, d = concentrations(reference, kappa)
    # both pairs add up to 2 + kappa, so the digamma of the sum drops out
    return (
        log_beta(c, d, kappa)
        - log_beta(a, b, kappa)
        + (a - c) * torch.digamma(a)
        + (b - d) * torch.digamma(b)
    )


def mean(p: Tensor, kappa: float = KAPPA) -> Tensor:
    """The distribution's mean: what samples average to."""
    a, _ = concentrations(p, kappa)
    return a / (2.0 + kappa)


def centred(mask: Tensor, kappa: float = KAPPA) -> Tensor:
    """A sampled mask on the scale on which its mean is P: ((2 + kappa) m - 1) / kappa, from -1/kappa to 1 +
    1/kappa.

    A sample as it is averages to ``mean``, which leaks; a policy that is rewarded for such masks learns
    proposals that are too extreme for what is deployed, P itself.
    """
    return ((2.0 + kappa) * mask - 1.0) / kappa
