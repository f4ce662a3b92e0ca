"""Which recordings a separator has heard: a mark of every clip, kept in its checkpoint.

Marks are of the samples, not of names: a recording is known again in another manifest and under another name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from offline_training.data.corpus import Clip, Corpus

MARKED = 4096  # samples in the middle of a clip
MEASURED = ("val", "test")


def mark(corpus: Corpus, clip: Clip) -> int | None:
    """A number of 64 bits, signed, that tells a recording from others; None for one silent in its middle."""
    middle = corpus.audio(clip)[clip.length // 2 :][:MARKED]
    if not np.any(middle):
        return None
    digest = hashlib.blake2b(middle.astype("<i2").tobytes(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def marks(corpus: Corpus, clips: Iterable[Clip]) -> set[int]:
    """The marks of clips."""
    return {found for clip in clips if (found := mark(corpus, clip)) is not None}


def stored(known: Iterable[int]) -> Tensor:
    """Marks as checkpoints keep them, int64 [N]."""
    return torch.tensor(sorted(known), dtype=torch.int64)


def heard_of(content: Mapping[str, Any]) -> set[int] | None:
    """The marks in a checkpoint; None where it says nothing of them, as those of earlier versions."""
    return set(content["heard"].tolist()) if "heard" in content else None


def warning(content: Mapping[str, Any], corpus: Corpus, name: str) -> str:
    """What is to be said of a run that begins with a checkpoint: that it knows val or test already.

    Args:
        content: The checkpoint.
        corpus: The recordings of the run.
        name: Of the checkpoint.

    Returns:
        A sentence; empty where there is nothing to say.
    """
    known = heard_of(content)
    if known is None:
        return (
            f"{name} does not say which recordings it was trained on: figures on val and test are only right "
            "if they are new to it"
        )
    told = []
    for split in MEASURED:
        clips = [c for c in corpus.clips if c.split == split]
        count = sum(mark(corpus, clip) in known for clip in clips)
        if count:
            told.append(f"{count} of the {len(clips)} recordings of {split}")
    if not told:
        return ""
    return f"{name} was trained on {' and '.join(told)}: figures on them are too good"
