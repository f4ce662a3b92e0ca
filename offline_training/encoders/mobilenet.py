"""MobileNetV2 (Sandler et al. 2018) as a trunk for the image tower, and its weights out of a TensorFlow Lite file.

1,700 photographs teach a network too little about seeing. The shipped image tower therefore begins with the feature extractor of the SSD
detector that comes with MediaPipe Objectron (Apache-2.0, Google; trained on Open Images) and is then trained into the text space like
the other tower. The file is in the npm package ``@mediapipe/objectron``, inside ``objectron_solution_packed_assets.data``.

Batch norms come folded into the convolutions and stay so.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from offline_training import checkpoint
from offline_training.checkpoint import CheckpointError

# expansion, channels, count and stride of the first of each group (table 2 of the paper)
BLOCKS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
FEATURES = 320
MAGIC = b"TFL3"


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


def read_tflite(content: bytes) -> list[tuple[np.ndarray, np.ndarray]]:
    """(weights, bias) of a TensorFlow Lite model's convolutions in running order, float32, weights [out, height, width, in].

    Raises CheckpointError without the package that reads the format.
    """
    try:
        import tflite
    except ImportError as e:
        raise CheckpointError("reading a TensorFlow Lite model needs one more package: pip install tflite") from e

    model: Any = tflite.Model.GetRootAsModel(content, 0)
    graph = model.Subgraphs(0)
    kinds = {getattr(tflite.BuiltinOperator, name): name for name in ("CONV_2D", "DEPTHWISE_CONV_2D", "DEQUANTIZE")}
    source: dict[int, int] = {}  # half-precision constants reach a convolution through a cast

    def values(index: int) -> np.ndarray:
        tensor = graph.Tensors(source.get(index, index))
        dtype = {tflite.TensorType.FLOAT16: np.float16, tflite.TensorType.FLOAT32: np.float32}[tensor.Type()]
        data = model.Buffers(tensor.Buffer()).DataAsNumpy()
        return np.frombuffer(data.tobytes(), dtype).reshape(tensor.ShapeAsNumpy()).astype(np.float32)

    found = []
    for i in range(graph.OperatorsLength()):
        op = graph.Operators(i)
        code = model.OperatorCodes(op.OpcodeIndex())
        kind = kinds.get(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()))
        if kind == "DEQUANTIZE":
            source[int(op.Outputs(0))] = int(op.Inputs(0))
        elif kind is not None:
            found.append((values(int(op.Inputs(1))), values(int(op.Inputs(2)))))
    return found


def convert(source: Path, output: Path) -> None:
    """Write the MobileNetV2 in ``source`` (a .tflite, or a file that has one inside) as a checkpoint for ``load``.

    Raises CheckpointError where there is none, or its layers are others.
    """
    try:
        content = source.read_bytes()
    except OSError as e:
        raise CheckpointError(f"cannot read {source}: {e.strerror}") from e
    at = content.find(MAGIC) - 4
    if at < 0:
        raise CheckpointError(f"{source} has no TensorFlow Lite model in it")
    trunk = MobileTrunk()
    found = iter(read_tflite(content[at:]))
    with torch.no_grad():
        for number, convolution in enumerate(trunk.convolutions()):
            # depthwise weights come as [1, height, width, channels], the others as [out, height, width, in]
            order = (3, 0, 1, 2) if convolution.groups > 1 else (0, 3, 1, 2)
            for weights, bias in found:  # noqa: B007 - what does not fit belongs to a branch: a detector's predictors run in between
                if tuple(weights.shape[i] for i in order) == tuple(convolution.weight.shape):
                    break
            else:
                raise CheckpointError(f"the model in {source} is no MobileNetV2: nothing fits its convolution {number + 1}")
            convolution.weight.copy_(torch.from_numpy(np.ascontiguousarray(weights.transpose(order))))
            convolution.bias.copy_(torch.from_numpy(bias))  # type: ignore[union-attr]
    checkpoint.save(output, {"kind": "trunk", "weights": checkpoint.slim(trunk.state_dict())})


def load(trunk: MobileTrunk, path: Path) -> None:
    """Weights written by ``convert`` into a trunk; raises CheckpointError."""
    content = checkpoint.read(path, f"there is no trunk at {path}; make one with: marssep-train trunk FILE.tflite -o {path}")
    if not isinstance(content, dict) or content.get("kind") != "trunk":
        raise CheckpointError(f"{path} holds no trunk of marssep-train trunk")
    checkpoint.load_weights(trunk, content["weights"], "trunk")
