"""Smaller ONNX files: exact constants in 8 or 16 bits, and int8 weights with a scale per output channel."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.numpy_helper


def compact(model: onnx.ModelProto, least: int = 10_000) -> None:
    """Store large constants in 8 bits (as n / 128) or 16 bits if that is exact."""
    for tensor in model.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT:
            continue
        values, name = onnx.numpy_helper.to_array(tensor), tensor.name
        if values.size < least:
            continue
        if np.array_equal(np.clip(np.round(values * 128), 0, 255) / 128, values):
            small, scaled = (values * 128).astype(np.uint8), f"{name}_scaled"
            model.graph.initializer.append(
                onnx.numpy_helper.from_array(np.array(1 / 128, np.float32), f"{name}_step")
            )
            model.graph.node.insert(
                0, onnx.helper.make_node("Mul", [scaled, f"{name}_step"], [name], name=f"unscale_{name}")
            )
        elif np.array_equal(values.astype(np.float16).astype(np.float32), values):
            small, scaled = values.astype(np.float16), name
        else:
            continue
        tensor.CopyFrom(onnx.numpy_helper.from_array(small, f"{name}_small"))
        cast = onnx.helper.make_node(
            "Cast", [f"{name}_small"], [scaled], name=f"cast_{name}", to=onnx.TensorProto.FLOAT
        )
        model.graph.node.insert(0, cast)


def small_weights(model: onnx.ModelProto, least: int = 1_000) -> None:
    """Store weights of convolutions and linear maps as int8 with a scale for each output channel."""
    used = {
        i: node for node in model.graph.node for i in node.input if node.op_type in ("Conv", "Gemm", "MatMul")
    }
    for tensor in list(model.graph.initializer):
        if tensor.data_type != onnx.TensorProto.FLOAT or tensor.name not in used:
            continue
        values, name = onnx.numpy_helper.to_array(tensor), tensor.name
        node = used[name]
        trained = node.op_type == "Conv" or values.ndim == 2
        if values.size < least or not trained or name not in (node.input[1],):
            continue
        first = node.op_type == "Conv" or any(a.name == "transB" and a.i for a in node.attribute)
        axes = tuple(range(1, values.ndim)) if first else tuple(range(values.ndim - 1))
        scale = np.maximum(np.abs(values).max(axis=axes, keepdims=True), 1e-12).astype(np.float32) / 127
        if node.op_type != "Conv" and np.array_equal(values.astype(np.float16).astype(np.float32), values):
            continue  # a constant of the transform, which compact() keeps exactly
        tensor.CopyFrom(
            onnx.numpy_helper.from_array(np.round(values / scale).astype(np.int8), f"{name}_small")
        )
        model.graph.initializer.append(onnx.numpy_helper.from_array(scale, f"{name}_scale"))
        model.graph.node.insert(
            0, onnx.helper.make_node("Mul", [f"{name}_float", f"{name}_scale"], [name], name=f"scale_{name}")
        )
        model.graph.node.insert(
            0,
            onnx.helper.make_node(
                "Cast", [f"{name}_small"], [f"{name}_float"], name=f"cast_{name}", to=onnx.TensorProto.FLOAT
            ),
        )
