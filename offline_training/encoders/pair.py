"""An audio and an image encoder into one space, and their checkpoints: what alignment trains and the builtin
encoder is made of.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from offline_training.utils import checkpoint_io
from offline_training.utils.checkpoint_io import CheckpointError

KIND = "encoders"  # of a checkpoint of this module
KINDS = (KIND, "towers")  # checkpoints of before had the other name


class EncoderPair(nn.Module):
    """An audio and an image encoder, which map their inputs to unit vectors, and the learned temperature."""

    def __init__(self, audio: nn.Module, image: nn.Module | None, temperature: float = 0.07) -> None:
        super().__init__()
        self.audio, self.image = audio, image
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / temperature)))

    @property
    def scale(self) -> Tensor:
        """One over the temperature, at most 100 as in CLIP."""
        return self.log_scale.exp().clamp(max=100.0)


def load(path: Path, command: str = "align") -> dict[str, Any]:
    """A checkpoint of ``marssep train align``, or of the command that makes what is wanted; raises
    CheckpointError when it is missing, damaged or something else.
    """
    content = checkpoint_io.read(
        path, f"there are no encoders at {path}; train them with: marssep train {command} -o FOLDER"
    )
    if not isinstance(content, dict) or content.get("kind") not in KINDS:
        raise CheckpointError(f"{path} is not a checkpoint of marssep train {command}")
    return content


def load_weights(encoders: EncoderPair, content: dict[str, Any]) -> None:
    """Weights of any precision into fp32 encoders; raises CheckpointError where they do not fit."""
    checkpoint_io.load_weights(encoders, content["weights"], "encoders")
