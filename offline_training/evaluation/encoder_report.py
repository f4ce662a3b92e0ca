"""Figures of the shipped encoders after every stage of their alignment: what the card and docs/evaluation.md
quote.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from offline_training.alignment.data import Report, builtin_held_out, image_size
from offline_training.data.corpus import Corpus
from offline_training.data.images import ImageBank
from offline_training.encoders.audio_image import FrontEnd, TorchAudioEncoder
from offline_training.encoders.base import Encoder
from offline_training.encoders.builtin import load_encoders
from offline_training.encoders.pair import EncoderPair
from offline_training.evaluation.bootstrap import interval
from offline_training.utils.checkpoint_io import CheckpointError


@torch.no_grad()
def report_on(
    run: Path,
    corpus: Corpus,
    bank: ImageBank | None,
    text: Encoder,
    split: str,
    pairs: int,
    classifier: Path | None = None,
    report: Report = lambda *_: None,
) -> dict[str, Any]:
    """Retrieval and discriminability on ``split`` for each ``stageN.pt`` of ``run``, the last one against
    stage 0 pair by pair.

    Sounds are looked up among all labels with training clips, images among the labels with images.
    Raises CheckpointError when ``run`` holds no encoders.
    """
    stages = sorted(run.glob("stage?.pt"))
    if not stages:
        raise CheckpointError(
            f"there are no encoders in {run}; train them with: marssep train align -o {run}"
        )
    plain_classifier = None if classifier is None else load_encoders(classifier / "stage0.pt")
    labels = sorted(
        {c.label for c in corpus.clips if c.split == "train"}
        | ({p.label for p in bank.images} if bank else set())
    )
    sounding = {c.label for c in corpus.clips if c.split == "train"}
    anchors = torch.from_numpy(text.embed_text(labels))
    candidates = [i for i, label in enumerate(labels) if label in sounding]
    last = load_encoders(stages[-1])[0]
    held = builtin_held_out(corpus, bank, labels, split, image_size(last), pairs, hears(last))
    result: dict[str, Any] = {
        "split": split,
        "clips": len(held.clips),
        "images": len(held.images),
        "pairs": len(held.pairs),
        "labels": len(candidates),
        "image_labels": len(held.image_classes),
        "chance_top1": round(1 / len(candidates), 4),
        "stages": {},
    }
    gaps: list[np.ndarray] = []
    for done, path in enumerate(stages):
        encoders, _ = load_encoders(path)
        figures = held.figures(encoders.audio, encoders.image, anchors, candidates)
        gap = held.gaps(encoders.audio, anchors).numpy().astype(np.float64)
        gaps.append(gap)
        figures["gap"] = float(gap.mean())
        plain: dict[str, Any] = {k: round(v, 4) for k, v in figures.items()}
        plain["gap_95"] = [round(x, 4) for x in interval(gap, np.mean)]
        result["stages"][path.stem] = plain
        report("measuring", done + 1, len(stages))
    difference = gaps[-1] - gaps[0]
    result["gap_last_minus_stage0"] = {
        "mean": round(float(difference.mean()), 4),
        "mean_95": [round(x, 4) for x in interval(difference, np.mean)],
    }
    if plain_classifier is not None:
        result["plain_classifier"] = classify(plain_classifier, corpus, labels, candidates, split)
    return result


def hears(encoders: EncoderPair) -> FrontEnd:
    """What the audio encoder's trunk takes: trunks from elsewhere hear other log-mels than ours."""
    assert isinstance(encoders.audio, TorchAudioEncoder)
    return encoders.audio.front_end()


@torch.no_grad()
def classify(
    trained: tuple[EncoderPair, dict[str, Any]],
    corpus: Corpus,
    labels: list[str],
    candidates: list[int],
    split: str,
) -> dict[str, float]:
    """Top-1 and top-5 of an encoder trained on axes instead of words, which stand in the order of its
    description.
    """
    encoders, content = trained
    order = json.loads(content["describe"])["labels"]
    place = {label: i for i, label in enumerate(order)}
    axes = torch.zeros(len(labels), len(order))
    for i, label in enumerate(labels):
        if label in place:
            axes[i, place[label]] = 1.0
    held = builtin_held_out(corpus, None, labels, split, pairs=10, front_end=hears(encoders))
    figures = held.figures(encoders.audio, None, axes, candidates)
    return {"top1": round(figures["audio_top1"], 4), "top5": round(figures["audio_top5"], 4)}
