"""The loss terms of an alignment by name: what a stage's recipe weighs."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from offline_training.alignment import losses
from offline_training.alignment.config import TERMS, AlignmentConfig, StageConfig
from offline_training.alignment.data import Material
from offline_training.encoders.pair import EncoderPair
from offline_training.utils.precision import half


class Losses:
    """The loss terms of one step; inputs and vectors that several terms share are made once."""

    def __init__(
        self,
        encoders: EncoderPair,
        material: Material,
        config: AlignmentConfig,
        stage: StageConfig,
        rng: np.random.Generator,
        reference: nn.Module | None = None,
    ) -> None:
        self.reference = reference
        self.encoders, self.material, self.rng = encoders, material, rng
        self.config, self.stage = config, stage
        self.dtype = half(wanted=config.bf16)
        power = config.thin_label_power
        weights = stage.weights
        self.near: list[Tensor] = []
        if weights.keys() - {"audio_labels", "image_labels", "image_text", "keep", "near"}:
            pool = material.clips
            if weights.keys() & {"audio_image", "image_triplet"}:
                pool = {label: clips for label, clips in pool.items() if label in material.images}
            self.drawn = material.draw_labels(pool, stage.batch // 2, power, rng, distinct=True)
            self.chosen = [material.item(material.clips[label], rng) for label in self.drawn]
            self.labels = torch.tensor(self.drawn)
            self.a = self.audio(material.audio_views.clips(self.chosen, rng))
        if weights.keys() & {"audio_audio", "audio_triplet", "mixture_triplet"}:
            others = [
                material.another(label, clip, rng)
                for label, clip in zip(self.drawn, self.chosen, strict=True)
            ]
            self.b = self.audio(material.audio_views.clips(others, rng))
        if weights.keys() & {"audio_image", "image_triplet", "image_text"}:
            if not hasattr(self, "drawn") or not weights.keys() & {"audio_image", "image_triplet"}:
                self.shown_labels = material.draw_labels(
                    material.images, stage.batch // 2, power, rng, distinct=True
                )
            else:
                self.shown_labels = self.drawn
            self.v = self.image([material.item(material.images[label], rng) for label in self.shown_labels])

    def autocast(self) -> torch.autocast:
        return torch.autocast("cpu", dtype=self.dtype or torch.bfloat16, enabled=self.dtype is not None)

    def audio(self, x: Tensor) -> Tensor:
        with self.autocast():
            return self.encoders.audio(x).float()

    def image(self, chosen: list[int]) -> Tensor:
        assert self.material.image_views is not None
        assert self.encoders.image is not None
        with self.autocast():
            return self.encoders.image(self.material.image_views.images(chosen, self.rng)).float()

    def text(self, labels: list[int]) -> Tensor:
        return torch.from_numpy(np.stack([self.material.phrase(label, self.rng) for label in labels]))

    def audio_labels(self) -> Tensor:
        """Stage 0: every training label is a class, its text vector the class's weight."""
        m = self.material
        drawn = m.draw_labels(
            m.clips, self.stage.batch, self.config.thin_label_power, self.rng, distinct=False
        )
        vectors = self.audio(
            m.audio_views.clips([m.item(m.clips[label], self.rng) for label in drawn], self.rng)
        )
        labels = torch.tensor(drawn)
        self.near.append(1 - (vectors * m.anchors[labels]).sum(1).mean())
        return losses.classes(vectors, labels, m.anchors, self.encoders.scale)

    def image_labels(self) -> Tensor:
        m = self.material
        drawn = m.draw_labels(
            m.images, self.stage.batch, self.config.thin_label_power, self.rng, distinct=False
        )
        vectors = self.image([m.item(m.images[label], self.rng) for label in drawn])
        labels = torch.tensor(drawn)
        self.near.append(1 - (vectors * m.anchors[labels]).sum(1).mean())
        return losses.classes(vectors, labels, m.anchors, self.encoders.scale)

    def audio_text(self) -> Tensor:
        """Eq. 7."""
        self.near.append(1 - (self.a * self.material.anchors[self.labels]).sum(1).mean())
        return losses.info_nce(self.a, self.text(self.drawn), self.labels, self.encoders.scale)

    def audio_audio(self) -> Tensor:
        """Eq. 8, first term."""
        return losses.info_nce(self.a, self.b, self.labels, self.encoders.scale)

    def audio_triplet(self) -> Tensor:
        """Eq. 8, second term: the hardest recording of another label in the batch."""
        negatives = losses.hardest(self.a, self.b, self.labels, self.labels)
        return losses.triplet(self.a, self.b, negatives, self.config.margin)

    def mixture_triplet(self) -> Tensor:
        """Eq. 8, second term: the clean sound must be nearer to its label, and to another recording of it,
        than its mixture is.
        """
        m = self.material
        interferers = [
            self.chosen[i]
            for i in np.roll(np.arange(len(self.chosen)), 1 + int(self.rng.integers(len(self.chosen) - 1)))
        ]
        clean, mixed = (self.audio(x) for x in m.audio_views.mixtures(self.chosen, interferers, self.rng))
        to_label = losses.triplet(m.anchors[self.labels], clean, mixed, self.config.mixture_margin)
        return (to_label + losses.triplet(self.b, clean, mixed, self.config.mixture_margin)) / 2

    def consistency(self) -> Tensor:
        """Eq. 8, third term: two views of one clip."""
        return losses.consistency(self.a, self.audio(self.material.audio_views.clips(self.chosen, self.rng)))

    def audio_image(self) -> Tensor:
        """Eq. 9, first term."""
        return losses.info_nce(self.a, self.v, self.labels, self.encoders.scale)

    def image_triplet(self) -> Tensor:
        """Eq. 9, second term."""
        return losses.triplet(
            self.a, self.v, losses.hardest(self.a, self.v, self.labels, self.labels), self.config.margin
        )

    def image_text(self) -> Tensor:
        labels = torch.tensor(self.shown_labels)
        self.near.append(1 - (self.v * self.material.anchors[labels]).sum(1).mean())
        return losses.info_nce(self.v, self.text(self.shown_labels), labels, self.encoders.scale)

    def keep(self) -> Tensor:
        """What the audio encoder heard in a plain recording when the run began, it shall hear in a rough one:
        sounds without a label too.
        """
        assert self.reference is not None
        m = self.material
        drawn = m.draw_labels(
            m.clips, self.stage.batch, self.config.thin_label_power, self.rng, distinct=False
        )
        plain, rough = m.audio_views.pairs([m.item(m.clips[label], self.rng) for label in drawn], self.rng)
        with torch.no_grad(), self.autocast():
            wanted = self.reference(plain).float()
        return 1 - (self.audio(rough) * wanted).sum(1).mean()

    def all(self) -> dict[str, Tensor]:
        """Every weighted term and their weighted sum as ``loss``."""
        terms = {
            name: getattr(self, name)() for name in TERMS if name in self.stage.weights and name != "near"
        }
        if "near" in self.stage.weights:
            terms["near"] = torch.stack(self.near).mean()
        terms["loss"] = torch.stack([self.stage.weights[name] * value for name, value in terms.items()]).sum()
        return terms
