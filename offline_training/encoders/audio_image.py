"""The audio and image encoders that ship: small residual CNNs into the text encoder's space.

Both end in a *head* (the only part that the later alignment stages need to train) and give unit vectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import torch
from torch import Tensor, nn

from offline_training.encoders.mobilenet import FEATURES as MOBILE_FEATURES
from offline_training.encoders.mobilenet import MobileTrunk
from offline_training.encoders.yamnet import FEATURES as YAMNET_FEATURES
from offline_training.encoders.yamnet import YamnetMel, YamnetTrunk
from offline_training.models.stft import SpectralConfig, Transform, mel_matrix
from offline_training.models.vectors import to_unit
from offline_training.utils.recipe import Key, share

SILENCE = 1e-9  # mean mel power under which there is nothing to hear (about -90 dBFS)
TRUNKS = ("residual", "mobilenet", "yamnet")
DEPTH = 1e4  # log-mels reach 40 dB under the clip's mean, then bend to zero


@dataclass(frozen=True)
class EncoderShape:
    """Sizes of an encoder."""

    widths: Annotated[
        tuple[int, ...],
        Key("Channels of the trunk's levels, each at half the resolution of the one before.", least=1),
    ] = (32, 64, 128, 192)
    dim: Annotated[int, Key("Of the shared space; by default that of the query table.", least=1)] = 384
    dropout: Annotated[float, share("Share of the features that training drops.")] = 0.2
    trunk: Annotated[
        str,
        Key("residual has the widths; mobilenet (images) and yamnet (sounds) have theirs.", choices=TRUNKS),
    ] = "residual"
    size: Annotated[int, Key("Pixels a side that an image encoder looks at.", least=8)] = 64

    def __post_init__(self) -> None:
        if self.trunk not in TRUNKS:
            raise ValueError(f"an encoder's trunk is {self.trunk!r}; choose one of {', '.join(TRUNKS)}")


class Residual(nn.Module):
    """Two 3x3 convolutions with batch norm and a shortcut; ``stride`` 2 halves both axes."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels_out)
        self.short = nn.Conv2d(channels_in, channels_out, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.norm2(self.conv2(y)) + self.short(x))


class Trunk(nn.Module):
    """[B, channels, H, W] -> feature maps [B, widths[-1], h, w]."""

    def __init__(self, channels: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, widths[0], 3, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(widths[0])
        self.levels = nn.ModuleList(Residual(a, b, 2) for a, b in pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.stem(x)))
        for level in self.levels:
            x = level(x)
        return x


class Head(nn.Module):
    """Pooled features [B, features] -> unit vectors [B, dim]: a linear map and a residual
    correction of it."""

    def __init__(self, features: int, dim: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(features, dim)
        self.inner = nn.Linear(dim, dim)
        nn.init.zeros_(self.inner.weight)
        nn.init.zeros_(self.inner.bias)

    def forward(self, x: Tensor) -> Tensor:
        y = self.linear(self.dropout(self.norm(x)))
        return to_unit(y + self.inner(torch.relu(y)))


class SoundHead(nn.Module):
    """Embeddings of patches [B, patches, features] -> unit vectors [B, dim]: the space of sound.

    Their mean, compressed and standardised, is projected on what tells sounds apart (``sound_space.fit``); a
    residual correction, zero at first, is what the alignment stages train.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, features: int, dim: int, dropout: float) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("deviation", torch.ones(features))
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(features, dim)
        self.inner = nn.Linear(dim, dim)
        nn.init.zeros_(self.inner.weight)
        nn.init.zeros_(self.inner.bias)

    def forward(self, x: Tensor) -> Tensor:
        y = self.linear(self.dropout((torch.log1p(x.mean(1)) - self.mean) / self.deviation))
        y = y / y.norm(dim=-1, keepdim=True).clamp(min=1e-6)
        return to_unit(y + self.inner(torch.relu(y * y.shape[-1] ** 0.5)) * y.shape[-1] ** -0.5)


class LogMel(nn.Module):
    """Audio [B, T] at 48 kHz (T a multiple of the hop) -> log-mels [B, T / hop, mels], level taken out."""

    mel: Tensor
    hop, low_hz, top_hz = 480, 40.0, 16_000.0  # samples a frame; the mel bands' range

    def __init__(self, mels: int = 64) -> None:
        super().__init__()
        self.mels = mels
        self.config = SpectralConfig()
        self.transform = Transform(self.config)
        self.register_buffer("mel", mel_matrix(self.config, mels).float(), persistent=False)

    def power(self, audio: Tensor) -> Tensor:
        """Mel power [B, T / hop, mels]; frames look back, silence is put before the first sample."""
        config = self.config
        parts = config.analysis // config.hop
        hops = audio.reshape(audio.shape[0], -1, config.hop)
        n = hops.shape[1]
        joined = torch.cat([torch.zeros_like(hops[:, :1]).expand(-1, parts - 1, -1), hops], dim=1)
        re, im = self.transform(torch.cat([joined.narrow(1, i, n) for i in range(parts)], dim=-1))
        return torch.matmul(re * re + im * im, self.mel)

    @staticmethod
    def compress(power: Tensor) -> Tensor:
        """Mel power [..., frames, mels] -> log-mels relative to the clip's mean, 0 for silence."""
        mean = power.mean((-2, -1), keepdim=True)
        # floors written as ones: ONNX optimisers take a tiny addend for zero
        return torch.log(1.0 + power / (mean + SILENCE) * DEPTH)

    def forward(self, audio: Tensor) -> Tensor:
        return self.compress(self.power(audio))


FrontEnd = LogMel | YamnetMel


class TorchAudioEncoder(nn.Module):
    """Log-mels [B, frames, mels] of its ``front_end`` -> unit vectors [B, dim]. ``trunk`` and ``head`` train
    apart.
    """

    def __init__(self, shape: EncoderShape) -> None:
        super().__init__()
        self.shape = shape
        self.pretrained = shape.trunk == "yamnet"
        self.input_norm = nn.Identity() if self.pretrained else nn.BatchNorm2d(1)
        self.trunk = YamnetTrunk() if self.pretrained else Trunk(1, shape.widths)
        self.head = (
            SoundHead(YAMNET_FEATURES, shape.dim, shape.dropout)
            if self.pretrained
            else Head(2 * shape.widths[-1], shape.dim, shape.dropout)
        )

    def front_end(self) -> FrontEnd:
        """What makes the log-mels that this encoder takes."""
        return YamnetMel() if self.pretrained else LogMel()

    def forward(self, log_mels: Tensor) -> Tensor:
        if self.pretrained:
            return self.head(self.trunk(log_mels))  # type: ignore[no-any-return]
        x = self.trunk(self.input_norm(log_mels.unsqueeze(1))).mean(3)  # over bands: [B, C, t]
        return self.head(torch.cat([x.mean(2), x.amax(2)], dim=1))  # type: ignore[no-any-return]


class TorchImageEncoder(nn.Module):
    """RGB in 0..1 [B, 3, S, S] -> unit vectors [B, dim]."""

    def __init__(self, shape: EncoderShape) -> None:
        super().__init__()
        self.shape = shape
        mobile = shape.trunk == "mobilenet"
        self.input_norm = nn.Identity() if mobile else nn.BatchNorm2d(3)
        self.trunk = MobileTrunk() if mobile else Trunk(3, shape.widths)
        self.head = Head(2 * (MOBILE_FEATURES if mobile else shape.widths[-1]), shape.dim, shape.dropout)

    def forward(self, rgb: Tensor) -> Tensor:
        x = self.trunk(self.input_norm(rgb)).flatten(2)
        return self.head(torch.cat([x.mean(2), x.amax(2)], dim=1))
