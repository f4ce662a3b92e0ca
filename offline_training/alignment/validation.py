"""What an encoder knows of sounds and images: retrieval of labels, and the paper's discriminability (its
Table 10).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from offline_training.data.audio_windows import windows
from offline_training.data.corpus import Clip, Corpus
from offline_training.data.eval_mixtures import EvalConfig, draw_pairs, render
from offline_training.models.vectors import mean_vector
from offline_training.utils.retrieval import discriminability, retrieval

Prepare = Callable[[list[np.ndarray]], Tensor]


class HeldOut:
    """A split as prepared inputs: whole clips, (target, mixture) pairs and images with their label
    numbers.

    ``prepare`` turns the windows of one sound into one batch of encoder inputs.
    """

    def __init__(
        self,
        corpus: Corpus,
        labels: list[str],
        split: str,
        prepare: Prepare,
        pairs: int = 150,
        images: dict[int, list[Tensor]] | None = None,
    ) -> None:
        number = {label: i for i, label in enumerate(labels)}
        chosen: list[Clip] = [c for c in corpus.clips if c.split == split and c.label in number]
        self.clip_labels = [number[c.label] for c in chosen]
        self.clips = [prepare(windows(corpus.samples(c))) for c in chosen]
        config = EvalConfig(split=split, mixtures=pairs)
        self.pair_labels: list[int] = []
        self.pairs: list[tuple[Tensor, Tensor]] = []
        for pair in draw_pairs(corpus, config):
            if pair.target.label in number:
                mixture, target, _ = render(corpus, pair, config)
                self.pair_labels.append(number[pair.target.label])
                self.pairs.append((prepare(windows(target)), prepare(windows(mixture))))
        self.images = [(label, x) for label, group in (images or {}).items() for x in group]
        self.image_classes = sorted(images or {})

    def figures(
        self,
        audio: Callable[[Tensor], Tensor],
        image: Callable[[Tensor], Tensor] | None,
        anchors: Tensor,
        candidates: list[int] | None = None,
    ) -> dict[str, float]:
        """Top-1 and top-5 of clips over ``candidates`` (None: all labels) and of images over the labels
        that have some, and the discriminability.
        """
        among = list(range(len(anchors))) if candidates is None else candidates
        clips = torch.cat([mean_vector(audio(x)) for x in self.clips])
        top1, top5 = retrieval(clips, [among.index(label) for label in self.clip_labels], anchors[among])
        result = {"audio_top1": top1, "audio_top5": top5, "gap": float(self.gaps(audio, anchors).mean())}
        result["audio_cosine"] = float((clips * anchors[self.clip_labels]).sum(1).mean())
        if image is not None and self.images:
            images = torch.cat([mean_vector(image(x)) for _, x in self.images])
            classes = {label: i for i, label in enumerate(self.image_classes)}
            found = retrieval(
                images, [classes[label] for label, _ in self.images], anchors[self.image_classes]
            )
            result["image_top1"], result["image_top5"] = found
        return result

    def of(self, anchors: Tensor) -> Callable[[Any], dict[str, float]]:
        """``figures`` as a function of encoders (an object with ``audio`` and ``image``)."""

        @torch.no_grad()
        def measure(encoders: Any) -> dict[str, float]:
            return self.figures(encoders.audio, encoders.image, anchors)

        return measure

    def gaps(self, audio: Callable[[Tensor], Tensor], anchors: Tensor) -> Tensor:
        """``discriminability`` of every pair."""
        targets, mixtures = (torch.cat([mean_vector(audio(pair[i])) for pair in self.pairs]) for i in (0, 1))
        return discriminability(anchors[self.pair_labels], targets, mixtures)
