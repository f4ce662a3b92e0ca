"""Who asks the questions of ``suite``: an encoder's words, recordings and images, made into queries as the
runtime makes them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from marssep_rt.audio_io.array_source import ArraySource
from marssep_rt.query.audible import WINDOW_SECONDS, heard_in
from marssep_rt.query.image_input import read_image
from marssep_rt.query.source_windows import source_windows
from marssep_rt.query.types import Candidates, Described
from marssep_rt.query.vocabulary import Vocabulary
from marssep_rt.query.words import Words
from offline_training.data.audio_windows import windows
from offline_training.data.corpus import SAMPLE_RATE, Clip, Corpus
from offline_training.data.eval_mixtures import Pair
from offline_training.data.images import ImageBank
from offline_training.encoders.base import Encoder
from offline_training.utils.vectors import unit

Vector = npt.NDArray[np.float32]
LEAST_IMAGES = 15  # of a label in train, for its images to be asked with


class EncoderVoice:
    """Everything is embedded once.

    Args:
        encoder: Of words, recordings and images.
        corpus: The recordings.
        images: The images, if there are any.
        known: Trained sounds that examples are drawn to, as bundles have them.
        words: What words mean that are no label, as a bundle's ``words.json`` says.
    """

    def __init__(
        self,
        encoder: Encoder,
        corpus: Corpus,
        images: ImageBank | None = None,
        known: Vocabulary | None = None,
        words: Words | None = None,
    ) -> None:
        self.encoder, self.corpus, self.bank, self.known = encoder, corpus, images, known
        self.words = words or Words()
        self.vectors: dict[str, Vector] = {}

    def text(self, words: str) -> Vector:
        """The vector of a text: of a family's name, or of a sound that is like labels, their middle."""
        key = f"text {words}"
        if key not in self.vectors:
            texts = list(self.words.labels_of(words)) or [words]
            self.vectors[key] = unit(self.encoder.embed_text(texts).mean(axis=0))
        return self.vectors[key]

    def text_in(self, words: str, mixture: Vector) -> Vector:
        """The vector of a text that is asked of a mixture [samples]: a family's labels as far as they can be
        heard in it, as ``marssep file`` hears them.
        """
        labels = self.words.family_of(words)
        if not labels or self.known is None:
            return self.text(words)
        members = np.stack([self.text(label) for label in labels])
        return self._narrowed(Candidates(members, self.known.family_temperature), mixture)

    def _narrowed(self, sound: Candidates | Described, mixture: Vector) -> Vector:
        """A sound as ``marssep file`` hears it in a mixture [samples], if the encoder hears."""
        if not sound.narrows or "audio" not in self.encoder.modalities:
            return sound.vector
        source = ArraySource(mixture[None], SAMPLE_RATE)
        heard = heard_in(source_windows(source, SAMPLE_RATE, WINDOW_SECONDS), self)
        return sound.narrowed(heard) if len(heard) else sound.vector

    def embed_windows(self, windows: Sequence[Vector]) -> Vector:
        """Equally long windows -> one unit vector [D]."""
        return unit(self.encoder.embed_audio(list(windows)).mean(axis=0))

    def limit_db(self, words: str) -> float | None:
        """The attenuation limit in dB if a bundle doubts the words."""
        if self.known is None or self.words.family_of(words):
            return None
        return self.known.limit_db(self.text(words))

    def recordings(self, clips: Sequence[Clip], mixture: Vector) -> Vector | None:
        """One query by all ``clips``, asked of a mixture [samples]; None where the encoder cannot hear."""
        if "audio" not in self.encoder.modalities:
            return None
        for clip in clips:
            if clip.path not in self.vectors:
                sound = self.corpus.samples(clip)
                self.vectors[clip.path] = self.embed_windows(windows(sound))
        return self._shown([("audio", self.vectors[clip.path]) for clip in clips], mixture)

    def has_images(self, label: str, split: str) -> bool:
        """Whether the encoder sees, and the label has images in the split and enough of them in train."""
        if self.bank is None or "image" not in self.encoder.modalities:
            return False
        enough = len(self.bank.by_label("train").get(label, [])) >= LEAST_IMAGES
        return enough and bool(self.bank.by_label(split).get(label))

    def images(self, pair: Pair, split: str, count: int, mixture: Vector) -> Vector | None:
        """One query by up to ``count`` images of a split that show a pair's target, asked of its mixture
        [samples]; None where there are none.
        """
        label = pair.target.label
        if self.bank is None or not self.has_images(label, split):
            return None
        numbers = self.bank.by_label(split)[label]
        parts = []
        rng = np.random.default_rng(pair.seed)
        for number in rng.choice(numbers, min(count, len(numbers)), replace=False):
            path = self.bank.folder / self.bank.images[int(number)].path
            if str(path) not in self.vectors:
                self.vectors[str(path)] = np.asarray(
                    self.encoder.embed_image([read_image(path, 224)])[0], np.float32
                )
            parts.append(("image", self.vectors[str(path)]))
        return self._shown(parts, mixture)

    def _shown(self, parts: Sequence[tuple[str, Vector]], mixture: Vector) -> Vector:
        """The sound that examples (kind, vector) show, as ``marssep file`` finds it in a mixture."""
        found = [None] * len(parts) if self.known is None else self.known.candidates(parts)
        sound = Described(tuple(v if c is None else c[0] for (_, v), c in zip(parts, found, strict=True)))
        return self._narrowed(sound, mixture)
