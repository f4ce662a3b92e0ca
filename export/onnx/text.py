"""The text encoder as ``text.onnx``: int8 weights, activations quantised on the fly."""

from __future__ import annotations

import copy
import logging
import tempfile
from pathlib import Path

import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import Tensor, nn
from torch.export import Dim

from export.onnx.graph import strip, to_onnx
from offline_training.encoders.text_encoder import MOST_TOKENS, TorchTextEncoder


class SmallWords(nn.Module):
    """Word vectors in int8, each with its own scale; indexed like an embedding's weight."""

    scale: Tensor
    small: Tensor

    def __init__(self, words: nn.Embedding) -> None:
        super().__init__()
        scale = words.weight.detach().abs().amax(1, keepdim=True) / 127
        self.register_buffer("scale", scale)
        self.register_buffer("small", (words.weight.detach() / scale).round().to(torch.int8))

    @property
    def weight(self) -> SmallWords:
        return self

    def __getitem__(self, ids: Tensor) -> Tensor:
        return self.small[ids].float() * self.scale[ids]


def export_text(encoder: TorchTextEncoder) -> bytes:
    """Serialised ONNX model (input_ids, attention_mask int64 [B, L]) -> embedding float32 [B, D]."""
    encoder = copy.deepcopy(encoder).eval()
    encoder.words = SmallWords(encoder.words)  # type: ignore[assignment]
    batch, length = Dim("B", min=1, max=256), Dim("L", min=2, max=MOST_TOKENS)
    example = (torch.ones(2, 7, dtype=torch.int64), torch.ones(2, 7, dtype=torch.int64))
    model = to_onnx(
        encoder,
        example,
        ["input_ids", "attention_mask"],
        ["embedding"],
        ({0: batch, 1: length}, {0: batch, 1: length}),
    )
    logging.getLogger().setLevel(logging.ERROR)  # the quantiser's advice is not for users
    with tempfile.TemporaryDirectory() as folder:
        plain, small = Path(folder) / "plain.onnx", Path(folder) / "small.onnx"
        onnx.save(model, plain)
        quantize_dynamic(
            plain,
            small,
            per_channel=True,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["MatMul", "Gemm"],
        )
        model = onnx.load(small)
    strip(model)
    onnx.checker.check_model(model)
    return model.SerializeToString()
