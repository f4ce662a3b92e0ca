"""What alignment draws from and is measured on, for the builtin encoders and for heads on a large encoder."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from marssep_rt.query.image_input import read_image, views
from offline_training.alignment.config import AlignmentConfig
from offline_training.alignment.mel_views import MelBank, MelViews, ViewConfig
from offline_training.alignment.stored_views import Maps, store
from offline_training.alignment.validation import HeldOut, Prepare
from offline_training.data.audio_windows import windows
from offline_training.data.corpus import Clip, Corpus
from offline_training.data.crossfit import left_out
from offline_training.data.images import ImageBank, ImageBatches
from offline_training.data.mixtures import MixtureConfig, augmented
from offline_training.data.query_table import ROUGH, Examples, QueryTable
from offline_training.encoders.audio_image import FrontEnd, TorchAudioEncoder, TorchImageEncoder
from offline_training.encoders.base import Encoder, Vectors
from offline_training.encoders.builtin import Mels, build_encoders, describe, encoder_shape
from offline_training.encoders.heads import VectorViews, build_heads
from offline_training.encoders.pair import EncoderPair
from offline_training.encoders.yamnet import YamnetTrunk
from offline_training.utils.precision import half
from offline_training.utils.vectors import unit

Report = Callable[[str, int, int], None]
MIN_IMAGES = 15  # of a label in train, for its images to be measured
AUGMENTATION = MixtureConfig(speed=0.5, equaliser=0.6, bandwidth=0.25, room=0.25)


class AudioViews(Protocol):
    """What an audio encoder trains on: augmented inputs for clips, by number."""

    def clips(self, chosen: Sequence[int], rng: np.random.Generator) -> Tensor: ...

    def mixtures(
        self, chosen: Sequence[int], others: Sequence[int], rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]: ...

    def pairs(self, chosen: Sequence[int], rng: np.random.Generator) -> tuple[Tensor, Tensor]: ...


class ImageViews(Protocol):
    """What an image encoder trains on: augmented inputs for images, by number."""

    def images(self, chosen: Sequence[int], rng: np.random.Generator) -> Tensor: ...


@dataclass
class Material:
    """Everything that the stages draw from. ``clips`` and ``images``: label number -> numbers of training
    items; ``groups``: of clips.
    """

    table: QueryTable
    labels: list[str]
    clips: dict[int, list[int]]
    groups: dict[int, str]
    audio_views: AudioViews
    images: dict[int, list[int]] = field(default_factory=dict)
    image_views: ImageViews | None = None

    def __post_init__(self) -> None:
        self.anchors = torch.from_numpy(np.stack([self.table.label_vector(label) for label in self.labels]))

    def phrase(self, label: int, rng: np.random.Generator) -> np.ndarray:
        """The vector of a random phrase of a label, the label itself half of the time."""
        vectors = self.table.vectors_of(self.labels[label])
        return vectors[0 if rng.random() < 0.5 else int(rng.integers(len(vectors)))]

    def draw_labels(
        self, from_: dict[int, list[int]], count: int, power: float, rng: np.random.Generator, distinct: bool
    ) -> list[int]:
        """Labels drawn by (number of items) ** power; ``distinct``: each at most once, as many as
        there are."""
        labels = list(from_)
        weights = np.array([len(from_[label]) for label in labels], np.float64) ** power
        count = min(count, len(labels)) if distinct else count
        return [
            labels[i] for i in rng.choice(len(labels), count, replace=not distinct, p=weights / weights.sum())
        ]

    def item(self, items: list[int], rng: np.random.Generator) -> int:
        return items[int(rng.integers(len(items)))]

    def another(self, label: int, clip: int, rng: np.random.Generator) -> int:
        """A clip of the label from another recording where there is one, else another clip, else the same."""
        others = [c for c in self.clips[label] if self.groups[c] != self.groups[clip]] or [
            c for c in self.clips[label] if c != clip
        ]
        return self.item(others or [clip], rng)


def training_items(
    corpus: Corpus,
    labels: list[str],
    held_out: tuple[str, ...] = (),
    without: frozenset[str] = frozenset(),
    splits: tuple[str, ...] = ("train",),
) -> tuple[dict[int, list[int]], dict[int, str]]:
    """Numbers (in ``corpus.clips``) of the clips of each label number that train, not of paths in
    ``without``; every clip's recording.
    """
    number = {label: i for i, label in enumerate(labels)}
    clips: dict[int, list[int]] = {}
    for i, clip in enumerate(corpus.clips):
        if (
            clip.split in splits
            and clip.label in number
            and clip.label not in held_out
            and clip.path not in without
        ):
            clips.setdefault(number[clip.label], []).append(i)
    return clips, {i: clip.group for i, clip in enumerate(corpus.clips)}


def images_of(
    bank: ImageBank | None,
    labels: list[str],
    splits: tuple[str, ...],
    held_out: tuple[str, ...] = (),
    without: frozenset[str] = frozenset(),
) -> dict[int, list[int]]:
    """Numbers of the splits' images of each label number; not of paths in ``without``."""
    if bank is None:
        return {}
    number = {label: i for i, label in enumerate(labels)}
    kept = {
        label: [i for i in group if bank.images[i].path not in without]
        for label, group in bank.by_label(*splits).items()
    }
    return {
        number[label]: group
        for label, group in kept.items()
        if group and label in number and label not in held_out
    }


def held_out_images(bank: ImageBank | None, labels: list[str], split: str) -> dict[int, list[np.ndarray]]:
    """Images RGB [H, W, 3] of a split, for labels with at least MIN_IMAGES in train."""
    train = images_of(bank, labels, ("train",))
    if bank is None:
        return {}
    return {
        label: [read_image(bank.folder / bank.images[i].path, 224) for i in group]
        for label, group in images_of(bank, labels, (split,)).items()
        if len(train.get(label, [])) >= MIN_IMAGES
    }


def builtin(
    corpus: Corpus,
    bank: ImageBank | None,
    table: QueryTable,
    recipe: AlignmentConfig,
    report: Report = lambda *_: None,
    encoders: EncoderPair | None = None,
    folder: Path | None = None,
) -> tuple[EncoderPair, Material, HeldOut, dict[str, Any]]:
    """Builtin encoders, what they train on and are measured on, and their description.

    Args:
        corpus: Recordings.
        bank: Labelled images, if any.
        table: Texts of the labels.
        recipe: Its shapes, views, splits, fold and left out labels.
        report: Called with what is being done, how far it is, and how far it goes.
        encoders: Encoders to begin with; None: untrained ones.
        folder: Where stored views are kept, if the recipe wants some.

    Raises:
        ValueError: The recipe wants stored views of another trunk than YAMNet's.
    """
    if recipe.one_hot:
        table = one_hot(table)
    without = frozenset[str]()
    if recipe.fold is not None:
        without = left_out(training_paths(corpus, bank), *recipe.fold)
    encoders = begin_with(encoders, recipe, table.dim)
    labels = list(table.phrases)
    assert isinstance(encoders.audio, TorchAudioEncoder)
    front_end = encoders.audio.front_end()
    mel_bank = MelBank(corpus, lambda done, total: report("analysing", done, total), front_end)
    clips, groups = training_items(corpus, labels, recipe.held_out_labels, without, recipe.splits)
    training = sorted(c for group in clips.values() for c in group)
    heard = MelViews(mel_bank, recipe.views, training)
    audio: AudioViews = heard
    prepare: Prepare = Mels(front_end)
    if recipe.stored_views:
        audio, prepare = stored(recipe, encoders.audio, heard, training, folder, report)
    image = ImageBatches(bank, image_size(encoders)) if bank is not None else None
    images = images_of(bank, labels, recipe.splits, recipe.held_out_labels, without)
    material = Material(table, labels, clips, groups, audio, images, image)
    held_out = builtin_held_out(corpus, bank, labels, "val", image_size(encoders), prepare=prepare)
    told = {"labels": labels, "left_out": sorted(without), "splits": list(recipe.splits)}
    return encoders, material, held_out, {**describe(encoders), **told}


def begin_with(encoders: EncoderPair | None, recipe: AlignmentConfig, dim: int) -> EncoderPair:
    """The encoders that a run begins with: those given but for the fresh ones, or untrained ones."""
    shapes = {
        part: encoder_shape({"dim": dim, **getattr(recipe.encoders, part)}) for part in ("audio", "image")
    }
    torch.manual_seed(recipe.seed)
    untrained = build_encoders(shapes["audio"], shapes["image"])
    if encoders is None:
        return untrained
    for part in recipe.fresh:
        setattr(encoders, part, getattr(untrained, part))
    return encoders


def stored(
    recipe: AlignmentConfig,
    ear: TorchAudioEncoder,
    views: MelViews,
    training: list[int],
    folder: Path | None,
    report: Report,
) -> tuple[AudioViews, Prepare]:
    """Views for training, and a preparation of sounds, that went through the ear's lower layers already."""
    if not isinstance(ear.trunk, YamnetTrunk) or folder is None:
        raise ValueError("stored_views are for an ear on YAMNet's trunk, in a run's folder")
    folder.mkdir(parents=True, exist_ok=True)
    made = store(
        folder / "views.npy",
        copy.deepcopy(ear.trunk),
        views,
        training,
        recipe.stored_views,
        lambda done, total: report("storing views", done, total),
    )
    return made, Maps(copy.deepcopy(ear.trunk), Mels(ear.front_end()))


def training_paths(corpus: Corpus, bank: ImageBank | None) -> list[tuple[str, str, str]]:
    """(label, recording, path) of every clip and image of train."""
    shown = [] if bank is None else bank.images
    items = [(c.label, c.group, c.path) for c in corpus.clips if c.split == "train"]
    return items + [(f"images of {p.label}", p.path, p.path) for p in shown if p.split == "train"]


def image_size(encoders: EncoderPair) -> int:
    """Pixels a side of what the builtin image encoder looks at."""
    assert isinstance(encoders.image, TorchImageEncoder)
    return encoders.image.shape.size


def one_hot(table: QueryTable) -> QueryTable:
    """The same labels, each as an axis: vectors that know nothing of words."""
    axes = np.eye(len(table.phrases), dtype=np.float32)
    vectors = {label: axes[i : i + 1] for i, label in enumerate(table.phrases)}
    return QueryTable({label: [label] for label in vectors}, vectors, "one-hot")


def builtin_held_out(
    corpus: Corpus,
    bank: ImageBank | None,
    labels: list[str],
    split: str,
    size: int = 64,
    pairs: int = 150,
    front_end: FrontEnd | None = None,
    prepare: Prepare | None = None,
) -> HeldOut:
    """A split as the builtin encoders' inputs, which ``prepare`` makes of sounds (None: log-mels)."""
    shown = held_out_images(bank, labels, split)
    images = {label: [torch.from_numpy(views(rgb, size)) for rgb in group] for label, group in shown.items()}
    return HeldOut(corpus, labels, split, prepare or Mels(front_end), pairs, images)


def excerpt(corpus: Corpus, clip: Clip, rng: np.random.Generator) -> np.ndarray:
    """An augmented stretch of a clip of four seconds and unit rms, float32 [samples]."""
    return augmented(corpus, clip, 4.0, AUGMENTATION, rng)


def heads(
    encoder: Encoder,
    corpus: Corpus,
    bank: ImageBank | None,
    table: QueryTable,
    recipe: AlignmentConfig,
    report: Report = lambda *_: None,
) -> tuple[EncoderPair, Material, HeldOut, dict[str, Any]]:
    """As ``builtin``, for heads on a frozen encoder: its vectors of several augmented views of every item are
    made once.
    """
    held_out, count = recipe.held_out_labels, recipe.vector_views
    labels = list(table.phrases)
    clips, groups = training_items(corpus, labels, held_out)
    images = images_of(bank, labels, ("train",), held_out)
    rng = np.random.default_rng(0)
    everything = [c for group in clips.values() for c in group]
    audio: dict[int, Vectors] = {}
    mixed: dict[int, Vectors] = {}
    for done, i in enumerate(everything):
        clean = [excerpt(corpus, corpus.clips[i], rng) for _ in range(count)]
        others = [
            excerpt(corpus, corpus.clips[everything[int(rng.integers(len(everything)))]], rng)
            for _ in range(count)
        ]
        both = [
            a + b * np.float32(10 ** (rng.uniform(-5, 5) / 20)) for a, b in zip(clean, others, strict=True)
        ]
        audio[i], mixed[i] = encoder.embed_audio(clean), encoder.embed_audio(both)
        report("embedding sounds", done + 1, len(everything))
    image: dict[int, Vectors] = {}
    if bank is not None:
        image = {
            i: encoder.embed_image([bank.pixels[i], bank.pixels[i][:, ::-1]])
            for group in images.values()
            for i in group
        }
    seen = VectorViews(audio, mixed, image)
    audio_views: AudioViews = seen
    image_views: ImageViews = seen
    material = Material(table, labels, clips, groups, audio_views, images, image_views)

    def prepare(pieces: list[np.ndarray]) -> Tensor:
        return torch.from_numpy(encoder.embed_audio(pieces))

    shown = {
        label: [torch.from_numpy(encoder.embed_image([rgb])) for rgb in group]
        for label, group in held_out_images(bank, labels, "val").items()
    }
    measured = HeldOut(corpus, labels, "val", prepare, recipe.val_pairs, shown)
    return build_heads(encoder.dim), material, measured, {"kind": "heads", "encoder": encoder.id}


@torch.no_grad()
def rough_vectors(
    encoder: TorchAudioEncoder, corpus: Corpus, each: int, report: Report = lambda *_: None, batch: int = 32
) -> dict[str, Vectors]:
    """Vectors [each, D] of altered stretches of every training clip, by its path: another microphone,
    something behind it, hiss.
    """
    front_end, precision = encoder.front_end(), half()
    bank = MelBank(corpus, lambda done, total: report("analysing", done, total), front_end)
    train = [i for i, c in enumerate(corpus.clips) if c.split == "train"]
    views = MelViews(
        bank,
        ViewConfig(frames=336, speed=0.3, masks=0.0, background=0.6, background_snr_db=(0.0, 25.0)),
        train,
    )
    rng = np.random.default_rng(1)
    encoder = encoder.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    found: dict[str, Vectors] = {}
    for first in range(0, len(train), batch):
        chosen = train[first : first + batch]
        x = views.clips([i for i in chosen for _ in range(each)], rng)
        with torch.autocast("cpu", dtype=precision or torch.bfloat16, enabled=precision is not None):
            vectors = encoder(x).float().numpy().reshape(len(chosen), each, -1)
        found |= {corpus.clips[i].path: v for i, v in zip(chosen, vectors, strict=True)}
        report("embedding rough views", first + len(chosen), len(train))
    return found


def query_table(
    encoder: Encoder,
    phrases: dict[str, list[str]],
    corpus: Corpus | None,
    bank: ImageBank | None,
    augmented: int = 3,
    report: Report = lambda *_: None,
    crossed: Mapping[str, Encoder] | None = None,
    rough_of: Mapping[str, Vectors] | None = None,
) -> QueryTable:
    """The phrases, the training and validation clips and the images of every label as vectors of
    ``encoder``.

    A training clip stands there as a query by that file would, and ``augmented`` times as an altered excerpt
    with another clip softly behind it: what users bring is rougher than what encoders were trained on.
    ``crossed``: by path, an encoder that has never met the item: it makes the rough vectors of that clip (the
    whole clip is one of them then), and the only vector of that image. ``rough_of``: by path, rough
    vectors that are there already.
    """
    crossed = crossed or {}
    vectors = {label: encoder.embed_text(group) for label, group in phrases.items()}
    audio: dict[str, Examples] = {}
    image: dict[str, Examples] = {}
    rng = np.random.default_rng(1)
    if corpus is not None and "audio" in encoder.modalities:
        wanted = [c for c in corpus.clips if c.split != "test" and c.label in phrases]
        train = [c for c in wanted if c.split == "train"]
        rows: dict[str, list[tuple[Vectors, str, str]]] = {}
        for done, clip in enumerate(wanted):
            whole = corpus.samples(clip)
            rough = [whole] if clip.path in crossed else []
            for _ in range(augmented if clip.split == "train" and rough_of is None else 0):
                other = excerpt(corpus, train[int(rng.integers(len(train)))], rng)
                rough.append(
                    excerpt(corpus, clip, rng) + other * np.float32(10 ** (-rng.uniform(5, 25) / 20))
                )
            own = rows.setdefault(clip.label, [])
            own += [(v, clip.split, clip.group) for v in as_queries(encoder, [whole])]
            own += [(v, ROUGH, clip.group) for v in (rough_of or {}).get(clip.path, ())]
            if rough:
                own += [(v, ROUGH, clip.group) for v in as_queries(crossed.get(clip.path, encoder), rough)]
            report("embedding sounds", done + 1, len(wanted))
        audio = {
            label: Examples(
                np.stack([r[0] for r in group]), tuple(r[1] for r in group), tuple(r[2] for r in group)
            )
            for label, group in sorted(rows.items())
        }
    if bank is not None and "image" in encoder.modalities:
        for label, group in bank.by_label("train", "val").items():
            if label in phrases:
                shown = [bank.images[i] for i in group]
                seen = [
                    crossed.get(p.path, encoder).embed_image([read_image(bank.folder / p.path, 224)])[0]
                    for p in shown
                ]
                image[label] = Examples(
                    np.stack(seen), tuple(p.split for p in shown), tuple(p.path for p in shown)
                )
    return QueryTable(phrases, vectors, encoder.id, audio, image)


def as_queries(encoder: Encoder, sounds: list[np.ndarray]) -> Vectors:
    """Vectors of sounds, each heard in windows as an audio query is, by the mean over them."""
    return np.stack([unit(encoder.embed_audio(windows(sound)).mean(axis=0)) for sound in sounds])


def phrase_lists(
    wordnet_folder: Path, extra: list[str], seed: int = 1, each: int = 64
) -> dict[str, list[str]]:
    """Taught phrases of every label of the lexicon, and a few of each of ``extra`` (labels that only
    images have).
    """
    from offline_training.data.lexicon import FRAMES, WordNet, read_lexicon, teaching_phrases

    taught = teaching_phrases(read_lexicon(), WordNet(wordnet_folder), np.random.default_rng(seed))
    phrases = {label: group[:each] for label, group in taught.items()}
    for label in sorted(set(extra) - set(phrases)):
        phrases[label] = [label, *(frame.format(label) for frame in FRAMES[:4])]
    return phrases
