"""Fixed two-source mixtures of unseen recordings, the same for every model: the sets that ``val`` and
``test`` figures stand on.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt

from offline_training.data.corpus import BACKGROUNDS, SAMPLE_RATE, SPLITS, Clip, Corpus, CorpusError
from offline_training.utils.recipe import Key

Audio = npt.NDArray[np.float32]


@dataclass(frozen=True)
class EvalConfig:
    """A fixed set of two-source mixtures."""

    split: Annotated[str, Key("Whose recordings are mixed.", choices=SPLITS)] = "val"
    mixtures: Annotated[int, Key("How many.", least=0)] = 160
    seconds: Annotated[float, Key("Length of a mixture.", least=0.1)] = 4.0
    snr_db: Annotated[float, Key("The target's level over the interferer's, plus or minus.", least=0)] = 5.0
    least_training_clips: Annotated[
        int, Key("A label takes part only with that many recordings in train.", least=1)
    ] = 8
    seed: Annotated[int, Key("Of the draws; another seed gives other mixtures.")] = 20261123
    level_dbfs: Annotated[float, Key("Level of a mixture.")] = -25.0
    unseen_mixtures: Annotated[int, Key("Further mixtures, of held-out labels.", least=0)] = 0


@dataclass(frozen=True)
class Pair:
    """One mixture: what is asked for, what disturbs it, at which SNR, and a label that is not there
    at all."""

    target: Clip
    interferer: Clip
    snr_db: float
    absent_label: str
    seed: int


def measured_clips(corpus: Corpus, config: EvalConfig, unseen: Collection[str] = ()) -> dict[str, list[Clip]]:
    """The split's clips of labels with enough of them in train, by label; without unseen labels and
    backgrounds.
    """
    common = set(corpus.common_labels(config.least_training_clips)) - {*unseen, *BACKGROUNDS}
    return {label: group for label, group in corpus.by_label(config.split).items() if label in common}


def draw_pairs(corpus: Corpus, config: EvalConfig, unseen: Collection[str] = ()) -> list[Pair]:
    """Labels drawn uniformly, so that thin ones count as much as common ones; raises CorpusError with fewer
    than three labels.

    ``unseen``: labels that training never heard. They are targets of nothing but the
    ``config.unseen_mixtures`` pairs at the end, whose target is any clip of the split, or of a half of
    train's recordings that is the split's own: training had none of them.
    """
    clips = measured_clips(corpus, config, unseen)
    labels = list(clips)
    if len(labels) < 3:
        raise CorpusError(
            f"split {config.split} has fewer than three labels with "
            f"{config.least_training_clips} training clips"
        )
    rng = np.random.default_rng(config.seed)
    pairs = []
    never: dict[str, list[Clip]] = {}
    for clip in corpus.clips:
        mine = clip.split == "train" and zlib.crc32(clip.group.encode()) % 2 == (config.split == "test")
        if clip.label in unseen and (clip.split == config.split or mine):
            never.setdefault(clip.label, []).append(clip)
    new = sorted(never)
    for number in range(config.mixtures + (config.unseen_mixtures if new else 0)):
        target, interferer, absent = (labels[i] for i in rng.choice(len(labels), 3, replace=False))
        wanted = clips[target]
        if number >= config.mixtures:
            wanted = never[new[(number - config.mixtures) % len(new)]]
        pairs.append(
            Pair(
                target=wanted[int(rng.integers(len(wanted)))],
                interferer=clips[interferer][int(rng.integers(len(clips[interferer])))],
                snr_db=float(rng.uniform(-config.snr_db, config.snr_db)),
                absent_label=absent,
                seed=int(rng.integers(2**31)),
            )
        )
    return pairs


def excerpt(audio: Audio, samples: int, rng: np.random.Generator) -> Audio:
    """A window of ``samples`` at a random place with at least half of the loudest window's level; short clips
    keep their silence.
    """
    if len(audio) <= samples:
        out = np.zeros(samples, np.float32)
        at = int(rng.integers(0, samples - len(audio) + 1))
        out[at : at + len(audio)] = audio
        return out
    starts = np.unique(np.append(np.arange(0, len(audio) - samples, SAMPLE_RATE // 4), len(audio) - samples))
    energy = np.concatenate([[0.0], np.cumsum(np.square(audio, dtype=np.float64))])
    level = np.sqrt(energy[starts + samples] - energy[starts])
    loud = starts[level >= 0.5 * level.max()]
    at = int(rng.choice(loud))
    return audio[at : at + samples].copy()


def render(corpus: Corpus, pair: Pair, config: EvalConfig) -> tuple[Audio, Audio, Audio]:
    """Mixture, target and interferer, float32 [samples] each, the mixture at ``level_dbfs``."""
    rng = np.random.default_rng(pair.seed)
    samples = round(config.seconds * SAMPLE_RATE)
    target, interferer = (excerpt(corpus.samples(c), samples, rng) for c in (pair.target, pair.interferer))
    target_power, interferer_power = (
        float(np.mean(np.square(x, dtype=np.float64))) + 1e-12 for x in (target, interferer)
    )
    interferer = interferer * np.float32(np.sqrt(target_power / interferer_power * 10 ** (-pair.snr_db / 10)))
    mixture = target + interferer
    gain = np.float32(
        10 ** (config.level_dbfs / 20) / np.sqrt(np.mean(np.square(mixture, dtype=np.float64)) + 1e-12)
    )
    return mixture * gain, target * gain, interferer * gain
