"""The encoder that ships: the bundle's text tower, and the audio and image towers trained into its space."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from marssep_rt import bundle as bundles
from marssep_rt.encoders import AudioEncoder, ImageEncoder, TextEncoder
from marssep_rt.example_image import views
from offline_training import alignment
from offline_training.alignment import Towers
from offline_training.checkpoint import CheckpointError
from offline_training.encoders.base import EncoderError, Images, Sounds, Vectors
from offline_training.encoders.towers import AudioTower, ImageTower, LogMel, TowerShape
from offline_training.mel_bank import MELS
from offline_training.semantics import mean_vector, windows
from offline_training.text_tower import TEXT_ID, Tokens, embed, load_tower

IMAGE_SIZE = 64


def tower_shape(plain: dict[str, Any]) -> TowerShape:
    """From plain data, as it stands in recipes and checkpoints; raises TypeError for unknown settings."""
    settings: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in plain.items()}
    return TowerShape(**settings)


def build_towers(audio: TowerShape, image: TowerShape, temperature: float = 0.07) -> Towers:
    """Untrained builtin towers, convolutions laid out for the CPU."""
    towers = Towers(AudioTower(audio), ImageTower(image), temperature)
    return towers.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def describe(towers: Towers) -> dict[str, Any]:
    """The towers' shapes as plain data, as checkpoints keep them."""
    assert isinstance(towers.audio, AudioTower)
    assert isinstance(towers.image, ImageTower)
    return {"kind": "builtin", "audio": asdict(towers.audio.shape), "image": asdict(towers.image.shape)}


def load_towers(path: Path) -> tuple[Towers, dict[str, Any]]:
    """Towers of a checkpoint of marssep-train align, in eval mode, and its other content; raises CheckpointError."""
    content = alignment.load(path)
    plain = json.loads(content["describe"])
    if plain.get("kind") != "builtin":
        raise CheckpointError(f"{path} holds heads for the encoder {plain.get('kind')}, not builtin towers")
    towers = build_towers(tower_shape(plain["audio"]), tower_shape(plain["image"]))
    alignment.load_weights(towers, content)
    return towers.eval(), content


class Mels:
    """Windows of one sound -> log-mels [windows, frames, mels]: what the audio tower takes."""

    def __init__(self) -> None:
        self.analysis = LogMel(MELS)

    @torch.no_grad()
    def __call__(self, pieces: list[np.ndarray]) -> Tensor:
        return self.analysis(torch.from_numpy(np.stack(pieces)))  # type: ignore[no-any-return]


class BuiltinEncoder:
    """Text from a bundle (None: the embedded one) or from a folder of marssep-train text; audio and image towers from a checkpoint, or
    the bundle's own."""

    licence = "Apache-2.0; text tower distilled from all-MiniLM-L6-v2 (Apache-2.0)"

    def __init__(self, towers: Path | None = None, text: Path | None = None) -> None:
        bundle = None
        if text is not None and (text / "tower.pt").exists():
            tower, tokens = load_tower(text), Tokens(json.loads((text / "tokenizer.json").read_text(encoding="utf-8")))
            self._embed_text: Callable[[list[str]], Vectors] = lambda texts: embed(tower, tokens, texts).numpy()
            self.id, self.dim = TEXT_ID, tower.words.embedding_dim
        else:
            bundle = bundles.load(text)
            encoder = TextEncoder(bundle)
            self._embed_text = lambda texts: np.stack([encoder.embed(t) for t in texts])
            self.id, self.dim = bundle.encoder, bundle.query_dim
        self._one: dict[str, Callable[[Any], Vectors]] = {}
        if towers is not None:
            loaded, mels = load_towers(towers)[0], Mels()
            image = loaded.image
            assert image is not None
            self._one["audio"] = lambda x: mean_vector(loaded.audio(mels(windows(x))))[0].numpy()
            self._one["image"] = lambda rgb: mean_vector(image(torch.from_numpy(views(rgb, IMAGE_SIZE))))[0].numpy()
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
            raise EncoderError(f"the builtin encoder was opened without {kind} tower: name a checkpoint of marssep-train align")
        return np.asarray(np.stack([self._one[kind](item) for item in items]), np.float32)
