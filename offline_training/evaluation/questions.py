"""What a separator is asked when it is measured: fixed mixtures of unseen recordings, each with its true
target and a query.

Every set is a generator of ``Question``: the same for every model, drawn from its own seed. Two sounds are
mixed at -5..5 dB, as in ``eval_set``. Queries come from a ``Voice``: words, recordings and images as the
model's encoders have them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from offline_training.data.corpus import BACKGROUNDS, SAMPLE_RATE, Clip, Corpus
from offline_training.data.eval_mixtures import EvalConfig, Pair, draw_pairs, excerpt, measured_clips, render
from offline_training.data.mixtures import rms, room_impulse

Audio = npt.NDArray[np.float32]
Vector = npt.NDArray[np.float32]
T = TypeVar("T")
SECONDS = 4.0
LEVEL_DBFS = -25.0


@dataclass(frozen=True)
class Ask:
    """One query to the separator: what to keep, what to push away (None: nothing is said of it), and what is
    taken out by its own mask (None: nothing); and the attenuation limit of doubted words in dB.
    """

    query: Vector
    other: Vector | None = None
    drop: Vector | None = None
    limit_db: float | None = None


@dataclass(frozen=True)
class Question:
    """A mixture and its target, float32 [samples] (zeros: absent), and what is asked; several asks are
    united.
    """

    label: str
    mixture: Audio
    target: Audio
    asks: tuple[Ask, ...]


class Voice(Protocol):
    """Who asks. A recording or image that cannot be embedded is None."""

    def text(self, words: str) -> Vector: ...

    def text_in(self, words: str, mixture: Audio) -> Vector: ...

    def limit_db(self, words: str) -> float | None: ...

    def recordings(self, clips: Sequence[Clip], mixture: Audio) -> Vector | None: ...

    def images(self, pair: Pair, split: str, count: int, mixture: Audio) -> Vector | None: ...

    def has_images(self, label: str, split: str) -> bool: ...


Questions = Iterator[Question]


def said(voice: Voice, words: str, other: str | None = None, drop: str | None = None) -> Ask:
    """What a voice asks by words; ``other`` and ``drop`` in words, too."""
    away, out = (None if x is None else voice.text(x) for x in (other, drop))
    return Ask(voice.text(words), away, out, voice.limit_db(words))


def said_in(voice: Voice, words: str, mixture: Audio) -> Ask:
    """What a voice asks of a mixture [samples] by words that may name a family."""
    return Ask(voice.text_in(words, mixture), limit_db=voice.limit_db(words))


@dataclass(frozen=True)
class Sources:
    """Clips that may be mixed: of a split, of labels with enough of them in train; ``unseen`` labels are
    never among them.
    """

    corpus: Corpus
    config: EvalConfig
    unseen: tuple[str, ...] = ()

    @property
    def clips(self) -> dict[str, list[Clip]]:
        return measured_clips(self.corpus, self.config, self.unseen)

    def audio(self, clip: Clip, rng: np.random.Generator) -> Audio:
        """Four seconds of a clip with something to hear, of unit rms."""
        samples = round(SECONDS * SAMPLE_RATE)
        sound = excerpt(self.corpus.samples(clip), samples, rng)
        return sound / np.float32(max(rms(sound), 1e-6))

    def pairs(self, seed: int = 0, count: int | None = None) -> list[Pair]:
        """Two-source mixtures of seen labels, as validation draws them; another ``seed`` gives others."""
        config = replace(
            self.config,
            seed=self.config.seed + seed,
            mixtures=count or self.config.mixtures,
            unseen_mixtures=0,
        )
        return draw_pairs(self.corpus, config, self.unseen)

    def unseen_pairs(self) -> list[Pair]:
        config = replace(self.config, mixtures=0, unseen_mixtures=self.config.unseen_mixtures)
        return draw_pairs(self.corpus, config, self.unseen)


def at_level(parts: Sequence[Audio]) -> list[Audio]:
    """The parts, together at ``LEVEL_DBFS``."""
    gain = np.float32(10 ** (LEVEL_DBFS / 20) / max(rms(np.sum(parts, axis=0, dtype=np.float32)), 1e-9))
    return [part * gain for part in parts]


def louder(audio: Audio, gain_db: float) -> Audio:
    return audio * np.float32(10 ** (gain_db / 20))


def asked(sources: Sources, pairs: Sequence[Pair], query: Callable[[Pair], Ask | None]) -> Questions:
    """The pairs' mixtures, each asked as ``query`` says; those for which it says None are left out."""
    return asked_of(sources, pairs, lambda pair, _: query(pair))


def asked_of(
    sources: Sources, pairs: Sequence[Pair], query: Callable[[Pair, Audio], Ask | None]
) -> Questions:
    """As ``asked``; ``query`` hears the mixture [samples], too."""
    for pair in pairs:
        mixture, target, _ = render(sources.corpus, pair, sources.config)
        if (ask := query(pair, mixture)) is not None:
            yield Question(pair.target.label, mixture, target, (ask,))


def by_label(sources: Sources, voice: Voice, count: int) -> Questions:
    """Seen labels by their own words."""
    return asked(sources, sources.pairs(count=count), lambda pair: said(voice, pair.target.label))


def absent(sources: Sources, voice: Voice, count: int) -> Questions:
    """A label that is not there: the target is silence."""
    for question, pair in zip(by_label(sources, voice, count), sources.pairs(count=count), strict=True):
        yield replace(
            question,
            label=pair.absent_label,
            target=np.zeros_like(question.target),
            asks=(said(voice, pair.absent_label),),
        )


def with_other(sources: Sources, voice: Voice, count: int) -> Questions:
    """A not B: the same mixtures as ``by_label``, B named as what to push away."""
    return asked(
        sources,
        sources.pairs(count=count),
        lambda pair: said(voice, pair.target.label, other=pair.interferer.label),
    )


def without_other(sources: Sources, voice: Voice, count: int) -> Questions:
    """A not B as the runtime does it: the same mixtures as ``by_label``, B named as what to push away and
    taken out by its own mask.
    """
    return asked(
        sources,
        sources.pairs(count=count),
        lambda pair: said(voice, pair.target.label, pair.interferer.label, pair.interferer.label),
    )


def by_recordings(
    sources: Sources, voice: Voice, count: int, recordings: int, pairs: Sequence[Pair] | None = None
) -> Questions:
    """By other recordings of the measured split and, for unseen labels, of all: nothing was ever trained or
    chosen on them.
    """

    clips = {split: sources.corpus.by_label(split) for split in ("train", sources.config.split)}

    def query(pair: Pair, mixture: Audio) -> Ask | None:
        label = pair.target.label
        splits = ("train", sources.config.split) if label in sources.unseen else (sources.config.split,)
        rng = np.random.default_rng(pair.seed)
        every = [c for s in splits for c in clips[s].get(label, []) if c.group != pair.target.group]
        groups = sorted({c.group for c in every})
        if not groups:
            return None
        chosen = rng.choice(groups, min(recordings, len(groups)), replace=False)
        picked = [[c for c in every if c.group == g] for g in chosen]
        vector = voice.recordings([group[int(rng.integers(len(group)))] for group in picked], mixture)
        return None if vector is None else Ask(vector)

    return asked_of(sources, sources.pairs(count=count) if pairs is None else pairs, query)


def by_images(sources: Sources, voice: Voice, count: int, images: int = 3) -> Questions:
    """By images of the measured split."""

    def query(pair: Pair, mixture: Audio) -> Ask | None:
        vector = voice.images(pair, sources.config.split, images, mixture)
        return None if vector is None else Ask(vector)

    return asked_of(sources, shown_pairs(sources, voice, count), query)


def label_for_images(sources: Sources, voice: Voice, count: int) -> Questions:
    """The mixtures of ``by_images`` by words."""

    pairs = shown_pairs(sources, voice, count)
    return asked(sources, pairs, lambda pair: said(voice, pair.target.label))


def shown_pairs(sources: Sources, voice: Voice, count: int) -> list[Pair]:
    """Those of ``count`` pairs whose target there are images of."""
    split = sources.config.split
    return [pair for pair in sources.pairs(count=count) if voice.has_images(pair.target.label, split)]


def by_words(
    sources: Sources, voice: Voice, words: Mapping[str, Collection[str]], each: int, as_label: bool = False
) -> Questions:
    """Words that people type, each over ``each`` mixtures of a sound that it names and one that it does not.

    Of words for several labels every third target is two of them at once. ``as_label``: the same mixtures by
    the labels' own names.
    """
    clips = sources.clips
    for number, (word, names) in enumerate(words.items()):
        mine = [label for label in names if label in clips]
        rest = [label for label in clips if label not in names]
        for turn in range(each if mine else 0):
            rng = np.random.default_rng((sources.config.seed, number, turn))
            count = 2 if turn % 3 == 2 and len(mine) > 1 else 1
            labels = [mine[int(i)] for i in rng.choice(len(mine), count, replace=False)]
            target = np.sum(
                [louder(sources.audio(pick(clips[x], rng), rng), rng.uniform(-3, 3)) for x in labels], axis=0
            )
            target = target / np.float32(rms(target))
            other = louder(sources.audio(pick(clips[pick(rest, rng)], rng), rng), rng.uniform(-5, 5))
            target, other = at_level([target, other])
            mixture = target + other
            if as_label:
                asks = tuple(said(voice, label) for label in labels)
            else:
                asks = (said_in(voice, word, mixture),)
            yield Question(word, mixture, target, asks)


def two_at_once(sources: Sources, voice: Voice, count: int) -> Questions:
    """Three sources, two of them asked for."""
    clips = sources.clips
    labels = list(clips)
    rng = np.random.default_rng((sources.config.seed, 3))
    for _ in range(count):
        chosen = [labels[i] for i in rng.choice(len(labels), 3, replace=False)]
        parts = at_level(
            [louder(sources.audio(pick(clips[label], rng), rng), rng.uniform(-3, 3)) for label in chosen]
        )
        target = parts[0] + parts[1]
        yield Question(
            " + ".join(chosen[:2]),
            target + parts[2],
            target,
            tuple(said(voice, label) for label in chosen[:2]),
        )


def wild(sources: Sources, voice: Voice, count: int) -> Questions:
    """As recorded elsewhere: each source in a room of its own, a place behind them, noise that belongs to the
    target, a codec's band.

    The target is what the room makes of it, with its own noise, and as narrow as the recording.
    """
    places = [c for c in sources.corpus.clips if c.label in BACKGROUNDS and c.split == sources.config.split]
    for pair in sources.pairs(seed=7, count=count):
        rng = np.random.default_rng((pair.seed, 7))
        target, other = (in_a_room(sources.audio(clip, rng), rng) for clip in (pair.target, pair.interferer))
        behind = sources.audio(pick(places, rng), rng) if places else np.zeros_like(target)
        target = target + louder(rng.standard_normal(len(target)).astype(np.float32), rng.uniform(-40, -25))
        parts = at_level([target, louder(other, -pair.snr_db), louder(behind, -rng.uniform(8, 20))])
        cut = float(np.exp(rng.uniform(np.log(4000), np.log(16000))))
        narrow = [low_pass(part, cut) for part in parts]
        yield Question(
            pair.target.label,
            np.sum(narrow, axis=0, dtype=np.float32),
            narrow[0],
            (said(voice, pair.target.label),),
        )


def in_a_room(audio: Audio, rng: np.random.Generator) -> Audio:
    """Convolved with a random room, of unit rms again, same length."""
    import scipy.signal

    wet = scipy.signal.fftconvolve(audio, room_impulse(rng))[: len(audio)].astype(np.float32)
    return np.asarray(wet / max(rms(wet), 1e-6), np.float32)


def low_pass(audio: Audio, cut_hz: float) -> Audio:
    """Without what lies above ``cut_hz``, without delay."""
    import scipy.signal

    return np.asarray(
        scipy.signal.sosfiltfilt(scipy.signal.butter(6, cut_hz, fs=SAMPLE_RATE, output="sos"), audio),
        np.float32,
    )


def speech(sources: Sources, voice: Voice, count: int, word: str = "speech") -> Questions:
    """Voices of the measured split under sounds that are no voice or music, at -5..10 dB: what a noise
    suppressor is for.
    """
    clips = sources.clips
    voices = [label for label in ("male speech", "female speech", "child speech") if label in clips]
    from offline_training.encoders.sound_space import read_families

    vocal = {
        m
        for name, (_, members) in read_families(clips.keys()).items()
        if name in ("human sounds", "music")
        for m in members
    }
    noises = [label for label in clips if label not in vocal]
    rng = np.random.default_rng((sources.config.seed, 5))
    for _ in range(count):
        label = pick(voices, rng)
        target = sources.audio(pick(clips[label], rng), rng)
        noise = louder(sources.audio(pick(clips[pick(noises, rng)], rng), rng), -rng.uniform(-5, 10))
        target, noise = at_level([target, noise])
        mixture = target + noise
        yield Question(label, mixture, target, (said_in(voice, word, mixture),))


def pick(items: Sequence[T], rng: np.random.Generator) -> T:
    return items[int(rng.integers(len(items)))]
