"""The text encoder that ships: a small transformer over word pieces, its tokens and its file;
``text_distillation`` teaches it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from offline_training.utils import checkpoint_io

MOST_TOKENS = 64
WEIGHTS = "encoder.pt"  # in a folder of marssep train text
OLD_WEIGHTS, OLD_KEY = "tower.pt", "tower"  # their file and its key had these names before


class Layer(nn.Module):
    """One post-norm transformer layer, as in BERT."""

    def __init__(self, dim: int, heads: int, inner: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.norm1 = nn.LayerNorm(dim, eps=1e-12)
        self.up = nn.Linear(dim, inner)
        self.down = nn.Linear(inner, dim)
        self.norm2 = nn.LayerNorm(dim, eps=1e-12)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        size, width = x.shape[-1], x.shape[-1] // self.heads
        q, k, v = (
            t.unflatten(-1, (self.heads, width)).transpose(1, 2) for t in self.qkv(x).split(size, dim=-1)
        )
        weights = torch.softmax(q @ k.transpose(-1, -2) * width**-0.5 + bias, dim=-1)
        x = self.norm1(x + self.out((weights @ v).transpose(1, 2).flatten(2)))
        return self.norm2(x + self.down(nn.functional.gelu(self.up(x))))


class TorchTextEncoder(nn.Module):
    """input_ids, attention_mask int64 [B, L] -> unit vectors float32 [B, dim]: the mean of the last layer
    over the words.
    """

    def __init__(
        self, vocabulary: int, layers: int, dim: int = 384, heads: int = 12, inner: int = 1536
    ) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, dim)
        self.positions = nn.Parameter(torch.zeros(MOST_TOKENS, dim))
        self.norm = nn.LayerNorm(dim, eps=1e-12)
        self.layers = nn.ModuleList(Layer(dim, heads, inner) for _ in range(layers))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        keep = attention_mask.to(self.positions.dtype)
        x = self.norm(self.words.weight[input_ids] + self.positions[: input_ids.shape[1]])
        bias = ((1 - keep) * -1e4)[:, None, None, :]
        for layer in self.layers:
            x = layer(x, bias)
        mean = (x * keep[:, :, None]).sum(1) / keep.sum(1, keepdim=True)
        return mean / mean.norm(dim=-1, keepdim=True).clamp(min=1e-6)


class Tokens:
    """Tokenised phrases, padded on demand."""

    def __init__(self, tokenizer_data: dict[str, Any]) -> None:
        from tokenizers import Tokenizer

        self.tokenizer = Tokenizer.from_str(json.dumps(tokenizer_data))

    def ids(self, phrases: list[str]) -> list[list[int]]:
        return [e.ids for e in self.tokenizer.encode_batch(phrases)]

    @staticmethod
    def pad(rows: list[list[int]]) -> tuple[Tensor, Tensor]:
        longest = max(len(r) for r in rows)
        ids = torch.tensor([r + [0] * (longest - len(r)) for r in rows])
        mask = torch.tensor([[1] * len(r) + [0] * (longest - len(r)) for r in rows])
        return ids, mask


@torch.no_grad()
def embed(encoder: TorchTextEncoder, tokens: Tokens, phrases: list[str], batch: int = 256) -> Tensor:
    """Unit vectors of phrases, [N, D]."""
    rows = tokens.ids(phrases)
    return torch.cat([encoder(*tokens.pad(rows[i : i + batch])) for i in range(0, len(rows), batch)])


def weights_file(folder: Path) -> Path | None:
    """The weights in a folder of marssep train text, under today's name or the one of before; None: there are
    none.
    """
    return next((file for name in (WEIGHTS, OLD_WEIGHTS) if (file := folder / name).exists()), None)


def weights_of(content: Mapping[str, Any]) -> dict[str, Tensor]:
    """The weights in a text encoder's checkpoint, under today's key or the one of before."""
    return content["weights"] if "weights" in content else content[OLD_KEY]  # type: ignore[no-any-return]


def _read(folder: Path) -> dict[str, Any]:
    path = weights_file(folder) or folder / WEIGHTS
    return checkpoint_io.read(path, f"there is no text encoder at {path}")  # type: ignore[no-any-return]


def space_of(folder: Path) -> str:
    """The name of the space that the encoder in ``folder`` was taught."""
    return str(_read(folder).get("encoder", "builtin-text-1"))


def save_text_encoder(folder: Path, encoder: TorchTextEncoder, space: str) -> None:
    """Write an encoder and the name of the space that it was taught into ``folder``."""
    shape = {"vocabulary": encoder.words.num_embeddings, "layers": len(encoder.layers)}
    checkpoint_io.save(folder / WEIGHTS, {"weights": encoder.state_dict(), **shape, "encoder": space})


def load_text_encoder(folder: Path) -> TorchTextEncoder:
    """The encoder in a folder of marssep train text, in eval mode."""
    content = _read(folder)
    encoder = TorchTextEncoder(content["vocabulary"], content["layers"])
    encoder.load_state_dict(weights_of(content))
    return encoder.eval()
