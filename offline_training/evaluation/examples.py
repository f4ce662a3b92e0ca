"""Queries by example of a measurement: recordings and images, embedded by a bundle's own encoders."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from marssep_rt.model.bundle import Bundle
from marssep_rt.query.encoders import AudioEncoder, ImageEncoder
from marssep_rt.query.vocabulary import Vocabulary
from offline_training.data.audio_windows import windows
from offline_training.data.corpus import Clip, Corpus
from offline_training.data.eval_mixtures import Pair
from offline_training.data.images import ImageBank
from offline_training.data.query_table import blend

Array = npt.NDArray[np.float32]


class Examples:
    """Queries by recording, by image and by all at once, embedded by the bundle's own encoders, drawn by
    the mixture's seed.

    audio: one recording of the label from train or val; audio_new: another recording of the measured split,
    which nothing has ever been trained or decided on; image: three images of the measured split; omni:
    text, image and audio weighted 2 : 2 : 1 as in OmniSep, as far as there are. Examples become queries as
    the runtime makes them, by ``Vocabulary.snap_to_labels``.
    """

    KINDS = ("audio", "audio_new", "image", "omni")

    def __init__(self, bundle: Bundle, corpus: Corpus, bank: ImageBank | None, split: str) -> None:
        self.corpus, self.bank = corpus, bank
        self.audio = AudioEncoder(bundle) if bundle.has("audio.onnx") else None
        self.image = ImageEncoder(bundle) if bundle.has("image.onnx") and bank is not None else None
        self.clips = {
            kind: {
                label: [c for s in splits for c in corpus.by_label(s).get(label, [])]
                for label in corpus.labels()
            }
            for kind, splits in (("audio", ("train", "val")), ("audio_new", (split,)))
        }
        trained = bank.by_label("train") if bank is not None else {}
        self.images = (
            {k: v for k, v in bank.by_label(split).items() if len(trained.get(k, [])) >= 15}
            if bank is not None
            else {}
        )
        self.known: dict[str, Array] = {}
        self.sounds = Vocabulary.of(bundle)

    def _sound(self, clip: Clip) -> Array:
        assert self.audio is not None
        if clip.path not in self.known:
            self.known[clip.path] = self.audio.embed_windows(windows(self.corpus.samples(clip)))
        return self.known[clip.path]

    def _image(self, number: int) -> Array:
        assert self.image is not None
        assert self.bank is not None
        path = self.bank.folder / self.bank.images[number].path
        if str(path) not in self.known:
            self.known[str(path)] = self.image.embed(path)
        return self.known[str(path)]

    def query(self, kind: str, pair: Pair, text: Array) -> Array | None:
        """None where there is no such encoder or no such example."""
        if kind != "omni":
            parts = self.examples(kind, pair)
            return blend(parts, self.sounds) if parts else None
        parts = [*self.examples("image", pair), *self.examples("audio", pair)]
        return blend([*parts, ("text", text)], self.sounds) if parts else None

    def examples(self, kind: str, pair: Pair) -> list[tuple[str, Array]]:
        """(kind, vector) of what is drawn for the mixture: up to three images, or one recording."""
        rng = np.random.default_rng(pair.seed)
        label = pair.target.label
        if kind == "image":
            numbers = self.images.get(label, []) if self.image is not None else []
            return (
                [
                    ("image", self._image(int(i)))
                    for i in rng.choice(numbers, min(3, len(numbers)), replace=False)
                ]
                if numbers
                else []
            )
        clips = self.clips[kind][label] if self.audio is not None else []
        clips = [c for c in clips if c.group != pair.target.group]
        return [("audio", self._sound(clips[int(rng.integers(len(clips)))]))] if clips else []
