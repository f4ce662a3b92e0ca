"""Mix-and-separate: labelled clips in, (mixture, targets, queries) batches out; every source of a mixture
becomes a query.

A batch is a pure function of (seed, step), whatever process draws it: a resumed training sees what an
uninterrupted one would have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

import numpy as np
import numpy.typing as npt
import scipy.fft
import torch
from torch.utils.data import Dataset

from marssep_rt.contract import QUERY
from offline_training.data.corpus import BACKGROUNDS, SAMPLE_RATE, Clip, Corpus, CorpusError
from offline_training.data.query_table import ROUGH, Examples, QueryTable, omni
from offline_training.utils.recipe import Key, share
from offline_training.utils.vectors import unit

Audio = npt.NDArray[np.float32]
QUERY_LOSS = 0.3  # share of dimensions that a query loses by ``query_dropout``
FAR_OTHER = 0.15  # how often what is pushed away is not in the mixture at all: people guess


@dataclass(frozen=True)
class MixtureConfig:
    """How training mixtures are drawn and queried. Probabilities in 0..1, levels in dB."""

    seconds: Annotated[float, Key("Length of a mixture.", least=0.1)] = 2.4
    queries: Annotated[int, Key("Queries of a batch; every source of a mixture is one.", least=1)] = 10
    absent: Annotated[float, Key("Share of queries for a sound that is not there.", least=0, most=0.9)] = 0.12
    absent_sibling: Annotated[float, share("How often an absent sound is near to a source in meaning.")] = 0.5
    label_query: Annotated[float, share("How often a text query is the label, not a paraphrase.")] = 0.5
    query_noise_cosine: Annotated[float, share("Cosine that noise on a query keeps at least.")] = 0.9
    easy_steps: Annotated[int, Key("Steps with two sources at similar levels.", least=0)] = 1000
    easy_snr_db: Annotated[float, Key("Spread of the levels in those steps.", least=0)] = 4.0
    snr_db: Annotated[float, Key("Spread of the sources' levels.", least=0)] = 10.0
    source_counts: Annotated[
        tuple[float, float, float],
        share("Shares of mixtures of two, three and four sources; sum 1."),
    ] = (0.7, 0.2, 0.1)
    sibling_mixture: Annotated[float, share("How often a source is near to the first in meaning.")] = 0.2
    level_dbfs: Annotated[tuple[float, float], Key("Range of a mixture's level.")] = (-40.0, -12.0)
    speed: Annotated[float, share("How often a recording is played faster or slower.")] = 0.4
    equaliser: Annotated[float, share("How often a source is equalised.")] = 0.5
    equaliser_db: Annotated[float, Key("Largest gain and loss of the equaliser.", least=0)] = 8.0
    bandwidth: Annotated[float, share("How often a source is limited in bandwidth.")] = 0.25
    room: Annotated[float, share("How often a source is in a room.")] = 0.25
    noise: Annotated[float, share("How often white noise is in a mixture.")] = 0.3
    layer: Annotated[float, share("How often a source is two recordings at once.")] = 0.0
    thin_label_power: Annotated[
        float, share("Labels are drawn by their number of recordings to this power.")
    ] = 0.5
    favoured_labels: Annotated[
        tuple[str, ...], Key("Labels that are drawn more often: what people ask for most.", named=True)
    ] = ()
    favour: Annotated[float, Key("How many times as often as they would be.", least=1)] = 4.0
    sibling_count: Annotated[int, Key("How many labels count as near to one.", least=1)] = 6
    query_kinds: Annotated[
        tuple[float, float, float, float],
        share("Shares of queries by text, recording, image and blends of them; sum 1."),
    ] = (1.0, 0.0, 0.0, 0.0)
    negative: Annotated[float, share("How often a query is pushed away from another source.")] = 0.0
    held_out_labels: Annotated[tuple[str, ...], Key("Labels that never take part.", named=True)] = ()
    own_query: Annotated[float, share("Share of queries by recording that are by the very recording.")] = 0.0
    several_query: Annotated[float, share("Share of the others that are the mean of two to five.")] = 0.0
    query_dropout: Annotated[float, share("How often a query loses 30 % of its dimensions.")] = 0.0
    other: Annotated[float, share("How often a query comes with what to push away.")] = 0.0
    family: Annotated[float, share("How often a family is asked for; its members are the target.")] = 0.0
    background: Annotated[float, share("How often something nobody asks for is behind a mixture.")] = 0.0
    background_labels: Annotated[tuple[str, ...], Key("Labels of such backgrounds.")] = BACKGROUNDS
    background_snr_db: Annotated[
        tuple[float, float], Key("Range of the first source's level over the background.")
    ] = (0.0, 25.0)
    target_noise: Annotated[float, share("How often noise belongs to a source.")] = 0.0
    microphone: Annotated[float, share("How often all sources share an equaliser and a bandwidth.")] = 0.0

    def __post_init__(self) -> None:
        for name in ("source_counts", "query_kinds"):
            if abs(sum(getattr(self, name)) - 1) > 1e-6:
                raise ValueError(f"the shares of {name} are {sum(getattr(self, name)):g} together, not 1")


class Batch(TypedDict):
    mixtures: torch.Tensor  # [M, samples]
    targets: torch.Tensor  # [Q, samples], zeros where the queried sound is absent
    mixture_of: torch.Tensor  # [Q], row of ``mixtures``
    queries: torch.Tensor  # [Q, D], unit norm
    others: torch.Tensor  # [Q, D], unit norm: what else is there; zeros where nothing is said of it
    absent: torch.Tensor  # [Q], bool
    labels: torch.Tensor  # [Q], what is asked for, as its number in the query table


def joined(batches: Sequence[Batch]) -> Batch:
    """Several batches as one."""
    if len(batches) == 1:
        return batches[0]
    starts = np.cumsum([0, *(len(b["mixtures"]) for b in batches)])
    names = ("mixtures", "targets", "queries", "others", "absent", "labels")
    every: Any = {name: torch.cat([b[name] for b in batches]) for name in names}  # type: ignore[literal-required]
    every["mixture_of"] = torch.cat(
        [b["mixture_of"] + int(at) for b, at in zip(batches, starts, strict=False)]
    )
    return every  # type: ignore[no-any-return]


def rows_of(batch: Batch, rows: torch.Tensor) -> Batch:
    """Some of a batch's queries, by their numbers [R]; the mixtures stay."""
    some: Any = {name: value if name == "mixtures" else value[rows] for name, value in batch.items()}  # type: ignore[index]
    return some  # type: ignore[no-any-return]


def rms(x: Audio) -> float:
    return float(np.sqrt(np.dot(x, x) / len(x) + 1e-20))


def place(audio: Audio, samples: int, rng: np.random.Generator, repeat: float = 0.4) -> Audio:
    """A crop of ``samples`` with something to hear in it; shorter clips are put at a random place, or
    repeated with gaps.
    """
    if len(audio) >= samples:
        best, best_level = audio[:samples], -1.0
        whole = rms(audio)
        for _ in range(4):
            start = int(rng.integers(0, len(audio) - samples + 1))
            crop = audio[start : start + samples]
            level = rms(crop)
            if level > best_level:
                best, best_level = crop, level
            if level > 0.5 * whole:
                break
        return best.copy()
    out = np.zeros(samples, np.float32)
    at = int(rng.integers(0, samples - len(audio) + 1))
    if rng.random() < repeat:
        at = int(rng.integers(-len(audio) // 2, max(1, len(audio) // 2)))
        while at < samples:
            first, last = max(at, 0), min(at + len(audio), samples)
            if last > first:
                out[first:last] += audio[first - at : last - at]
            at += len(audio) + int(rng.integers(0, SAMPLE_RATE // 2))
    else:
        out[at : at + len(audio)] = audio
    return out


def change_speed(audio: Audio, factor: float) -> Audio:
    """Play ``factor`` times as fast (pitch moves along), by linear interpolation."""
    positions = np.arange(0, len(audio) - 1, factor)
    return np.interp(positions, np.arange(len(audio)), audio).astype(np.float32)


def gain_curve(
    config: MixtureConfig, rng: np.random.Generator, equalise: bool, limit: bool
) -> npt.NDArray[np.float64]:
    """A random equaliser and bandwidth limit in dB at 512 frequencies from 0 to 24 kHz."""
    hz = np.linspace(0, SAMPLE_RATE / 2, 512)
    gain_db = np.zeros(512)
    if equalise:
        knots = np.log(np.array([40.0, 150.0, 500.0, 1500.0, 4000.0, 9000.0, 20000.0]))
        gain_db += np.interp(
            np.log(hz + 20.0), knots, rng.uniform(-config.equaliser_db, config.equaliser_db, len(knots))
        )
    if limit:
        cut = np.exp(rng.uniform(np.log(3500.0), np.log(20000.0)))
        gain_db -= np.clip((hz / cut - 1.0) * 200.0, 0.0, 70.0)
    return gain_db


def colour(
    audio: Audio,
    config: MixtureConfig,
    rng: np.random.Generator,
    microphone: npt.NDArray[np.float64] | None = None,
) -> Audio:
    """Random equaliser, bandwidth limit and room, and a ``microphone``'s curve, all in one pass over the
    spectrum; same length.
    """
    equalise, limit, room = rng.random(3) < (config.equaliser, config.bandwidth, config.room)
    if not (equalise or limit or room) and microphone is None:
        return audio
    n = len(audio)
    impulse = room_impulse(rng) if room else None
    size = scipy.fft.next_fast_len(n + (len(impulse) if impulse is not None else 0), real=True)
    spectrum = scipy.fft.rfft(audio, size)
    if equalise or limit or microphone is not None:
        gain_db = gain_curve(config, rng, equalise, limit) + (0.0 if microphone is None else microphone)
        spectrum *= np.interp(
            np.linspace(0, 511, len(spectrum)), np.arange(512), 10 ** (gain_db / 20)
        ).astype(np.float32)
    if impulse is not None:
        spectrum *= scipy.fft.rfft(impulse, size)
    return np.ascontiguousarray(scipy.fft.irfft(spectrum, size)[:n], dtype=np.float32)


def room_impulse(rng: np.random.Generator) -> Audio:
    """Direct sound, a few early reflections and an exponentially decaying diffuse tail (0.1 to 0.5 s to -60
    dB).
    """
    decay = rng.uniform(0.1, 0.5)
    n = int(decay * SAMPLE_RATE)
    tail = rng.standard_normal(n, dtype=np.float32) * np.exp(-6.9 * np.arange(n, dtype=np.float32) / n)
    tail[: int(0.005 * SAMPLE_RATE)] = 0
    tail *= 10 ** (rng.uniform(-14.0, -2.0) / 20) / max(1e-9, float(np.sqrt(np.sum(tail**2))))
    tail[0] = 1.0
    early = rng.integers(int(0.002 * SAMPLE_RATE), max(int(0.03 * SAMPLE_RATE), 200), 4)
    tail[early] += rng.uniform(-0.4, 0.4, 4).astype(np.float32)
    return tail


def augmented(
    corpus: Corpus,
    clip: Clip,
    seconds: float,
    config: MixtureConfig,
    rng: np.random.Generator,
    microphone: npt.NDArray[np.float64] | None = None,
) -> Audio:
    """A stretch of a clip with random speed and colour, of unit rms, float32 [samples]."""
    samples = round(seconds * SAMPLE_RATE)
    faster = float(rng.uniform(0.85, 1.2)) if rng.random() < config.speed else 1.0
    need = int(samples * faster) + 2
    start = 0
    if clip.length > 3 * need:  # no need to turn a whole minute into floats
        start = int(rng.integers(0, clip.length - 3 * need))
    crop = place(corpus.samples(clip, start, 3 * need), need, rng)
    if faster != 1.0:
        crop = change_speed(crop, faster)
    crop = colour(crop[:samples], config, rng, microphone)
    return np.asarray(crop / max(rms(crop), 1e-6), np.float32)


@dataclass(frozen=True)
class Source:
    """One sound of a mixture, float32 [samples], its label, and the recording (group) that it is made of."""

    label: str
    audio: Audio
    group: str


class MixtureDataset(Dataset[Batch]):
    """Item ``step`` is that step's batch. ``steps`` is the length of the training.

    ``own``: which of the shards, draws of ``config.queries`` queries each, that make up a step's batch are
    drawn here.
    """

    def __init__(
        self,
        corpus: Corpus,
        table: QueryTable,
        config: MixtureConfig,
        steps: int,
        seed: int,
        split: str = "train",
        own: Sequence[int] = (0,),
    ) -> None:
        self.own = tuple(own)
        self.corpus, self.table, self.config, self.steps, self.seed = corpus, table, config, steps, seed
        self.clips = corpus.by_label(split)
        allowed = [label for label in self.clips if label not in config.held_out_labels]
        self.labels = [
            label for label in allowed if label in table.index and label not in config.background_labels
        ]
        if len(self.labels) < 2:
            raise CorpusError("mixtures need clips of at least two labels that the query table knows")
        self.backgrounds = [
            label for label in config.background_labels if label in allowed and label in table.index
        ]
        if config.background and not self.backgrounds:
            raise CorpusError(
                f"corpus and query table have no {' or '.join(config.background_labels)} to "
                "put behind mixtures"
            )
        if config.family and not table.families:
            raise CorpusError(
                "the query table has no families; make it with marssep train embed, or set family to 0"
            )
        self.families_of = {
            label: [f for f, members in table.families.items() if label in members] for label in self.labels
        }
        self.music = {
            label for name in ("music", "musical instrument") for label in table.families.get(name, ())
        }
        groups = np.array([len({c.group for c in self.clips[label]}) for label in self.labels], np.float64)
        favoured = [label in config.favoured_labels for label in self.labels]
        weights = np.where(favoured, config.favour, 1.0) * groups**config.thin_label_power
        self.weights = weights / weights.sum()
        self.siblings = table.siblings(self.labels, config.sibling_count)

    def __len__(self) -> int:
        return self.steps

    def draw_label(self, rng: np.random.Generator) -> str:
        return self.labels[int(rng.choice(len(self.labels), p=self.weights))]

    def source(
        self, label: str, rng: np.random.Generator, microphone: npt.NDArray[np.float64] | None = None
    ) -> Source:
        """One augmented source of unit rms."""
        first = self.one(label, rng, microphone)
        more: list[tuple[Audio, float]] = []
        if rng.random() < self.config.layer:
            # two recordings of the label as one source: more variety than the corpus has recordings
            more.append((self.one(label, rng, microphone).audio, rng.uniform(-10, 0)))
        if rng.random() < self.config.target_noise:
            # what a microphone hears beside its subject belongs to the subject
            more.append((self.one(self.a_background(rng), rng, microphone).audio, rng.uniform(-30, -12)))
        if not more:
            return first
        both = first.audio + sum(audio * np.float32(10 ** (level_db / 20)) for audio, level_db in more)
        return Source(label, np.asarray(both / max(rms(both), 1e-6), np.float32), first.group)

    def one(
        self, label: str, rng: np.random.Generator, microphone: npt.NDArray[np.float64] | None = None
    ) -> Source:
        """One augmented recording of unit rms."""
        clips: list[Clip] = self.clips[label]
        clip = clips[int(rng.integers(len(clips)))]
        return Source(
            label, augmented(self.corpus, clip, self.config.seconds, self.config, rng, microphone), clip.group
        )

    def a_background(self, rng: np.random.Generator) -> str:
        return self.backgrounds[int(rng.integers(len(self.backgrounds)))]

    def mixture(self, rng: np.random.Generator, step: int) -> tuple[Audio, list[Source], list[Source]]:
        """A mixture, the sources that may be asked for, and what is behind them; levels applied."""
        config = self.config
        easy = step < config.easy_steps
        count = 2 if easy else 2 + int(rng.choice(3, p=config.source_counts))
        count = min(count, len(self.labels))
        labels: list[str] = [self.draw_label(rng)]
        while len(labels) < count:
            if not easy and rng.random() < config.sibling_mixture:
                near = self.siblings[labels[0]]
                label = near[int(rng.integers(len(near)))]
            else:
                label = self.draw_label(rng)
            if label not in labels:
                labels.append(label)
        microphone = None
        if rng.random() < config.microphone:
            microphone = gain_curve(config, rng, equalise=True, limit=bool(rng.random() < 0.5))
        spread = config.easy_snr_db if easy else config.snr_db
        parts = []
        for i, label in enumerate(labels):
            gain_db = 0.0 if i == 0 else rng.uniform(-spread, spread) / (1.0 if count == 2 else 1.5)
            parts.append(louder(self.source(label, rng, microphone), gain_db))
        behind = []
        if rng.random() < config.background:
            label = self.a_background(rng)
            if "music" in self.labels and not self.music.intersection(labels) and rng.random() < 0.3:
                label = "music"
            behind.append(louder(self.one(label, rng, microphone), -rng.uniform(*config.background_snr_db)))
        mix: Audio = np.stack([s.audio for s in [*parts, *behind]]).sum(axis=0)
        gain_db = rng.uniform(*config.level_dbfs) - 20 * np.log10(max(rms(mix), 1e-6))
        parts, behind = ([louder(s, gain_db) for s in group] for group in (parts, behind))
        mix = mix * np.float32(10 ** (gain_db / 20))
        if rng.random() < config.noise:
            mix = mix + rng.standard_normal(len(mix), dtype=np.float32) * np.float32(
                rms(mix) * 10 ** (rng.uniform(-50, -25) / 20)
            )
        return mix, parts, behind

    def words(self, label: str, rng: np.random.Generator) -> Audio:
        """The label's own vector or a paraphrase's."""
        vectors = self.table.vectors_of(label)
        return vectors[0 if rng.random() < self.config.label_query else int(rng.integers(len(vectors)))]

    def recording(self, examples: Examples, group: str, rng: np.random.Generator) -> Audio:
        """A query by recording: of ``group`` itself, by another one, or the mean of several others."""
        own = examples.of_group(group)
        if len(own) and rng.random() < self.config.own_query:
            return examples.vectors[int(rng.choice(own))]
        rows = examples.of("train", ROUGH, other_than=group)
        if rng.random() < self.config.several_query:
            return unit(examples.vectors[rng.choice(rows, int(rng.integers(2, 6)))].mean(0))
        return examples.vectors[int(rng.choice(rows))]

    def query(self, label: str, group: str, others: list[str], rng: np.random.Generator) -> Audio:
        """A query for ``label``; by the recording ``group`` that is to be separated only as often as
        ``own_query`` says.

        ``others``: labels of the mixture's other sources, of which one may be pushed away from. Unit norm,
        with noise.
        """
        config, table = self.config, self.table
        kind = ("text", "audio", "image", "blend")[int(rng.choice(4, p=config.query_kinds))]
        parts: dict[str, Audio] = {}
        if kind in ("audio", "blend") and label in table.audio:
            parts["audio"] = self.recording(table.audio[label], group, rng)
        if (
            kind in ("image", "blend")
            and label in table.image
            and len(rows := table.image[label].of("train"))
        ):
            count = min(len(rows), int(rng.integers(1, 4)))
            parts["image"] = unit(table.image[label].vectors[rng.choice(rows, count, replace=False)].mean(0))
        if kind in ("text", "blend") or not parts:
            parts["text"] = self.words(label, rng)
        if rng.random() < 0.5:
            q = omni(parts)
        else:
            q = unit(
                np.tensordot(
                    rng.dirichlet(np.ones(len(parts))).astype(np.float32), np.stack(list(parts.values())), 1
                )
            )
        if others and rng.random() < config.negative:
            q = unit(
                (1 + QUERY.negative_weight) * q
                - QUERY.negative_weight * self.words(others[int(rng.integers(len(others)))], rng)
            )
        return self.noisy(q, rng)

    def noisy(self, q: Audio, rng: np.random.Generator) -> Audio:
        """A unit vector with noise down to the configured cosine, at times without a share of its dimensions;
        unit norm.
        """
        cosine = rng.uniform(self.config.query_noise_cosine, 1.0)
        noise = rng.standard_normal(len(q), dtype=np.float32)
        noise -= q * (noise @ q)
        noise /= np.linalg.norm(noise)
        q = (cosine * q + np.sqrt(1 - cosine**2) * noise).astype(np.float32)
        return unit(q * (rng.random(len(q)) > QUERY_LOSS)) if rng.random() < self.config.query_dropout else q

    def family_asked(self, label: str, rng: np.random.Generator) -> str | None:
        """The family that is asked for instead of the label, where one is; always that of the label's own
        name, as "music" is.
        """
        if not self.config.family:
            return None
        families = self.families_of[label]
        if label in families:
            return label
        return (
            families[int(rng.integers(len(families)))]
            if families and rng.random() < self.config.family
            else None
        )

    def family_query(self, name: str, rng: np.random.Generator) -> Audio:
        """A query for a family in words."""
        vectors = self.table.family_vectors[name]
        return self.noisy(vectors[int(rng.integers(len(vectors)))], rng)

    def away(self, rest: Sequence[Source], rng: np.random.Generator) -> Audio:
        """What to push away: one of ``rest``, all of them, or a sound that is not there; zeros where nothing
        is said.
        """
        if not rest or rng.random() >= self.config.other:
            return np.zeros(self.table.dim, np.float32)
        if rng.random() < FAR_OTHER:
            return self.query(self.draw_label(rng), "", [], rng)
        chosen = list(rest) if rng.random() < 0.5 else [rest[int(rng.integers(len(rest)))]]
        return unit(np.mean([self.query(s.label, s.group, [], rng) for s in chosen], axis=0))

    def __getitem__(self, step: int) -> Batch:
        return joined([self.shard(step, (self.seed, step, k)) for k in self.own])

    def absent_query(self, parts: Sequence[Source], rng: np.random.Generator) -> tuple[Audio, int] | None:
        """A query for what is not among ``parts``, half of them near to the first of them, and its label's
        number.
        """
        present = {s.label for s in parts}
        near = self.siblings[parts[0].label] if rng.random() < self.config.absent_sibling else self.labels
        others = [label for label in near if label not in present]
        if not others:
            return None
        label = others[int(rng.integers(len(others)))]
        families = [f for f in self.families_of[label] if not present.intersection(self.table.families[f])]
        if families and rng.random() < self.config.family:
            return self.family_query(families[int(rng.integers(len(families)))], rng), self.table.index[label]
        return self.query(label, "", [], rng), self.table.index[label]

    def shard(self, step: int, seed: tuple[int, ...]) -> Batch:
        """One shard of a step's batch."""
        rng = np.random.default_rng(seed)
        config = self.config
        mixtures: list[Audio] = []
        rows: list[tuple[int, Audio, Audio, Audio, bool, int]] = []
        while len(rows) < config.queries:
            mix, parts, behind = self.mixture(rng, step)
            # before the mixture's own sources: what a full batch cuts off must not be the absent queries
            if rng.random() < config.absent * len(parts) / (1 - config.absent) and (
                found := self.absent_query(parts, rng)
            ):
                rows.append(
                    (
                        len(mixtures),
                        np.zeros_like(mix),
                        found[0],
                        self.away([*parts, *behind], rng),
                        True,
                        found[1],
                    )
                )
            for part in parts:
                asked = [part]
                if family := self.family_asked(part.label, rng):
                    asked = [s for s in parts if s.label in self.table.families[family]]
                    query = self.family_query(family, rng)
                else:
                    query = self.query(
                        part.label, part.group, sorted({s.label for s in parts} - {part.label}), rng
                    )
                rest = [s for s in [*parts, *behind] if not any(s is a for a in asked)]
                target: Audio = np.stack([s.audio for s in asked]).sum(axis=0)
                rows.append(
                    (len(mixtures), target, query, self.away(rest, rng), False, self.table.index[part.label])
                )
            mixtures.append(mix)
        rows = rows[: config.queries]
        mixtures = mixtures[: rows[-1][0] + 1]
        return {
            "mixtures": torch.from_numpy(np.stack(mixtures)),
            "targets": torch.from_numpy(np.stack([r[1] for r in rows])),
            "mixture_of": torch.tensor([r[0] for r in rows]),
            "queries": torch.from_numpy(np.stack([r[2] for r in rows])),
            "others": torch.from_numpy(np.stack([r[3] for r in rows])),
            "absent": torch.tensor([r[4] for r in rows]),
            "labels": torch.tensor([r[5] for r in rows]),
        }


def louder(source: Source, gain_db: float) -> Source:
    """The same source ``gain_db`` louder."""
    return Source(source.label, source.audio * np.float32(10 ** (gain_db / 20)), source.group)
