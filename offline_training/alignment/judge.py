"""An independent judge of separations: another architecture, seed and part of the training recordings than
the shipped audio encoder.

It is never asked for queries or rewards and does not ship. Its vectors live in the text encoder's space, so
that it can say how near an output is to a label's words, and whether the label wins over the label of the
interference.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from offline_training.alignment.config import AlignmentConfig
from offline_training.alignment.data import (
    VALIDATED,
    Material,
    PreparedEncoders,
    Report,
    Selection,
    builtin_held_out,
    check_data,
    check_stages,
    training_items,
)
from offline_training.alignment.mel_views import MelBank, MelViews
from offline_training.data.audio_windows import windows
from offline_training.data.training_data import TrainingData
from offline_training.encoders import pair
from offline_training.encoders.audio_image import LogMel
from offline_training.encoders.base import Encoder, EncoderError, Images, Sounds, Vectors
from offline_training.encoders.builtin import Mels
from offline_training.encoders.pair import EncoderPair
from offline_training.models.vectors import mean_vector, to_unit

SHARE = 0.75  # of the training recordings


class JudgeEncoder(nn.Module):
    """Log-mels [B, frames, mels] -> unit vectors [B, dim]: a transformer over patches of four
    frames (40 ms)."""

    def __init__(self, dim: int, width: int = 160, layers: int = 4, heads: int = 4, most: int = 128) -> None:
        super().__init__()
        self.patch = nn.Conv1d(LogMel().mels, width, 8, stride=4, padding=2)
        self.positions = nn.Parameter(torch.randn(most, width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width, heads, 3 * width, dropout=0.15, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, dim)

    def forward(self, log_mels: Tensor) -> Tensor:
        x = self.patch(log_mels.transpose(1, 2) / 4 - 1).transpose(1, 2)
        x = self.layers(x + self.positions[: x.shape[1]])
        return to_unit(self.out(self.norm(x.mean(1))))


def kept(group: str, share: float = SHARE) -> bool:
    """Whether a recording is among the judge's: by its name, so the choice is the same everywhere."""
    return int(hashlib.sha256(f"judge {group}".encode()).hexdigest()[:8], 16) < share * 16**8


def prepare(
    data: TrainingData, recipe: AlignmentConfig, report: Report = lambda *_: None
) -> PreparedEncoders:
    """An untrained judge, its part of the training recordings, and what it is measured on.

    Raises:
        RunError: A stage of the recipe has nothing to train.
        CorpusError: There is nothing to train or to validate on.
    """
    corpus, table, labels = data.corpus, data.table, data.labels
    torch.manual_seed(recipe.seed)
    encoders = EncoderPair(JudgeEncoder(table.dim), None)
    check_stages(encoders, recipe)
    check_data(corpus, Selection(labels))
    bank = MelBank(corpus, lambda done, total: report("analysing", done, total))
    clips, groups = training_items(corpus, Selection(labels))
    clips = {label: mine for label, group in clips.items() if (mine := [c for c in group if kept(groups[c])])}
    views = MelViews(bank, recipe.views, [c for group in clips.values() for c in group])
    material = Material(table, labels, clips, groups, views)
    held_out = builtin_held_out(corpus, None, labels, VALIDATED)
    return PreparedEncoders(encoders, material, held_out, {"kind": "judge", "dim": table.dim})


class Judge:
    """A trained judge as an encoder of text and sound."""

    modalities: tuple[str, ...] = ("text", "audio")
    licence = "Apache-2.0"

    def __init__(self, path: Path, text: Encoder) -> None:
        content = pair.load(path, "judge")
        plain = json.loads(content["describe"])
        if plain.get("kind") != "judge":
            raise EncoderError(f"{path} holds no judge; train one with: marssep train judge -o FOLDER")
        self.encoders = EncoderPair(JudgeEncoder(plain["dim"]), None)
        pair.load_weights(self.encoders, content)
        self.encoders.eval()
        self.text, self.mels = text, Mels()
        self.id, self.dim = f"judge of {text.id}", plain["dim"]

    def embed_text(self, texts: list[str]) -> Vectors:
        return self.text.embed_text(texts)

    @torch.no_grad()
    def embed_audio(self, sounds: Sounds) -> Vectors:
        return torch.cat([mean_vector(self.encoders.audio(self.mels(windows(x)))) for x in sounds]).numpy()

    def embed_image(self, images: Images) -> Vectors:
        raise EncoderError("the judge only knows sounds and words")


def verdict(judge: Judge, sounds: Sounds, labels: list[str], interferers: list[str]) -> dict[str, np.ndarray]:
    """For each sound the cosine to its label, and whether that beats the cosine to the interferer's label (as
    0.0 or 1.0).
    """
    vectors = judge.embed_audio(sounds)
    every = sorted({*labels, *interferers})
    words = dict(zip(every, judge.embed_text(every), strict=True))
    own = (vectors * np.stack([words[label] for label in labels])).sum(1)
    other = (vectors * np.stack([words[label] for label in interferers])).sum(1)
    return {"similarity": own, "wins": (own > other).astype(np.float64)}
