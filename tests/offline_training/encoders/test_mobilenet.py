"""The image encoder's pre-trained trunk: its arithmetic against plain loops, and its weights out of a
TensorFlow Lite file.
"""

import json

import flatbuffers
import numpy as np
import pytest
import tflite
import torch

from export.onnx.audio_image import export_audio, export_image, prove_encoders
from marssep_rt.model import bundle as bundles
from offline_training.encoders.audio_image import EncoderShape
from offline_training.encoders.builtin import build_encoders, describe, encoders_of, load_encoders, with_trunk
from offline_training.encoders.mobilenet import FEATURES, NAME, Inverted, MobileTrunk, same
from offline_training.encoders.tflite_weights import load_trunk
from offline_training.encoders.trunks import convert
from offline_training.utils.checkpoint_io import CheckpointError


@pytest.fixture(scope="module")
def trunk():
    torch.manual_seed(3)
    made = MobileTrunk().eval()
    with torch.no_grad():
        for convolution in made.convolutions():
            convolution.weight.copy_(convolution.weight.half())  # what the file can hold
            convolution.bias.copy_((torch.randn_like(convolution.bias) * 0.1).half())
    return made


class TfliteWriter:
    """A TensorFlow Lite model in the making: constants, and operators that all read and write tensor 0."""

    CODES = (
        tflite.BuiltinOperator.CONV_2D,
        tflite.BuiltinOperator.DEPTHWISE_CONV_2D,
        tflite.BuiltinOperator.DEQUANTIZE,
    )

    def __init__(self, halves):
        """``halves``: constants are float16 behind a DEQUANTIZE."""
        self.halves, self.builder = halves, flatbuffers.Builder(0)
        self.buffers, self.tensors, self.operators = [b""], [], []

    def tensor(self, values):
        self.buffers.append(values.tobytes())
        kind = tflite.TensorType.FLOAT16 if values.dtype == np.float16 else tflite.TensorType.FLOAT32
        self.tensors.append((values.shape, kind, len(self.buffers) - 1))
        return len(self.tensors) - 1

    def constant(self, values):
        if not self.halves:
            return self.tensor(values.astype(np.float32))
        packed = self.tensor(values.astype(np.float16))
        self.tensors.append((values.shape, tflite.TensorType.FLOAT32, 0))
        self.operators.append((2, [packed], [len(self.tensors) - 1]))
        return len(self.tensors) - 1

    def convolution(self, weights, bias, depthwise):
        self.operators.append((int(depthwise), [0, self.constant(weights), self.constant(bias)], [0]))

    def content(self):
        """The file."""
        builder = self.builder
        buffers = self._vector(tflite.ModelStartBuffersVector, self._buffers())
        tensors = self._vector(tflite.SubGraphStartTensorsVector, self._tensors())
        operators = self._vector(tflite.SubGraphStartOperatorsVector, self._operators())
        tflite.SubGraphStart(builder)
        tflite.SubGraphAddTensors(builder, tensors)
        tflite.SubGraphAddOperators(builder, operators)
        graphs = self._vector(tflite.ModelStartSubgraphsVector, [tflite.SubGraphEnd(builder)])
        codes = self._vector(tflite.ModelStartOperatorCodesVector, self._codes())
        tflite.ModelStart(builder)
        tflite.ModelAddVersion(builder, 3)
        tflite.ModelAddOperatorCodes(builder, codes)
        tflite.ModelAddSubgraphs(builder, graphs)
        tflite.ModelAddBuffers(builder, buffers)
        builder.Finish(tflite.ModelEnd(builder), b"TFL3")
        return bytes(builder.Output())

    def _vector(self, start, items):
        start(self.builder, len(items))
        for item in reversed(items):
            self.builder.PrependUOffsetTRelative(item)
        return self.builder.EndVector()

    def _buffers(self):
        made = []
        for content in self.buffers:
            data = self.builder.CreateByteVector(content) if content else None
            tflite.BufferStart(self.builder)
            if data is not None:
                tflite.BufferAddData(self.builder, data)
            made.append(tflite.BufferEnd(self.builder))
        return made

    def _tensors(self):
        made = []
        for shape, kind, buffer in self.tensors:
            shaped = self.builder.CreateNumpyVector(np.array(shape, np.int32))
            tflite.TensorStart(self.builder)
            tflite.TensorAddShape(self.builder, shaped)
            tflite.TensorAddType(self.builder, kind)
            tflite.TensorAddBuffer(self.builder, buffer)
            made.append(tflite.TensorEnd(self.builder))
        return made

    def _operators(self):
        made = []
        for code, inputs, outputs in self.operators:
            put = [self.builder.CreateNumpyVector(np.array(x, np.int32)) for x in (inputs, outputs)]
            tflite.OperatorStart(self.builder)
            tflite.OperatorAddOpcodeIndex(self.builder, code)
            tflite.OperatorAddInputs(self.builder, put[0])
            tflite.OperatorAddOutputs(self.builder, put[1])
            made.append(tflite.OperatorEnd(self.builder))
        return made

    def _codes(self):
        made = []
        for code in self.CODES:
            tflite.OperatorCodeStart(self.builder)
            tflite.OperatorCodeAddBuiltinCode(self.builder, code)
            tflite.OperatorCodeAddDeprecatedBuiltinCode(self.builder, code)
            made.append(tflite.OperatorCodeEnd(self.builder))
        return made


def write_tflite(convolutions, halves, predictor=True):
    """A TensorFlow Lite model with these (weights [out, in, h, w], bias, groups), some as float16 behind a
    DEQUANTIZE.
    """
    model = TfliteWriter(halves)
    for i, (weights, bias, groups) in enumerate(convolutions):
        if predictor and i == 20:  # a branch that no trunk has
            model.convolution(np.zeros((7, 1, 1, 5)), np.zeros(7), depthwise=False)
        laid = weights.transpose(1, 2, 3, 0) if groups > 1 else weights.transpose(0, 2, 3, 1)
        model.convolution(laid, bias, depthwise=groups > 1)
    return model.content()


def layers(trunk):
    return [(c.weight.detach().numpy(), c.bias.detach().numpy(), c.groups) for c in trunk.convolutions()]


@pytest.mark.parametrize("halves", [False, True])
def test_a_trunk_comes_back_out_of_a_file_with_a_model_inside(trunk, tmp_path, halves):
    (tmp_path / "packed.data").write_bytes(
        b"something before it" * 5 + write_tflite(layers(trunk), halves) + b"and after"
    )
    convert(tmp_path / "packed.data", tmp_path / "trunk.pt")
    again = MobileTrunk().eval()
    load_trunk(tmp_path / "trunk.pt", NAME, again)
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(again(x), trunk(x), rtol=0.02, atol=1e-3)
    assert trunk(x).shape == (2, FEATURES, 2, 2)


def test_what_is_no_such_model(trunk, tmp_path):
    (tmp_path / "short.tflite").write_bytes(write_tflite(layers(trunk)[:-1], False))
    with pytest.raises(CheckpointError, match="neither YAMNet nor MobileNetV2"):
        convert(tmp_path / "short.tflite", tmp_path / "trunk.pt")
    (tmp_path / "text").write_bytes(b"not a model")
    with pytest.raises(CheckpointError, match="no TensorFlow Lite model"):
        convert(tmp_path / "text", tmp_path / "trunk.pt")
    with pytest.raises(CheckpointError, match="cannot read"):
        convert(tmp_path / "missing", tmp_path / "trunk.pt")
    assert not (tmp_path / "trunk.pt").exists()
    torch.save({"kind": "encoders"}, tmp_path / "encoders.pt")
    with pytest.raises(CheckpointError, match="holds no trunk"):
        load_trunk(tmp_path / "encoders.pt", NAME, MobileTrunk())


def test_padding_is_tensorflows():
    """Output i of a stride-two kernel begins at 2 i with an even side (padded behind) and at 2 i - 1 with an
    odd one.
    """
    kernel = torch.tensor([1.0, 10.0, 100.0]).repeat(1, 1, 3, 1) * torch.tensor([0.0, 1.0, 0.0])[:, None]
    row = torch.arange(1.0, 7)
    even = torch.nn.functional.conv2d(same(row.repeat(6, 1)[None, None], 2), kernel, stride=2)[0, 0, 0]
    assert even.tolist() == [321.0, 543.0, 65.0]
    odd = torch.nn.functional.conv2d(same(row[:5].repeat(5, 1)[None, None], 2), kernel, stride=2)[0, 0, 0]
    assert odd.tolist() == [210.0, 432.0, 54.0]


def test_only_equal_shapes_are_added_back():
    assert Inverted(8, 8, 6, 1).adds
    assert not Inverted(8, 8, 6, 2).adds
    assert not Inverted(8, 12, 6, 1).adds
    assert Inverted(8, 8, 1, 1).expand is None


def test_an_encoder_on_a_trunk_trains_exports_and_comes_back(trunk, tmp_path, bundle):
    torch.manual_seed(0)
    torch.save({"kind": "trunk", "weights": trunk.state_dict()}, tmp_path / "trunk.pt")
    begun = build_encoders(EncoderShape(widths=(8, 16, 24), dim=384), EncoderShape(dim=384))
    encoders = with_trunk(begun, tmp_path / "trunk.pt", size=64).eval()
    assert encoders.audio is begun.audio
    torch.save(
        {"kind": "encoders", "describe": json.dumps(describe(encoders)), "weights": encoders.state_dict()},
        tmp_path / "t.pt",
    )
    again, _ = load_encoders(tmp_path / "t.pt")
    graphs = export_audio(encoders), export_image(encoders)
    assert max(c.difference for c in prove_encoders(again, *graphs)) < 5e-3
    bundles.write(
        tmp_path / "b",
        {k: bundle.card[k] for k in ("name", "encoder", "query_dim")},
        {"audio.onnx": graphs[0], "image.onnx": graphs[1]},
    )
    back = encoders_of(bundles.load(tmp_path / "b"))
    assert back.image.shape.size == 64
    rgb = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert (back.image(rgb) * encoders.image(rgb)).sum(1).min() > 0.995


def test_an_unknown_trunk_is_refused():
    with pytest.raises(ValueError, match="resnet"):
        EncoderShape(trunk="resnet")
