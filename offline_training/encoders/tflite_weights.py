"""Pre-trained trunks out of TensorFlow Lite files: reading the constants, filling a torch trunk, keeping it
as a checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from offline_training.utils import checkpoint_io
from offline_training.utils.checkpoint_io import CheckpointError

MAGIC = b"TFL3"
KINDS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "DEQUANTIZE")


@dataclass(frozen=True)
class Layer:
    """A convolution's or linear map's constants in running order, float32.

    ``weights``: [out, height, width, in] of convolutions, [1, height, width, channels] of depthwise ones,
    [out, in] of linear maps.
    """

    kind: str
    weights: np.ndarray
    bias: np.ndarray | None


def read_tflite(content: bytes) -> list[Layer]:
    """Layers of a TensorFlow Lite model with constant weights; half-precision and int8 weights come as the
    numbers that they stand for.

    Raises CheckpointError without the package that reads the format.
    """
    try:
        import tflite
    except ImportError as e:
        raise CheckpointError(
            "reading a TensorFlow Lite model needs one more package: pip install tflite"
        ) from e

    model: Any = tflite.Model.GetRootAsModel(content, 0)
    graph = model.Subgraphs(0)
    kinds = {getattr(tflite.BuiltinOperator, name): name for name in KINDS}
    dtypes = {
        tflite.TensorType.FLOAT16: np.float16,
        tflite.TensorType.FLOAT32: np.float32,
        tflite.TensorType.INT8: np.int8,
    }
    source: dict[int, int] = {}  # constants of few bits reach a layer through a cast

    def values(index: int) -> np.ndarray | None:
        if index < 0:
            return None
        tensor = graph.Tensors(source.get(index, index))
        data = model.Buffers(tensor.Buffer()).DataAsNumpy()
        if isinstance(data, int):
            return None  # computed, not a constant
        stored = np.frombuffer(data.tobytes(), dtypes[tensor.Type()]).reshape(tensor.ShapeAsNumpy())
        if stored.dtype != np.int8:
            return stored.astype(np.float32)
        quantised, shape = tensor.Quantization(), [1] * stored.ndim
        if quantised.ScaleLength() > 1:
            shape[quantised.QuantizedDimension()] = quantised.ScaleLength()
        zero, scale = (
            np.asarray(x, np.float32).reshape(shape)
            for x in (quantised.ZeroPointAsNumpy(), quantised.ScaleAsNumpy())
        )
        return (stored.astype(np.float32) - zero) * scale

    found = []
    for i in range(graph.OperatorsLength()):
        op = graph.Operators(i)
        code = model.OperatorCodes(op.OpcodeIndex())
        kind = kinds.get(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()))
        if kind == "DEQUANTIZE":
            source[int(op.Outputs(0))] = int(op.Inputs(0))
        elif kind is not None:
            weights = values(int(op.Inputs(1)))
            if weights is not None:
                found.append(
                    Layer(kind, weights, values(int(op.Inputs(2))) if op.InputsLength() > 2 else None)
                )
    return found


def read_layers(source: Path) -> list[Layer]:
    """Layers of the TensorFlow Lite model in ``source``: a .tflite, or a file that has one inside. Raises
    CheckpointError.
    """
    try:
        content = source.read_bytes()
    except OSError as e:
        raise CheckpointError(f"cannot read {source}: {e.strerror}") from e
    at = content.find(MAGIC) - 4
    if at < 0:
        raise CheckpointError(f"{source} has no TensorFlow Lite model in it")
    try:
        return read_tflite(content[at:])
    except CheckpointError:
        raise
    except Exception as e:  # the reader trusts its input: a damaged file can raise anything
        raise CheckpointError(f"the TensorFlow Lite model in {source} is damaged ({type(e).__name__})") from e


def fill(convolutions: list[nn.Conv2d], layers: list[Layer]) -> int:
    """Copy constants into convolutions, both in running order; what fits nowhere belongs to a branch and is
    passed over.

    Returns how many convolutions were filled: all of them where the model is of that kind.
    """
    found = (layer for layer in layers if layer.kind != "FULLY_CONNECTED")
    with torch.no_grad():
        for number, convolution in enumerate(convolutions):
            order = (3, 0, 1, 2) if convolution.groups > 1 else (0, 3, 1, 2)
            for layer in found:
                if (
                    tuple(layer.weights.shape[i] for i in order) == tuple(convolution.weight.shape)
                    and layer.bias is not None
                ):
                    break
            else:
                return number
            convolution.weight.copy_(torch.from_numpy(np.ascontiguousarray(layer.weights.transpose(order))))
            assert convolution.bias is not None
            convolution.bias.copy_(torch.from_numpy(layer.bias))
    return len(convolutions)


def save_trunk(path: Path, name: str, trunk: nn.Module, **more: Tensor) -> None:
    """A trunk as a checkpoint in half precision; ``more``: tensors that go with it."""
    checkpoint_io.save(
        path,
        {
            "kind": "trunk",
            "name": name,
            "weights": checkpoint_io.slim(trunk.state_dict()),
            **checkpoint_io.slim(more),
        },
    )


def load_trunk(path: Path, name: str, trunk: nn.Module) -> dict[str, Any]:
    """Weights of ``save_trunk`` into a trunk; returns the file's content. Raises CheckpointError, also for a
    trunk of another name.
    """
    content = checkpoint_io.read(
        path, f"there is no trunk at {path}; make one with: marssep train trunk FILE.tflite -o {path}"
    )
    if not isinstance(content, dict) or content.get("kind") != "trunk":
        raise CheckpointError(f"{path} holds no trunk of marssep train trunk")
    if (found := content.get("name", "mobilenet")) != name:
        raise CheckpointError(f"{path} holds the trunk {found}; {name} is needed here")
    checkpoint_io.load_weights(trunk, content["weights"], "trunk")
    return content
