"""The audio and image encoders as ``audio.onnx`` and ``image.onnx``, with int8 weights."""

from __future__ import annotations

import copy

import numpy as np
import numpy.typing as npt
import onnx
import onnx.numpy_helper
import onnxruntime as ort
import torch
from torch import Tensor, nn
from torch.export import Dim

from export.onnx.graph import strip, to_onnx
from export.onnx.quantise import compact, small_weights
from export.onnx.verify import Check, ContractError
from offline_training.alignment.data import image_size
from offline_training.encoders.audio_image import TorchAudioEncoder
from offline_training.encoders.pair import EncoderPair
from offline_training.models.stft import SpectralConfig

Array = npt.NDArray[np.float32]
LEAST_COSINE = 0.995  # between an encoder's vectors in torch and in its int8 graph


class AudioGraph(nn.Module):
    """Mono audio [B, T] at 48 kHz, T a multiple of 480 -> unit vectors [B, D]."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        assert isinstance(encoder, TorchAudioEncoder)
        self.analysis = encoder.front_end()
        self.encoder = encoder

    def forward(self, audio: Tensor) -> Tensor:
        return self.encoder(self.analysis(audio))  # type: ignore[no-any-return]


def _finish(model: onnx.ModelProto) -> bytes:
    small_weights(model)
    compact(model)
    strip(model)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def export_audio(encoders: EncoderPair) -> bytes:
    """``audio.onnx``; log-mels inside, B and T dynamic."""
    graph = AudioGraph(copy.deepcopy(encoders.audio).to(memory_format=torch.contiguous_format)).eval()  # type: ignore[call-overload]
    hop = SpectralConfig().hop
    hops = Dim("n", min=50, max=4096)
    model = to_onnx(
        graph,
        (torch.zeros(3, 130 * hop),),
        ["audio"],
        ["embedding"],
        ({0: Dim("B", min=1, max=256), 1: hop * hops},),
    )
    return _finish(model)


def export_image(encoders: EncoderPair) -> bytes:
    """``image.onnx``; B dynamic, as many pixels as the encoder looks at."""
    assert encoders.image is not None
    size = image_size(encoders)
    graph = copy.deepcopy(encoders.image).to(memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
    model = to_onnx(
        graph, (torch.zeros(3, 3, size, size),), ["image"], ["embedding"], ({0: Dim("B", min=1, max=256)},)
    )
    return _finish(model)


@torch.no_grad()
def prove_encoders(encoders: EncoderPair, audio: bytes, image: bytes, seed: int = 1) -> list[Check]:
    """Compare both graphs with torch on random inputs of several sizes.

    Raises:
        ContractError: A vector differs by more than int8 weights explain.
    """
    rng = np.random.default_rng(seed)
    encoders = encoders.eval()
    size = image_size(encoders)
    checks = []
    listen = AudioGraph(encoders.audio).eval()
    for name, content, module, shapes in (
        ("audio", audio, listen, [(1, 480 * 100), (2, 480 * 400), (3, 480 * 157)]),
        ("image", image, encoders.image, [(1, 3, size, size), (4, 3, size, size)]),
    ):
        assert module is not None
        session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
        for shape in shapes:
            x = rng.random(shape).astype(np.float32) * (np.linspace(0, 1, shape[-1], dtype=np.float32) ** 2)
            (found,) = session.run(["embedding"], {name: x})
            cosine = float((found * module(torch.from_numpy(x)).numpy()).sum(1).min())
            lengths = np.linalg.norm(found, axis=1)
            if not cosine >= LEAST_COSINE or not np.allclose(lengths, 1, atol=1e-4):
                raise ContractError(
                    f"{name}.onnx {list(shape)}: cosine {cosine:.4f} to the torch encoder, lengths {lengths}"
                )
            checks.append(Check(f"{name}.onnx {list(shape)} = torch encoder, 1 - cosine", 1 - cosine))
    return checks
