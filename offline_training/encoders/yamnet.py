"""YAMNet as the audio encoder's trunk: its front end, its network, and its weights out of the .tflite file.

YAMNet (TensorFlow authors, Apache-2.0; github.com/tensorflow/models, research/audioset/yamnet) is a MobileNet
v1 on log-mel patches, trained on AudioSet: 2 million clips, 521 classes. The file is not part of this
project; ``marssep train trunk yamnet.tflite`` converts it.

The network sees patches of 96 frames (0.96 s), half overlapping. Run over four seconds at once it tells the
labels apart less well (nearest label 0.67 instead of 0.72 on val and test), so the patches stay.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

NAME = "yamnet"
STRIDES = (2, 1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
CHANNELS = (32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
FEATURES = CHANNELS[-1]
MELS = 64
LOW_HZ, TOP_HZ = 125.0, 7500.0  # of the mel bands
PATCH = 96  # frames of 10 ms; patches overlap by half
OFFSET = 0.001  # log(mel + OFFSET), as published
# mean square of the mel magnitudes that every sound is brought to: its loudness says nothing of what it is
LEVEL = 1.0
# ``YamnetTrunk.lower`` ends inside the block of this number; what is above trains fast on stored maps
LOWER = 12


class YamnetMel(nn.Module):
    """Audio [B, T] at 48 kHz (T a multiple of 480) -> YAMNet's log-mels [B, T / 480, 64], brought to one
    level.

    The published front end works at 16 kHz (frames of 400, hop 160, FFT of 512, magnitudes). Frames of 1200
    and an FFT of 1536 at 48 kHz have the same bins, so nothing is resampled. Frames look back; silence is put
    before the first sample.
    """

    window: Tensor
    mel: Tensor
    hop, size, bins = 480, 1536, 257
    low_hz, top_hz, mels = LOW_HZ, TOP_HZ, MELS

    def __init__(self) -> None:
        super().__init__()
        window = torch.zeros(3 * self.hop, dtype=torch.float64)
        window[-1200:] = torch.hann_window(1200, periodic=True, dtype=torch.float64)
        self.register_buffer(
            "window", (window / 3).float(), persistent=False
        )  # / 3: magnitudes as large as at 16 kHz
        self.register_buffer("mel", mel_filters(self.bins).float(), persistent=False)

    def power(self, audio: Tensor) -> Tensor:
        """Squared mel magnitudes [B, T / 480, 64]; those of independent sounds add up, nearly."""
        hops = audio.reshape(audio.shape[0], -1, self.hop)
        n = hops.shape[1]
        joined = torch.cat([torch.zeros_like(hops[:, :1]).expand(-1, 2, -1), hops], dim=1)
        frames = torch.cat([joined.narrow(1, i, n) for i in range(3)], dim=-1) * self.window
        parts = torch.view_as_real(torch.fft.rfft(frames, self.size))[..., : self.bins, :]
        return torch.matmul(parts.square().sum(-1).sqrt(), self.mel).square()

    @staticmethod
    def compress(power: Tensor) -> Tensor:
        """Squared mel magnitudes [..., frames, mels] -> log-mels of one level; silence stays silence."""
        mean = power.mean((-2, -1), keepdim=True)
        # the floor as a clamp: ONNX optimisers take a tiny addend for zero
        return torch.log(torch.sqrt(power * (LEVEL / mean.clamp(min=1e-9))) + OFFSET)

    def forward(self, audio: Tensor) -> Tensor:
        return self.compress(self.power(audio))


def mel_filters(bins: int) -> Tensor:
    """Triangles in HTK mels, float64 [bins, 64]; TensorFlow's ``linear_to_mel_weight_matrix`` for 16 kHz."""

    def to_mels(hz: Tensor) -> Tensor:
        return 1127 * torch.log1p(hz / 700)

    low, top = (float(to_mels(torch.tensor(hz, dtype=torch.float64))) for hz in (LOW_HZ, TOP_HZ))
    edges = torch.linspace(low, top, MELS + 2, dtype=torch.float64)
    at = to_mels(torch.linspace(0, 8000, bins, dtype=torch.float64))[:, None]
    rise = (at - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - at) / (edges[2:] - edges[1:-1])
    return torch.minimum(rise, fall).clamp(min=0)


class Separable(nn.Module):
    """Depthwise and pointwise convolution, batch norms folded, ReLU after each."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.depthwise = nn.Conv2d(channels_in, channels_in, 3, stride, groups=channels_in)
        self.pointwise = nn.Conv2d(channels_in, channels_out, 1)

    def first(self, x: Tensor) -> Tensor:
        return torch.relu(self.depthwise(pad_same(x, self.stride)))

    def rest(self, x: Tensor) -> Tensor:
        return torch.relu(self.pointwise(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.rest(self.first(x))


def pad_same(x: Tensor, stride: int) -> Tensor:
    """TensorFlow's SAME padding of a kernel of three on even sizes: at stride two only behind."""
    before = 0 if stride == 2 else 1
    return nn.functional.pad(x, (before, 1, before, 1))


class YamnetTrunk(nn.Module):
    """Log-mels [B, frames, 64] -> embeddings of their patches [B, patches, 1024], before any normalisation;
    frames >= 96.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, CHANNELS[0], 3, STRIDES[0])
        self.blocks = nn.ModuleList(
            Separable(before, channels, stride)
            for before, channels, stride in zip(CHANNELS, CHANNELS[1:], STRIDES[1:], strict=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """``x`` may also be what ``lower`` gave."""
        maps = self.lower(x) if x.dim() == 3 else x
        count = maps.shape[1]
        y = self.blocks[LOWER - 1].rest(maps.flatten(0, 1))  # type: ignore[operator]
        for block in self.blocks[LOWER:]:
            y = block(y)
        return y.mean((2, 3)).reshape(-1, count, FEATURES)

    def lower(self, log_mels: Tensor) -> Tensor:
        """Log-mels [B, frames, 64] -> maps [B, patches, 512, 3, 2] in the middle of the last block with a
        stride: behind its depthwise convolution."""
        half = PATCH // 2
        count = log_mels.shape[1] // half
        halves = log_mels[:, : count * half].reshape(-1, count, half, MELS)
        y = torch.cat([halves[:, :-1], halves[:, 1:]], dim=2).reshape(-1, 1, PATCH, MELS)
        y = torch.relu(self.stem(pad_same(y, STRIDES[0])))
        for block in self.blocks[: LOWER - 1]:
            y = block(y)
        y = self.blocks[LOWER - 1].first(y)  # type: ignore[operator]
        return y.reshape(-1, count - 1, *y.shape[1:])

    def patches(self, x: Tensor) -> Tensor:
        """Patches [N, 1, 96, 64] -> embeddings [N, 1024]."""
        return self(x[:, 0]).flatten(0, 1)

    def convolutions(self) -> list[nn.Conv2d]:
        """In the order in which they run."""
        return [m for m in self.modules() if isinstance(m, nn.Conv2d)]
