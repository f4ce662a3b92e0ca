"""MobileNetV2 (Sandler et al. 2018) as a trunk for the image encoder, and its weights out of a TensorFlow
Lite file.

1,700 images teach a network too little about seeing. The shipped image encoder therefore begins with the
feature extractor of the SSD detector that comes with MediaPipe Objectron (Apache-2.0, Google; trained on Open
Images) and is then trained into the text space like the other encoder. The file is in the npm package
``@mediapipe/objectron``, inside ``objectron_solution_packed_assets.data``.

Batch norms come folded into the convolutions and stay so.
"""

from __future__ import annotations

from torch import Tensor, nn

# expansion, channels, count and stride of the first of each group (table 2 of the paper)
BLOCKS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
FEATURES = 320
NAME = "mobilenet"


def same(x: Tensor, stride: int) -> Tensor:
    """Padded as TensorFlow's SAME does for a kernel of three: at even sizes and stride two only behind."""
    before = [0 if stride == 2 and n % 2 == 0 else 1 for n in x.shape[-2:]]
    return nn.functional.pad(x, (before[1], 1, before[0], 1))


class Inverted(nn.Module):
    """Expand, filter each channel, project; the input is added back where shapes allow."""

    def __init__(self, channels_in: int, channels_out: int, expansion: int, stride: int) -> None:
        super().__init__()
        inner = channels_in * expansion
        self.stride, self.adds = stride, stride == 1 and channels_in == channels_out
        self.expand = nn.Conv2d(channels_in, inner, 1) if expansion > 1 else None
        self.depthwise = nn.Conv2d(inner, inner, 3, stride, groups=inner)
        self.project = nn.Conv2d(inner, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else nn.functional.relu6(self.expand(x))
        y = self.project(nn.functional.relu6(self.depthwise(same(y, self.stride))))
        return x + y if self.adds else y


class MobileTrunk(nn.Module):
    """RGB in 0..1 [B, 3, S, S] -> feature maps [B, 320, S / 32, S / 32]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, 2)
        blocks, channels = [], 32
        for expansion, width, count, stride in BLOCKS:
            for i in range(count):
                blocks.append(Inverted(channels, width, expansion, stride if i == 0 else 1))
                channels = width
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.relu6(self.stem(same(x * 2 - 1, 2)))
        for block in self.blocks:
            x = block(x)
        return x

    def convolutions(self) -> list[nn.Conv2d]:
        """In the order in which they run."""
        return [m for m in self.modules() if isinstance(m, nn.Conv2d)]
