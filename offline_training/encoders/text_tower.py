"""The text tower that ships: a small transformer over word pieces, its tokens and its file;
``text_distillation`` teaches it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

MOST_TOKENS = 64


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


class TextTower(nn.Module):
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
def embed(tower: TextTower, tokens: Tokens, phrases: list[str], batch: int = 256) -> Tensor:
    """Unit vectors of phrases, [N, D]."""
    rows = tokens.ids(phrases)
    return torch.cat([tower(*tokens.pad(rows[i : i + batch])) for i in range(0, len(rows), batch)])


def space_of(folder: Path) -> str:
    """The name of the space that the tower in ``folder`` was taught."""
    return str(torch.load(folder / "tower.pt", weights_only=True).get("encoder", "builtin-text-1"))


def load_tower(folder: Path) -> TextTower:
    """The tower that ``build`` left in ``folder``."""
    content = torch.load(folder / "tower.pt", weights_only=True)
    tower = TextTower(content["vocabulary"], content["layers"])
    tower.load_state_dict(content["tower"])
    return tower.eval()
