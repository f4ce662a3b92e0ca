"""Mixture and query in, mask and target out: analysis, band features, U-Net, masking, synthesis; causal, with
explicit state.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from offline_training.models.stft import SpectralConfig, Transform, unwarp_matrix, warp_matrix
from offline_training.models.streaming_state import Memory
from offline_training.models.unet import StreamingUNet, UNetConfig

COMPRESSION = 0.3  # exponent on magnitudes: features stay bounded near silence, unlike a logarithm

FLOOR = 1e-8  # of band power, about -80 dBFS of noise spread over a band


@dataclass(frozen=True)
class SeparatorConfig:
    spectral: SpectralConfig = field(default_factory=SpectralConfig)
    unet: UNetConfig = field(default_factory=UNetConfig)


class Spectra:
    """A batch of spectra: real and imaginary part [B, C, T, bins] and band powers averaged over channels [B,
    T, bands].
    """

    def __init__(self, re: Tensor, im: Tensor, band_power: Tensor) -> None:
        self.re, self.im, self.band_power = re, im, band_power

    def repeat(self, index: Tensor) -> Spectra:
        """Rows chosen by ``index``: one mixture for several queries."""
        return Spectra(self.re[index], self.im[index], self.band_power[index])


class MaskSeparator(nn.Module):
    """The deployed policy: ``forward`` gives the target for a mixture and a query, exactly as it streams.

    Audio is [B, C, n * hop] with C of 1 or 2; the target has the same shape and lags by ``latency`` samples.
    """

    warp: Tensor
    unwarp: Tensor

    def __init__(self, config: SeparatorConfig) -> None:
        super().__init__()
        self.config = config
        self.transform = Transform(config.spectral)
        self.unet = StreamingUNet(config.unet)
        self.register_buffer("warp", warp_matrix(config.spectral).float(), persistent=False)
        self.register_buffer("unwarp", unwarp_matrix(config.spectral).float(), persistent=False)

    @property
    def latency(self) -> int:
        return self.config.spectral.latency

    def state_shapes(self) -> dict[str, list[int | str]]:
        """Every state tensor's shape, "B" and "C" standing for streams and channels."""
        spectral = self.config.spectral
        shapes: dict[str, list[int | str]] = {
            "analysis": ["B", "C", spectral.analysis // spectral.hop - 1, spectral.hop],
            "overlap": ["B", "C", 1, spectral.hop],
        }
        for name, shape in self.unet.state_shapes().items():
            shapes[name] = ["B", *shape]
        return shapes

    def spectra(self, audio: Tensor, memory: Memory) -> Spectra:
        """Analysis of [B, C, n * hop] in fp32."""
        spectral = self.config.spectral
        hops = audio.float().reshape(audio.shape[0], audio.shape[1], -1, spectral.hop)
        n = hops.shape[2]
        parts = spectral.analysis // spectral.hop
        joined = memory.extend("analysis", hops, parts - 1, dim=2)
        frames = torch.cat([joined.narrow(2, i, n) for i in range(parts)], dim=-1)
        re, im = self.transform(frames)
        return Spectra(re, im, torch.matmul((re * re + im * im).mean(1), self.warp))

    def features(self, spectra: Spectra) -> Tensor:
        """Compressed band magnitudes [B, 1, T, bands]: (power + FLOOR)^(0.3 / 2).

        Written with the floor scaled to one: ONNX optimisers take an addend of 1e-8 for zero and drop it.
        """
        exponent = COMPRESSION / 2
        return ((spectra.band_power * (1 / FLOOR) + 1.0).pow(exponent) * FLOOR**exponent).unsqueeze(1)

    def logits(self, spectra: Spectra, query: Tensor, memory: Memory, other: Tensor | None = None) -> Tensor:
        """Mask logits [B, T, bands]; ``other``: vectors of what to push away, where the network
        takes them."""
        return self.unet(self.features(spectra), query, memory, other)

    def raw_logits(
        self, spectra: Spectra, query: Tensor, memory: Memory, other: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Logits before the head's decisions and what the head decides by, see ``StreamingUNet.raw``: one run
        of the network serves a policy over decisions.
        """
        return self.unet.raw(self.features(spectra), query, memory, other)

    def apply_mask(self, spectra: Spectra, mask: Tensor, memory: Memory) -> Tensor:
        """Mask [B, T, bands] in 0..1 on every channel's spectrum, back to audio [B, C, T * hop]."""
        hop = self.config.spectral.hop
        gain = torch.matmul(mask.float(), self.unwarp).unsqueeze(1)
        frames = self.transform.inverse(spectra.re * gain, spectra.im * gain)
        first, second = frames[..., :hop], frames[..., hop:]
        tails = memory.extend("overlap", second, 1, dim=2).narrow(2, 0, first.shape[2])
        return (first + tails).reshape(first.shape[0], first.shape[1], -1)

    def forward(self, audio: Tensor, query: Tensor, memory: Memory, other: Tensor | None = None) -> Tensor:
        spectra = self.spectra(audio, memory)
        return self.apply_mask(spectra, torch.sigmoid(self.logits(spectra, query, memory, other)), memory)
