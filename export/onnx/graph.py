"""The streaming graph as ONNX: standard operators, no control flow, dynamic streams, channels and hops."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import torch
from torch import Tensor, nn
from torch.export import Dim

from export.onnx.quantise import compact
from export.onnx.streaming_module import StreamingGraph
from marssep_rt.contract import FORMATS

OPSET = 18


def to_onnx(
    module: nn.Module,
    inputs: tuple[Tensor, ...],
    input_names: list[str],
    output_names: list[str],
    dynamic: Any,
) -> onnx.ModelProto:
    """The exporter, quiet, with nothing of this machine left in its result."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            inputs,
            input_names=input_names,
            output_names=output_names,
            dynamic_shapes=dynamic,
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    model: onnx.ModelProto = program.model_proto  # every access makes a new one
    strip(model)
    return model


def export_graph(graph: StreamingGraph, metadata: dict[str, Any]) -> bytes:
    """Serialised ONNX model with the property ``marssep``."""
    spectral = graph.model.config.spectral
    streams, channels, hops = Dim("B", min=1, max=64), Dim("C", min=1, max=2), Dim("n", min=1, max=4096)
    audio = torch.zeros(3, 2, 5 * spectral.hop)
    state = graph.zeros(3, 2)
    state_dims: list[dict[int, Any]] = [
        {i: {"B": streams, "C": channels}[d] for i, d in enumerate(shape) if isinstance(d, str)}
        for shape in graph.shapes.values()
    ]
    inputs: tuple[torch.Tensor, ...] = (audio, *state)
    dims: list[dict[int, Any]] = [{0: streams, 1: channels, 2: spectral.hop * hops}]
    names = ["audio"]
    for name in graph.vectors:
        inputs = (*inputs[: len(names)], torch.zeros(3, graph.model.config.unet.query_dim), *state)
        dims.append({0: streams})
        names.append(name)
    for name in graph.mixing:
        inputs = (*inputs[: len(names)], torch.zeros(3, 3), *state)
        dims.append({0: streams, 1: streams})
        names.append(name)
    model = to_onnx(
        graph,
        inputs,
        [*names, *graph.names],
        ["target", *(f"{name}_next" for name in graph.names)],
        (dims[0], (*dims[1:], *state_dims)),
    )
    compact(model)
    # an input with an initializer may be left out: every stream then has the mask of its own query
    nothing = np.zeros((1, 1), np.float32)
    model.graph.initializer.extend(onnx.numpy_helper.from_array(nothing, name) for name in graph.mixing)
    entry = model.metadata_props.add()
    mixing = {"mixing": graph.mixing} if graph.mixing else {}
    entry.key, entry.value = FORMATS.metadata_key, json.dumps(metadata | mixing)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def strip(model: onnx.ModelProto) -> None:
    """Drop what the exporter noted about Python sources: paths of a machine have no place in a model."""
    model.doc_string = ""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    model.graph.doc_string = ""
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for value in [*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer]:
        value.doc_string = ""
        if hasattr(value, "metadata_props"):
            del value.metadata_props[:]
    del model.graph.value_info[:]
    for function in model.functions:
        function.doc_string = ""
