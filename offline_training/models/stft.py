"""Short-time Fourier analysis and synthesis at low latency, and the frequency warp between bins and bands.

A long analysis window gives frequency resolution, a short synthesis window sets the latency (Wang et al.,
arXiv 2204.09911). Their product is a Hann window of ``synthesis`` samples, which adds up to one at a hop of
half its length: with a mask of ones the input comes back exactly, ``synthesis - hop`` samples late.

The transform is a Cooley-Tukey split N = N1 * N2 written as matrix products: two tiny matrices instead of one
of N x N, so the exported graph stays small. Not every execution provider has ONNX's DFT operator; all
multiply matrices.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn

from offline_training.utils.recipe import Key


@dataclass(frozen=True)
class SpectralConfig:
    """Sizes of analysis and synthesis in samples."""

    sample_rate: Annotated[int, Key("Samples a second.", least=1)] = 48_000
    hop: Annotated[int, Key("Samples between frames.", least=1)] = 480
    analysis: Annotated[int, Key("Length of the analysis window, a multiple of the hop.", least=1)] = 1920
    synthesis: Annotated[int, Key("Length of the synthesis window, twice the hop.", least=1)] = 960
    bands: Annotated[int, Key("Bands that the bins are warped to.", least=1)] = 128
    top_hz: Annotated[float, Key("Frequency of the last band.", least=1)] = 16_000.0
    warp_base: Annotated[float, Key("Base of the frequency warp.", least=1)] = 12.0

    def __post_init__(self) -> None:
        if self.synthesis != 2 * self.hop or self.analysis % self.hop or self.analysis < self.synthesis:
            raise ValueError(
                "synthesis must be twice the hop and analysis a multiple of it, at least as long as synthesis"
            )

    @property
    def bins(self) -> int:
        return self.analysis // 2 + 1

    @property
    def latency(self) -> int:
        """Index delay of the reconstruction in samples."""
        return self.synthesis - self.hop


def window_pair(config: SpectralConfig) -> tuple[Tensor, Tensor]:
    """Analysis window [analysis] and synthesis window [synthesis], float64; product over the last samples is
    a Hann window.
    """
    rise, fall = config.analysis - config.hop, config.hop
    n = torch.arange(config.analysis, dtype=torch.float64)
    analysis = torch.where(
        n < rise,
        torch.sin(math.pi * (n + 0.5) / (2 * rise)),
        torch.cos(math.pi * (n - rise + 0.5) / (2 * fall)),
    )
    k = torch.arange(config.synthesis, dtype=torch.float64)
    hann = torch.sin(math.pi * (k + 0.5) / config.synthesis) ** 2
    return analysis, hann / analysis[-config.synthesis :]


def factor(n: int) -> tuple[int, int]:
    """N1 (even) and N2 with N1 * N2 == n, as near to each other as possible."""
    best = min((a for a in range(2, n, 2) if n % a == 0 and (n // a) % 2 == 0), key=lambda a: a + n // a)
    return best, n // best


def warp_hz(config: SpectralConfig) -> Tensor:
    """Centre frequency of every band in Hz, float64 [bands]: f = top * (a^t - 1) / (a - 1), the paper's warp
    with another base.
    """
    t = torch.linspace(0.0, 1.0, config.bands, dtype=torch.float64)
    return config.top_hz * (config.warp_base**t - 1) / (config.warp_base - 1)


def unwarp_matrix(config: SpectralConfig) -> Tensor:
    """Linear interpolation from bands to bins, float64 [bands, bins]; the top band's value is held above
    ``top_hz``.
    """
    centres = warp_hz(config)
    hz = torch.arange(config.bins, dtype=torch.float64) * config.sample_rate / config.analysis
    hz = hz.clamp(max=config.top_hz)
    right = torch.searchsorted(centres, hz).clamp(1, config.bands - 1)
    left = right - 1
    # in steps of 1/128: the matrix is then exact in eight bits and takes a quarter of the room in an exported
    # graph
    frac = ((hz - centres[left]) / (centres[right] - centres[left]) * 128).round() / 128
    matrix = torch.zeros(config.bands, config.bins, dtype=torch.float64)
    columns = torch.arange(config.bins)
    matrix[left, columns] += 1 - frac
    matrix[right, columns] += frac
    return matrix


def warp_matrix(config: SpectralConfig) -> Tensor:
    """Mean power of each band from the power of the bins, float64 [bins, bands]; bins above ``top_hz`` do not
    take part.

    A band narrower than a bin takes the interpolated power at its centre, so that no band is ever empty.
    """
    unwarp = unwarp_matrix(config)
    hz = torch.arange(config.bins, dtype=torch.float64) * config.sample_rate / config.analysis
    weights = torch.where(hz <= config.top_hz, unwarp, torch.zeros(())).T.clone()
    centres = warp_hz(config)
    position = centres * config.analysis / config.sample_rate
    low = position.floor().long().clamp(0, config.bins - 2)
    frac = position - low
    for band in range(config.bands):
        if weights[:, band].sum() < 1.0:
            weights[:, band] = 0
            weights[low[band], band] = 1 - frac[band]
            weights[low[band] + 1, band] = frac[band]
    return (
        (weights / weights.sum(0, keepdim=True)).half().double()
    )  # exact in half precision, for the same reason as there


def mel_matrix(config: SpectralConfig, mels: int, low_hz: float = 40.0) -> Tensor:
    """Triangular mel filters of unit weight sum, float64 [bins, mels], up to ``top_hz``; exact in half
    precision.
    """
    from torchaudio.functional import melscale_fbanks

    filters = melscale_fbanks(
        config.bins, low_hz, config.top_hz, mels, config.sample_rate, norm=None, mel_scale="htk"
    ).double()
    empty = filters.sum(0) < 1e-3  # narrower than a bin: the nearest bin stands for it
    centres = torch.tensor(mel_centres(mels, low_hz, config.top_hz), dtype=torch.float64)
    nearest = (centres * config.analysis / config.sample_rate).round().long()
    filters[nearest[empty], torch.nonzero(empty)[:, 0]] = 1.0
    return (filters / filters.sum(0, keepdim=True)).half().double()


def mel_centres(mels: int, low_hz: float, top_hz: float) -> list[float]:
    """Centre frequencies in Hz of ``mels`` HTK mel filters."""
    low, top = (2595 * math.log10(1 + hz / 700) for hz in (low_hz, top_hz))
    return [700 * (10 ** ((low + (top - low) * (i + 1) / (mels + 1)) / 2595) - 1) for i in range(mels)]


class Transform(nn.Module):
    """Real DFT of windowed frames and its inverse, restricted to the samples that synthesis keeps.

    Exported graphs hold it as two stages of matrix products; everywhere else the FFT gives the same, five to
    ten times as fast.
    """

    analysis_window: Tensor
    synthesis_window: Tensor
    first: Tensor
    twiddle_re: Tensor
    twiddle_im: Tensor
    second: Tensor
    back_second: Tensor
    back_first: Tensor
    hermitian: Tensor

    def __init__(self, config: SpectralConfig) -> None:
        super().__init__()
        self.config = config
        n = config.analysis
        n1, n2 = factor(n)
        kept = n2 // 2 + 1  # columns of the second stage that hold the bins 0 .. n/2
        self.n1, self.n2, self.kept = n1, n2, kept
        f64 = torch.float64
        a1, a2 = torch.arange(n1, dtype=f64), torch.arange(n2, dtype=f64)
        k2 = torch.arange(kept, dtype=f64)
        first = 2 * math.pi * torch.outer(a1, a1) / n1
        twiddle = 2 * math.pi * torch.outer(a1, a2) / n
        second = 2 * math.pi * torch.outer(a2, k2) / n2
        analysis, synthesis = window_pair(config)

        self.register_buffer("analysis_window", analysis.float(), persistent=False)
        self.register_buffer("synthesis_window", (synthesis / n).float(), persistent=False)
        # stage 1: [2*n1, n1] @ [n1, n2]
        self.register_buffer("first", torch.cat([first.cos(), -first.sin()]).float(), persistent=False)
        self.register_buffer("twiddle_re", twiddle.cos().float(), persistent=False)
        self.register_buffer("twiddle_im", (-twiddle.sin()).float(), persistent=False)
        # stage 2, complex as real: [re im] @ [[c, -s], [s, c]]
        c, s = second.cos(), second.sin()
        self.register_buffer(
            "second", torch.cat([torch.cat([c, -s], 1), torch.cat([s, c], 1)]).float(), persistent=False
        )
        # inverse, same order backwards
        self.register_buffer(
            "back_second",
            torch.cat([torch.cat([c.T, s.T], 1), torch.cat([-s.T, c.T], 1)]).float(),
            persistent=False,
        )
        rows = first[n1 - config.synthesis * n1 // n :]  # only the output rows that synthesis keeps
        if config.synthesis * n1 % n:
            raise ValueError("the synthesis window must cover whole rows of the transform")
        self.register_buffer("back_first", torch.cat([rows.cos(), -rows.sin()], 1).float(), persistent=False)
        weight = torch.full((kept * n1,), 2.0)
        weight[0] = weight[n // 2] = 1.0
        weight[n // 2 + 1 :] = 0.0
        self.register_buffer("hermitian", weight[: config.bins], persistent=False)

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Frames [..., analysis] (not yet windowed) -> real and imaginary part, each [..., bins]."""
        if not torch.compiler.is_exporting():
            bins = torch.view_as_real(torch.fft.rfft(frames * self.analysis_window))
            return bins[..., 0].contiguous(), bins[..., 1].contiguous()
        lead = frames.shape[:-1]
        x = (frames * self.analysis_window).reshape(*lead, self.n1, self.n2)
        re, im = torch.matmul(self.first, x).split(self.n1, dim=-2)
        turned = torch.cat(
            [re * self.twiddle_re - im * self.twiddle_im, re * self.twiddle_im + im * self.twiddle_re], dim=-1
        )
        out = torch.matmul(turned, self.second).transpose(-1, -2)  # [..., 2*kept, n1]
        re, im = out.split(self.kept, dim=-2)
        size = self.kept * self.n1
        return re.reshape(*lead, size)[..., : self.config.bins], im.reshape(*lead, size)[
            ..., : self.config.bins
        ]

    def inverse(self, re: Tensor, im: Tensor) -> Tensor:
        """Bins -> the last ``synthesis`` samples of each frame, synthesis window applied, [...,
        synthesis]."""
        if not torch.compiler.is_exporting():
            samples = torch.fft.irfft(torch.complex(re, im), n=self.config.analysis, norm="forward")
            return samples[..., -self.config.synthesis :] * self.synthesis_window
        lead = re.shape[:-1]
        spare = self.kept * self.n1 - self.config.bins
        re = (
            nn.functional.pad(re * self.hermitian, (0, spare))
            .reshape(*lead, self.kept, self.n1)
            .transpose(-1, -2)
        )
        im = (
            nn.functional.pad(im * self.hermitian, (0, spare))
            .reshape(*lead, self.kept, self.n1)
            .transpose(-1, -2)
        )
        re, im = torch.matmul(torch.cat([re, im], dim=-1), self.back_second).split(
            self.n2, dim=-1
        )  # [..., n1, n2]
        turned = torch.cat(
            [re * self.twiddle_re + im * self.twiddle_im, im * self.twiddle_re - re * self.twiddle_im], dim=-2
        )
        samples = torch.matmul(self.back_first, turned)
        return samples.reshape(*lead, self.config.synthesis) * self.synthesis_window
