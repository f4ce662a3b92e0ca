"""Aligned heads for large frozen encoders: the paper's setting, in which trunks stay as they are and only
projections train.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from offline_training.encoders import pair
from offline_training.encoders.base import Encoder, Images, Sounds, Vectors
from offline_training.encoders.pair import EncoderPair
from offline_training.models.vectors import to_unit
from offline_training.utils.checkpoint_io import CheckpointError

Stored = npt.NDArray[np.floating[Any]]


class ResidualHead(nn.Module):
    """Unit vectors [B, D] -> unit vectors [B, D]; starts as the identity."""

    def __init__(self, dim: int, hidden: int = 512) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))
        nn.init.zeros_(self.head[2].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.head[2].bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return to_unit(x + self.head(x))


def build_heads(dim: int, temperature: float = 0.07) -> EncoderPair:
    """Encoders that are only heads: their inputs are the frozen encoder's vectors."""
    return EncoderPair(ResidualHead(dim), ResidualHead(dim), temperature)


class VectorViews:
    """What the frozen part of an encoder makes of views, several of each item, made once.

    ``audio`` and ``image``: item number -> [views, ...]; ``mixed``: the same sounds with interferers.
    """

    def __init__(
        self, audio: Mapping[int, Stored], mixed: Mapping[int, Stored], image: Mapping[int, Stored]
    ) -> None:
        self.audio, self.mixed, self.image = audio, mixed, image

    @staticmethod
    def _pick(table: Mapping[int, Stored], chosen: Sequence[int], rng: np.random.Generator) -> Tensor:
        return torch.from_numpy(
            np.stack([table[i][int(rng.integers(len(table[i])))] for i in chosen])
        ).float()

    def clips(self, chosen: Sequence[int], rng: np.random.Generator) -> Tensor:
        return self._pick(self.audio, chosen, rng)

    def pairs(self, chosen: Sequence[int], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """(plain, rough): two views of each clip."""
        return self.clips(chosen, rng), self.clips(chosen, rng)

    def mixtures(
        self, chosen: Sequence[int], others: Sequence[int], rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """The interferers are those of when the vectors were made, not ``others``."""
        return self._pick(self.audio, chosen, rng), self._pick(self.mixed, chosen, rng)

    def images(self, chosen: Sequence[int], rng: np.random.Generator) -> Tensor:
        return self._pick(self.image, chosen, rng)


class Headed:
    """A frozen encoder followed by aligned heads; its id tells that they are there."""

    def __init__(self, base: Encoder, encoders: EncoderPair, name: str) -> None:
        self.base, self.encoders = base, encoders.eval()
        self.id, self.dim, self.licence, self.modalities = (
            f"{base.id}+{name}",
            base.dim,
            base.licence,
            base.modalities,
        )

    @classmethod
    def load(cls, base: Encoder, path: Path) -> Headed:
        """Raises CheckpointError when the heads are missing or belong to another encoder (both are named)."""
        content = pair.load(path)
        plain: dict[str, Any] = json.loads(content["describe"])
        if plain.get("encoder") != base.id:
            raise CheckpointError(
                f"{path} holds heads for the encoder {plain.get('encoder')}, not for {base.id}"
            )
        encoders = build_heads(base.dim)
        pair.load_weights(encoders, content)
        return cls(base, encoders, path.stem)

    def embed_text(self, texts: list[str]) -> Vectors:
        return self.base.embed_text(texts)

    @torch.no_grad()
    def embed_audio(self, sounds: Sounds) -> Vectors:
        return np.asarray(
            self.encoders.audio(torch.from_numpy(self.base.embed_audio(sounds))).numpy(), np.float32
        )

    @torch.no_grad()
    def embed_image(self, images: Images) -> Vectors:
        assert self.encoders.image is not None
        return np.asarray(
            self.encoders.image(torch.from_numpy(self.base.embed_image(images))).numpy(), np.float32
        )
