"""The encoder that ships: the bundle's text encoder, and audio and image encoders trained into its space."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from marssep_rt.model import bundle as bundles
from marssep_rt.model.bundle import Bundle
from marssep_rt.query.encoders import AudioEncoder, ImageEncoder, TextEncoder
from marssep_rt.query.image_input import views
from offline_training.data.audio_windows import windows
from offline_training.encoders import mobilenet, pair, yamnet
from offline_training.encoders.audio_image import (
    EncoderShape,
    FrontEnd,
    LogMel,
    TorchAudioEncoder,
    TorchImageEncoder,
)
from offline_training.encoders.base import EncoderError, Images, Sounds, Vectors
from offline_training.encoders.mobilenet import MobileTrunk
from offline_training.encoders.pair import EncoderPair
from offline_training.encoders.text_encoder import Tokens, embed, load_text_encoder, space_of, weights_file
from offline_training.encoders.tflite_weights import load_trunk
from offline_training.models.vectors import mean_vector
from offline_training.utils.checkpoint_io import CheckpointError
from offline_training.utils.precision import half
from offline_training.utils.recipe import read


def encoder_shape(plain: dict[str, Any]) -> EncoderShape:
    """From plain data, as it stands in recipes and checkpoints; raises RecipeError for unknown settings."""
    return read(EncoderShape, plain, "encoders")


def build_encoders(audio: EncoderShape, image: EncoderShape, temperature: float = 0.07) -> EncoderPair:
    """Untrained builtin encoders, convolutions laid out for the CPU."""
    encoders = EncoderPair(TorchAudioEncoder(audio), TorchImageEncoder(image), temperature)
    return encoders.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def with_trunk(encoders: EncoderPair, trunk: Path, size: int = 160) -> EncoderPair:
    """The same audio encoder beside a new image encoder that begins with a pre-trained trunk (marssep train
    trunk); raises CheckpointError.
    """
    assert isinstance(encoders.audio, TorchAudioEncoder)
    image = TorchImageEncoder(EncoderShape(dim=encoders.audio.shape.dim, trunk="mobilenet", size=size))
    assert isinstance(image.trunk, MobileTrunk)
    load_trunk(trunk, mobilenet.NAME, image.trunk)
    made = EncoderPair(encoders.audio, image)
    made.log_scale.data.copy_(encoders.log_scale.data)
    return made.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def describe(encoders: EncoderPair) -> dict[str, Any]:
    """The encoders' shapes as plain data, as checkpoints keep them."""
    assert isinstance(encoders.audio, TorchAudioEncoder)
    assert isinstance(encoders.image, TorchImageEncoder)
    return {"kind": "builtin", "audio": asdict(encoders.audio.shape), "image": asdict(encoders.image.shape)}


def load_encoders(path: Path) -> tuple[EncoderPair, dict[str, Any]]:
    """Encoders of a checkpoint of marssep train align, in eval mode, and its other content; raises
    CheckpointError.
    """
    content = pair.load(path)
    plain = json.loads(content["describe"])
    if plain.get("kind") != "builtin":
        raise CheckpointError(f"{path} holds heads for the encoder {plain.get('kind')}, not builtin encoders")
    encoders = build_encoders(encoder_shape(plain["audio"]), encoder_shape(plain["image"]))
    pair.load_weights(encoders, content)
    return encoders.eval(), content


def left_out_of(path: Path) -> list[str]:
    """Paths of the training items that a checkpoint's encoders have never met (``align --fold``); raises
    CheckpointError.
    """
    return list(json.loads(pair.load(path)["describe"]).get("left_out", []))


def encoders_of(bundle: Bundle) -> EncoderPair:
    """The encoders of a bundle's graphs as torch modules, in eval mode, for going on with their training; as
    exact as int8 weights are.

    Raises:
        CheckpointError: The bundle has no such encoders.
    """
    weights: dict[str, dict[str, Tensor]] = {}
    shapes: dict[str, EncoderShape] = {}
    for kind in ("audio", "image"):
        if not bundle.has(f"{kind}.onnx"):
            raise CheckpointError(f"the bundle {bundle.path} has no {kind} encoder to begin with")
        weights[kind], size = graph_weights(bundle.read(f"{kind}.onnx"))
        try:
            shapes[kind] = shape_of(weights[kind], size if kind == "image" else 64)
        except KeyError as e:
            raise CheckpointError(
                f"the encoders of the bundle {bundle.path} are not marssep's own: they lack {e}"
            ) from e
    encoders = build_encoders(shapes["audio"], shapes["image"])
    for kind, found in weights.items():
        encoder = getattr(encoders, kind)
        own = encoder.state_dict()
        encoder.load_state_dict({k: found.get(k, v).reshape(v.shape) for k, v in own.items()})
    return encoders.eval()


def graph_weights(graph_bytes: bytes) -> tuple[dict[str, Tensor], int]:
    """The weights of an encoder's graph by the names of its module, and the last size of its input.

    Batch norms were folded into the convolutions before them: they come back as the identity and the folded
    bias. Weights of 8 bits come back scaled.
    """
    import onnx
    import onnx.numpy_helper

    graph = onnx.load_from_string(graph_bytes).graph
    stored = {  # bundles of before say "tower."
        t.name.removeprefix("encoder.").removeprefix("tower."): torch.from_numpy(
            onnx.numpy_helper.to_array(t).copy()
        )
        for t in graph.initializer
    }
    found: dict[str, Tensor] = {}
    for name, value in stored.items():
        if name.endswith("_small"):
            whole = name.removesuffix("_small")
            step = stored.get(f"{whole}_step", torch.ones(()))
            found[whole] = value.float() * stored.get(f"{whole}_scale", step)
        elif name.endswith(".weight_bias"):
            conv = name.removesuffix(".weight_bias")
            parent, _, last = conv.rpartition(".")
            norm = f"{parent}.{'norm' if last == 'stem' else last.replace('conv', 'norm')}"
            zero = torch.zeros_like(value)
            found |= {f"{norm}.weight": zero + 1, f"{norm}.bias": value}
            found |= {f"{norm}.running_mean": zero, f"{norm}.running_var": zero + 1 - 1e-5}
        else:
            found[name] = value
    return found, graph.input[0].type.tensor_type.shape.dim[-1].dim_value


def shape_of(weights: dict[str, Tensor], size: int) -> EncoderShape:
    """The shape of the encoder that weights belong to; ``size``: what an image encoder looks at, in pixels.

    Raises:
        KeyError: They belong to none.
    """
    dim = len(weights["head.linear.weight"])
    if "head.deviation" in weights:
        return EncoderShape(dim=dim, trunk=yamnet.NAME)
    if "trunk.blocks.0.depthwise.weight" in weights:
        return EncoderShape(dim=dim, trunk="mobilenet", size=size)
    levels = len({name.split(".")[2] for name in weights if name.startswith("trunk.levels.")})
    outer = (len(weights[f"trunk.levels.{i}.conv1.weight"]) for i in range(levels))
    return EncoderShape(widths=(len(weights["trunk.stem.weight"]), *outer), dim=dim, size=size)


def open_encoders(path: Path | None) -> EncoderPair:
    """Encoders of a checkpoint, or of a bundle (a folder or NAME.marssep; None: the built-in one); raises
    CheckpointError, BundleError.
    """
    if path is None or path.is_dir() or path.suffix == ".marssep":
        return encoders_of(bundles.load(path))
    return load_encoders(path)[0]


class Mels:
    """Windows of one sound -> log-mels [windows, frames, mels]: what the audio encoder takes."""

    def __init__(self, analysis: FrontEnd | None = None) -> None:
        self.analysis = analysis or LogMel()

    @torch.no_grad()
    def __call__(self, pieces: list[np.ndarray]) -> Tensor:
        return self.analysis(torch.from_numpy(np.stack(pieces)))  # type: ignore[no-any-return]


class BuiltinEncoder:
    """Text from a bundle (None: the embedded one) or from a folder of marssep train text; audio and image
    encoders from a checkpoint, or the bundle's own.
    """

    licence = "Apache-2.0; text encoder distilled from all-MiniLM-L6-v2 (Apache-2.0)"

    def __init__(self, encoders: Path | None = None, text: Path | None = None) -> None:
        bundle = None
        if text is not None and weights_file(text) is not None:
            taught = load_text_encoder(text)
            tokens = Tokens(json.loads((text / "tokenizer.json").read_text(encoding="utf-8")))
            self._embed_text: Callable[[list[str]], Vectors] = lambda texts: embed(
                taught, tokens, texts
            ).numpy()
            self.id, self.dim = space_of(text), taught.words.embedding_dim
        else:
            bundle = bundles.load(text)
            encoder = TextEncoder(bundle)
            self._embed_text = lambda texts: np.stack([encoder.embed(t) for t in texts])
            self.id, self.dim = bundle.encoder, bundle.query_dim
        self._one: dict[str, Callable[[Any], Vectors]] = {}
        self.ear: TorchAudioEncoder | None = None
        if encoders is not None:
            loaded = load_encoders(encoders)[0]
            audio, image = loaded.audio, loaded.image
            assert isinstance(audio, TorchAudioEncoder)
            assert isinstance(image, TorchImageEncoder)
            mels = Mels(audio.front_end())
            self.ear = audio
            precision = half()

            def hear(sound: Any) -> Vectors:
                with torch.autocast("cpu", dtype=precision or torch.bfloat16, enabled=precision is not None):
                    return mean_vector(audio(mels(windows(sound))))[0].numpy()  # type: ignore[no-any-return]

            self._one["audio"] = hear
            size = image.shape.size
            self._one["image"] = lambda rgb: mean_vector(image(torch.from_numpy(views(rgb, size))))[0].numpy()
        elif bundle is not None:
            if bundle.has("audio.onnx"):
                listen = AudioEncoder(bundle)
                self._one["audio"] = lambda x: listen.embed_windows(windows(x))
            if bundle.has("image.onnx"):
                self._one["image"] = ImageEncoder(bundle).embed_pixels
        self.modalities: tuple[str, ...] = ("text", *self._one)

    def embed_text(self, texts: list[str]) -> Vectors:
        return self._embed_text(texts)

    def embed_audio(self, sounds: Sounds) -> Vectors:
        return self._each("audio", sounds)

    def embed_image(self, images: Images) -> Vectors:
        return self._each("image", images)

    @torch.no_grad()
    def _each(self, kind: str, items: Sequence[Any]) -> Vectors:
        if kind not in self._one:
            raise EncoderError(
                f"the builtin encoder was opened without {kind} encoder: name a checkpoint of "
                "marssep train align"
            )
        return np.asarray(np.stack([self._one[kind](item) for item in items]), np.float32)
