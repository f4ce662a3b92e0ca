"""What every encoder offers: text, sound and images as unit vectors in one space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
Sounds = Sequence[npt.NDArray[np.float32]]  # mono at 48 kHz, any length
Images = Sequence[npt.NDArray[np.uint8]]  # RGB [H, W, 3]


class EncoderError(ValueError):
    """An encoder cannot be loaded or lacks what was asked of it; the message says what to do in one
    sentence."""


class Encoder(Protocol):
    """``id`` names the space: vectors of different ids must never meet. ``modalities``: which of text, audio,
    image it can embed.
    """

    id: str
    dim: int
    licence: str
    modalities: tuple[str, ...]

    def embed_text(self, texts: list[str]) -> Vectors:
        """Unit vectors [N, dim]."""
        ...

    def embed_audio(self, sounds: Sounds) -> Vectors:
        """Unit vectors [N, dim]."""
        ...

    def embed_image(self, images: Images) -> Vectors:
        """Unit vectors [N, dim]."""
        ...
