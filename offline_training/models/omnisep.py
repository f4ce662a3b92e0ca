"""The paper's own separator: OmniSep's seven-level U-Net of 30 million parameters on a log-warped
spectrogram; sees the whole clip.

16 kHz, STFT of 1024 samples every 256, 513 bins warped to 256 rows (base 21), 32 mask components weighted by
the query (late fusion: the network itself never sees the query). It has the interface of ``MaskSeparator``
(spectra, logits, apply_mask), takes and gives 48 kHz like everything else here, and cannot stream.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated

import torch
from torch import Tensor, nn
from torchaudio.functional import resample

from offline_training.models.separator import Spectra
from offline_training.models.streaming_state import Memory
from offline_training.utils.recipe import Key

CHANNELS = (64, 128, 256, 512, 512, 512, 512)


@dataclass(frozen=True)
class PaperSpectral:
    """The paper's analysis; the network's own rate is a third of the outer one."""

    sample_rate: Annotated[int, Key("Samples a second.", least=1)] = 48_000
    hop: Annotated[int, Key("Samples between frames at that rate.", least=1)] = 768
    own_rate: Annotated[int, Key("Samples a second inside the network.", least=1)] = 16_000
    n_fft: Annotated[int, Key("Length of the analysis at the inner rate.", least=1)] = 1024
    rows: Annotated[int, Key("Rows of the warped spectrogram.", least=1)] = 256
    base: Annotated[float, Key("Base of the frequency warp.", least=1)] = 21.0


@dataclass(frozen=True)
class PaperConfig:
    """Sizes of the paper's U-Net."""

    spectral: PaperSpectral = field(default_factory=PaperSpectral)
    channels: Annotated[tuple[int, ...], Key("Channels of the levels, outermost first.", least=1)] = CHANNELS
    components: Annotated[int, Key("Mask components that the query weighs.", least=1)] = 32
    query_dim: Annotated[int, Key("Of a query; by default those of the query table.", least=1)] = 1024


def warped_positions(config: PaperSpectral) -> Tensor:
    """Which bin every warped row looks at, in bins, float64 [rows]: f = (n_fft / 2) (base^t - 1) / (base -
    1), t in 0..1.
    """
    t = torch.linspace(0, 1, config.rows, dtype=torch.float64)
    return config.n_fft / 2 * (config.base**t - 1) / (config.base - 1)


def unwarped_positions(config: PaperSpectral) -> Tensor:
    """Which row every bin looks at, in rows, float64 [bins]: t = log_base(1 + (base - 1) f / (n_fft / 2))."""
    f = torch.arange(config.n_fft // 2 + 1, dtype=torch.float64)
    t = torch.log1p((config.base - 1) * f / (config.n_fft / 2)) / math.log(config.base)
    return t * (config.rows - 1)


def interpolation(positions: Tensor, size: int) -> Tensor:
    """Linear interpolation of ``size`` values at fractional ``positions`` as a matrix [size, len(positions)],
    float32.
    """
    low = positions.floor().long().clamp(0, size - 2)
    frac = (positions - low).clamp(0, 1)
    matrix = torch.zeros(size, len(positions), dtype=torch.float64)
    columns = torch.arange(len(positions))
    matrix[low, columns] = 1 - frac
    matrix[low + 1, columns] += frac
    return matrix.float()


class PaperUNet(nn.Module):
    """Warped log-magnitudes [B, 1, 256, 256] and a query [B, D] -> logits [B, 256, 256]; spatial sizes must
    divide by 128.
    """

    def __init__(self, config: PaperConfig) -> None:
        super().__init__()
        widths = config.channels
        self.input_norm = nn.BatchNorm2d(1)
        self.down = nn.ModuleList(
            nn.Conv2d(a, b, 4, 2, 1, bias=False) for a, b in zip((1, *widths[:-1]), widths, strict=True)
        )
        last = len(widths) - 1
        self.down_norm = nn.ModuleList(
            nn.Identity() if i in (0, last) else nn.BatchNorm2d(c) for i, c in enumerate(widths)
        )
        outs = (*widths[:-1][::-1], config.components)
        ins = (widths[-1], *(2 * c for c in widths[:-1][::-1]))
        self.up = nn.ModuleList(
            nn.Conv2d(a, b, 3, 1, 1, bias=i == last) for i, (a, b) in enumerate(zip(ins, outs, strict=True))
        )
        self.up_norm = nn.ModuleList(
            nn.Identity() if i == last else nn.BatchNorm2d(c) for i, c in enumerate(outs)
        )
        self.query = nn.Linear(config.query_dim, config.components)
        self.scale = nn.Parameter(torch.ones(config.components))
        self.bias = nn.Parameter(torch.zeros(1))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0.0, 0.001)
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.weight, 1.0, 0.02)
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0.0, 1e-4)

    def forward(self, x: Tensor, query: Tensor) -> Tensor:
        x = self.input_norm(x)
        skips: list[Tensor] = []
        for i, (conv, norm) in enumerate(zip(self.down, self.down_norm, strict=True)):
            x = norm(conv(x if i == 0 else nn.functional.leaky_relu(x, 0.2)))
            skips.append(x)
        x = skips.pop()
        for i, (conv, norm) in enumerate(zip(self.up, self.up_norm, strict=True)):
            if i:
                x = torch.cat([skips.pop(), x], 1)
            x = nn.functional.interpolate(torch.relu(x), scale_factor=2, mode="bilinear", align_corners=True)
            x = norm(conv(x))
        weights = torch.sigmoid(self.query(query)) * self.scale
        return torch.einsum("bchw,bc->bhw", x, weights.to(x.dtype)) + self.bias


class PaperSeparator(nn.Module):
    """Whole clips [B, C, n * hop] at 48 kHz in, the same out; frames are padded to a multiple of 128 for the
    network.
    """

    warp: Tensor
    unwarp: Tensor
    window: Tensor
    latency = 0

    def __init__(self, config: PaperConfig) -> None:
        super().__init__()
        self.config = config
        spectral = config.spectral
        self.unet = PaperUNet(config)
        self.register_buffer("window", torch.hann_window(spectral.n_fft), persistent=False)
        self.register_buffer(
            "warp", interpolation(warped_positions(spectral), spectral.n_fft // 2 + 1), persistent=False
        )
        self.register_buffer(
            "unwarp", interpolation(unwarped_positions(spectral), spectral.rows), persistent=False
        )

    def spectra(self, audio: Tensor, memory: Memory) -> Spectra:
        """Complex spectra [B, C, T, bins] and warped power [B, T, rows] of clips at 48 kHz; T = samples / hop
        + 1.
        """
        del memory  # the network sees the whole clip
        spectral = self.config.spectral
        own = resample(audio.float(), spectral.sample_rate, spectral.own_rate)
        lead = own.shape[:2]
        # zeros at the ends where the paper mirrors: clips of any length, down to one hop
        spectrum = torch.stft(
            own.flatten(0, 1),
            spectral.n_fft,
            spectral.n_fft // 4,
            window=self.window,
            pad_mode="constant",
            return_complex=True,
        )
        spectrum = spectrum.transpose(1, 2).unflatten(0, lead)
        magnitude = torch.matmul(spectrum.abs(), self.warp)
        return Spectra(spectrum.real, spectrum.imag, magnitude.square().mean(1))

    def logits(self, spectra: Spectra, query: Tensor, memory: Memory, other: Tensor | None = None) -> Tensor:
        """Mask logits [B, T, rows]; the paper's network knows of no ``other``."""
        del memory, other
        frames = spectra.band_power.shape[1]
        features = 0.5 * torch.log(spectra.band_power + 1e-20)  # log magnitude, floor 1e-10 as in the paper
        padded = nn.functional.pad(features, (0, 0, 0, -frames % 128), value=math.log(1e-10))
        out: Tensor = self.unet(padded.transpose(1, 2).unsqueeze(1), query)
        return out.transpose(1, 2)[:, :frames]

    def apply_mask(self, spectra: Spectra, mask: Tensor, memory: Memory) -> Tensor:
        """Mask [B, T, rows] in 0..1, un-warped, on every channel's spectrum; back to audio [B, C, (T - 1) *
        hop].
        """
        del memory
        spectral = self.config.spectral
        gain = torch.matmul(mask.float(), self.unwarp).unsqueeze(1)
        spectrum = torch.complex(spectra.re * gain, spectra.im * gain)
        lead = spectrum.shape[:2]
        own = torch.istft(
            spectrum.flatten(0, 1).transpose(1, 2), spectral.n_fft, spectral.n_fft // 4, window=self.window
        )
        return resample(own, spectral.own_rate, spectral.sample_rate).unflatten(0, lead)

    def forward(self, audio: Tensor, query: Tensor, memory: Memory, other: Tensor | None = None) -> Tensor:
        del other
        spectra = self.spectra(audio, memory)
        return self.apply_mask(spectra, torch.sigmoid(self.logits(spectra, query, memory)), memory)
