"""A bundle's encoders: text, an audio file or an image in, a unit vector out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from marssep_rt.arrays import Array
from marssep_rt.contract import QUERY
from marssep_rt.errors import QueryError
from marssep_rt.model import bundle as bundles
from marssep_rt.model.bundle import Bundle
from marssep_rt.model.providers import open_session
from marssep_rt.query.audio_input import LEAST_SECONDS, read_windows
from marssep_rt.query.image_input import read_image, views
from marssep_rt.utils.vectors import unit_vector

LONGEST_TEXT = QUERY.longest_text


def check_text(text: str) -> str:
    """The text without outer white space; raises QueryError where there is nothing to look up."""
    text = " ".join(text.split())
    if not any(c.isalnum() for c in text):
        raise QueryError("the query is empty; say what to hear, such as “dog barking”")
    if len(text) > LONGEST_TEXT:
        raise QueryError(
            f"the query has {len(text)} characters; keep it under {LONGEST_TEXT}, a few words work best"
        )
    return text


def _need(bundle: Bundle, file: str, kind: str, instead: str) -> bytes:
    if not bundle.has(file):
        raise QueryError(
            f"the bundle {bundle.name} (encoder {bundle.encoder}) has no {kind} encoder; {instead}"
        )
    return bundle.read(file)


class TextEncoder:
    """The bundle's text encoder: ``text.onnx`` and ``tokenizer.json``."""

    def __init__(self, bundle: Bundle) -> None:
        from tokenizers import Tokenizer  # a third of a second to import: only when text is asked for

        self.session, _ = open_session(
            _need(bundle, "text.onnx", "text", "ask with --query-file FILE.query"), "cpu"
        )
        self.tokenizer = Tokenizer.from_str(bundle.read("tokenizer.json").decode())
        self.encoder = bundle.encoder

    def embed(self, text: str) -> Array:
        """Unit vector float32 [D]; raises QueryError for empty or overlong text."""
        text = check_text(text)
        ids = np.array([self.tokenizer.encode(text).ids], np.int64)
        (vectors,) = self.session.run(["embedding"], {"input_ids": ids, "attention_mask": np.ones_like(ids)})
        return unit_vector(np.asarray(vectors)[0])


class AudioEncoder:
    """The bundle's audio encoder, ``audio.onnx``: mono float32 [B, T], T a multiple of its hop."""

    def __init__(self, bundle: Bundle) -> None:
        self.session, _ = open_session(
            _need(bundle, "audio.onnx", "audio", "ask with words: --query TEXT"), "cpu"
        )
        card = bundle.card["audio"]
        self.sample_rate, self.hop = int(card["sample_rate"]), int(card["hop"])

    def embed_windows(self, windows: Sequence[Array]) -> Array:
        """The normalised mean of the windows' vectors; windows are equally long.

        Silence follows windows under a second: encoders may hear nothing in less.
        """
        audio = np.stack(windows)
        short = max(0, LEAST_SECONDS * self.sample_rate - audio.shape[1])
        (vectors,) = self.session.run(["embedding"], {"audio": np.pad(audio, ((0, 0), (0, short)))})
        return unit_vector(np.asarray(vectors).mean(axis=0))

    def embed(self, path: Path | str) -> Array:
        """Unit vector float32 [D] of an audio file; raises SoundError for what cannot be used."""
        return self.embed_windows(read_windows(path, self.sample_rate, self.hop))


class ImageEncoder:
    """The bundle's image encoder, ``image.onnx``: RGB 0..1 float32 [B, 3, S, S]."""

    def __init__(self, bundle: Bundle) -> None:
        self.session, _ = open_session(
            _need(bundle, "image.onnx", "image", "ask with words: --query TEXT"), "cpu"
        )
        self.size = int(self.session.get_inputs()[0].shape[-1])

    def embed_pixels(self, rgb: npt.NDArray[np.uint8]) -> Array:
        """Unit vector float32 [D] of RGB uint8 [H, W, 3]."""
        (vectors,) = self.session.run(["embedding"], {"image": views(rgb, self.size)})
        return unit_vector(np.asarray(vectors).mean(axis=0))

    def embed(self, path: Path | str) -> Array:
        """Unit vector float32 [D] of an image file; raises ImageError for what cannot be used."""
        return self.embed_pixels(read_image(path, self.size))


@lru_cache(maxsize=2)
def text_encoder(path: Path) -> TextEncoder:
    """The text encoder of the bundle at ``path``, loaded once."""
    return TextEncoder(bundles.load(path))


@lru_cache(maxsize=2)
def audio_encoder(path: Path) -> AudioEncoder:
    return AudioEncoder(bundles.load(path))


def audio_encoder_of(bundle: Bundle) -> AudioEncoder | None:
    """The bundle's audio encoder; None if it has none."""
    return audio_encoder(bundle.path) if bundle.has("audio.onnx") else None


@lru_cache(maxsize=2)
def image_encoder(path: Path) -> ImageEncoder:
    return ImageEncoder(bundles.load(path))
