"""What alignment draws from and is measured on, for the builtin encoders and for heads on a large encoder."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from marssep_rt.query.image_input import read_image, views
from offline_training.alignment.config import AlignmentConfig
from offline_training.alignment.mel_views import MelBank, MelViews, ViewConfig
from offline_training.alignment.stored_views import Maps, store
from offline_training.alignment.validation import HeldOut, Prepare
from offline_training.data.audio_windows import windows
from offline_training.data.corpus import Clip, Corpus, CorpusError
from offline_training.data.crossfit import left_out
from offline_training.data.eval_mixtures import EvalConfig, draw_pairs, measured_clips
from offline_training.data.images import ImageBank, ImageBatches, LabelledImage
from offline_training.data.mixtures import MixtureConfig, augmented
from offline_training.data.query_table import ROUGH, Examples, QueryTable
from offline_training.data.training_data import TrainingData
from offline_training.encoders.audio_image import FrontEnd, TorchAudioEncoder, TorchImageEncoder
from offline_training.encoders.base import Encoder, Vectors
from offline_training.encoders.builtin import Mels, build_encoders, describe, encoder_shape
from offline_training.encoders.heads import VectorViews, build_heads
from offline_training.encoders.pair import EncoderPair
from offline_training.encoders.yamnet import YamnetTrunk
from offline_training.utils.precision import half
from offline_training.utils.run import RunError
from offline_training.utils.vectors import unit

Report = Callable[[str, int, int], None]
VALIDATED = "val"  # the split that encoders are measured on while they train
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


@dataclass(frozen=True)
class Selection:
    """Which clips and images are taken.

    Attributes:
        labels: Of them, in the order by which they are numbered.
        splits: Of them.
        held_out: Labels that are not taken.
        without: Paths that are not taken.
    """

    labels: Sequence[str]
    splits: Sequence[str] = ("train",)
    held_out: Collection[str] = ()
    without: Collection[str] = ()

    @cached_property
    def number(self) -> dict[str, int]:
        """Label -> its number, of the labels that are taken."""
        return {label: i for i, label in enumerate(self.labels) if label not in self.held_out}

    def takes(self, item: Clip | LabelledImage) -> bool:
        """Whether a clip or image is taken."""
        return item.split in self.splits and item.label in self.number and item.path not in self.without


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


class PreparedEncoders(NamedTuple):
    """Encoders, what they train on and are measured on, and how they are built again, as plain data."""

    encoders: EncoderPair
    material: Material
    held_out: HeldOut
    described: dict[str, Any]


def training_items(corpus: Corpus, selection: Selection) -> tuple[dict[int, list[int]], dict[int, str]]:
    """Numbers (in ``corpus.clips``) of the clips that are taken, by number of their label, and every clip's
    recording.
    """
    clips: dict[int, list[int]] = {}
    for i, clip in enumerate(corpus.clips):
        if selection.takes(clip):
            clips.setdefault(selection.number[clip.label], []).append(i)
    return clips, {i: clip.group for i, clip in enumerate(corpus.clips)}


def images_of(bank: ImageBank | None, selection: Selection) -> dict[int, list[int]]:
    """Numbers of the images that are taken, by number of their label, labels in alphabetical order."""
    images: dict[int, list[int]] = {}
    for group in {} if bank is None else bank.by_label(*selection.splits).values():
        assert bank is not None
        if kept := [i for i in group if selection.takes(bank.images[i])]:
            images[selection.number[bank.images[kept[0]].label]] = kept
    return images


def held_out_images(bank: ImageBank | None, labels: Sequence[str], split: str) -> dict[int, list[np.ndarray]]:
    """Images RGB [H, W, 3] of a split, for labels with at least MIN_IMAGES in train."""
    if bank is None:
        return {}
    train = images_of(bank, Selection(labels))
    return {
        label: [read_image(bank.folder / bank.images[i].path, 224) for i in group]
        for label, group in images_of(bank, Selection(labels, (split,))).items()
        if len(train.get(label, [])) >= MIN_IMAGES
    }


def check_data(corpus: Corpus, selection: Selection) -> None:
    """Check that there is something to train and to validate on, before everything is analysed.

    Raises:
        CorpusError: There is not.
    """
    if not any(selection.takes(clip) for clip in corpus.clips):
        raise CorpusError(
            f"the corpus has no clips of {' and '.join(selection.splits)} whose labels the query table knows"
        )
    config = EvalConfig(split=VALIDATED)
    draw_pairs(corpus, config)
    if not set(measured_clips(corpus, config)) & set(selection.labels):
        raise CorpusError(f"the query table knows no label that split {VALIDATED} can be measured on")


def check_stages(encoders: EncoderPair, recipe: AlignmentConfig) -> None:
    """Raise RunError where a stage names no parameter that it could train."""
    for stage in recipe.stages:
        if not any(moves(name, stage.trains) for name, _ in encoders.named_parameters()):
            raise RunError(f"stage {stage.number} has nothing to train: {nothing_named(stage.trains)}")


def moves(name: str, trains: Sequence[str]) -> bool:
    """Whether the parameter ``name`` is among those that a stage trains."""
    return any(name == t or name.startswith(t + ".") for t in trains)


def nothing_named(trains: Sequence[str]) -> str:
    """What to say where ``moves`` is true of no parameter."""
    return f"no parameter is named {', '.join(trains)}"


def builtin(
    data: TrainingData,
    recipe: AlignmentConfig,
    encoders: EncoderPair | None = None,
    folder: Path | None = None,
    report: Report = lambda *_: None,
) -> PreparedEncoders:
    """Builtin encoders, what they train on and are measured on, and their description.

    Args:
        data: What they are aligned on.
        recipe: Its shapes, views, splits, fold and left out labels.
        encoders: Encoders to begin with; None: untrained ones.
        folder: Where stored views are kept, if the recipe wants some.
        report: Called with what is being done, how far it is, and how far it goes.

    Raises:
        RunError: The encoders do not fit the table or the recipe.
        CorpusError: There is nothing to train or to validate on.
    """
    if recipe.one_hot:
        data = replace(data, table=one_hot(data.table))
    corpus, bank, labels = data.corpus, data.bank, data.labels
    without = frozenset[str]()
    if recipe.fold is not None:
        without = left_out(training_paths(corpus, bank), *recipe.fold)
    selection = Selection(labels, recipe.splits, recipe.held_out_labels, without)
    encoders = begin_with(encoders, recipe, data.table.dim)
    assert isinstance(encoders.audio, TorchAudioEncoder)
    if recipe.stored_views and (folder is None or not isinstance(encoders.audio.trunk, YamnetTrunk)):
        raise RunError("stored_views are for an ear on YAMNet's trunk, in a run's folder")
    check_stages(encoders, recipe)
    check_data(corpus, selection)
    front_end = encoders.audio.front_end()
    mel_bank = MelBank(corpus, lambda done, total: report("analysing", done, total), front_end)
    clips, groups = training_items(corpus, selection)
    training = sorted(c for group in clips.values() for c in group)
    heard = MelViews(mel_bank, recipe.views, training)
    audio: AudioViews = heard
    prepare: Prepare = Mels(front_end)
    if recipe.stored_views and folder is not None:
        audio, prepare = stored(recipe, encoders.audio, heard, training, folder, report)
    image = ImageBatches(bank, image_size(encoders)) if bank is not None else None
    material = Material(data.table, labels, clips, groups, audio, images_of(bank, selection), image)
    held_out = builtin_held_out(corpus, bank, labels, VALIDATED, image_size(encoders), prepare=prepare)
    told = {"labels": labels, "left_out": sorted(without), "splits": list(recipe.splits)}
    return PreparedEncoders(encoders, material, held_out, {**describe(encoders), **told})


def begin_with(encoders: EncoderPair | None, recipe: AlignmentConfig, dim: int) -> EncoderPair:
    """The encoders that a run begins with: those given but for the fresh ones, or untrained ones.

    Raises:
        RunError: Those given make vectors of another size than ``dim``.
    """
    shapes = {
        part: encoder_shape({"dim": dim, **getattr(recipe.encoders, part)}) for part in ("audio", "image")
    }
    torch.manual_seed(recipe.seed)
    untrained = build_encoders(shapes["audio"], shapes["image"])
    if encoders is None:
        return untrained
    for part in recipe.fresh:
        setattr(encoders, part, getattr(untrained, part))
    for encoder in (encoders.audio, encoders.image):
        assert isinstance(encoder, (TorchAudioEncoder, TorchImageEncoder))
        if encoder.shape.dim != dim:
            raise RunError(
                f"the encoders to begin with make vectors of {encoder.shape.dim} numbers, those of the query "
                f"table have {dim}"
            )
    return encoders


def stored(
    recipe: AlignmentConfig,
    ear: TorchAudioEncoder,
    views: MelViews,
    training: list[int],
    folder: Path,
    report: Report,
) -> tuple[AudioViews, Prepare]:
    """Views for training, and a preparation of sounds, that went through the ear's lower layers already."""
    assert isinstance(ear.trunk, YamnetTrunk)
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
    encoder: Encoder, data: TrainingData, recipe: AlignmentConfig, report: Report = lambda *_: None
) -> PreparedEncoders:
    """As ``builtin``, for heads on a frozen encoder: its vectors of several augmented views of every item are
    made once.
    """
    corpus, bank, labels, count = data.corpus, data.bank, data.labels, recipe.vector_views
    selection = Selection(labels, held_out=recipe.held_out_labels)
    torch.manual_seed(recipe.seed)
    encoders = build_heads(encoder.dim)
    check_stages(encoders, recipe)
    check_data(corpus, selection)
    clips, groups = training_items(corpus, selection)
    images = images_of(bank, selection)
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
    material = Material(data.table, labels, clips, groups, audio_views, images, image_views)

    def prepare(pieces: list[np.ndarray]) -> Tensor:
        return torch.from_numpy(encoder.embed_audio(pieces))

    shown = {
        label: [torch.from_numpy(encoder.embed_image([rgb])) for rgb in group]
        for label, group in held_out_images(bank, labels, VALIDATED).items()
    }
    measured = HeldOut(corpus, labels, VALIDATED, prepare, recipe.val_pairs, shown)
    return PreparedEncoders(encoders, material, measured, {"kind": "heads", "encoder": encoder.id})


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
