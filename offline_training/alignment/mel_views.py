"""Log-mels of the whole corpus in memory, and augmented views of them: what the builtin audio encoder trains
on.

Everything that is done to a waveform elsewhere (mixing, equaliser, bandwidth, speed) is done to mel powers
here, at a hundredth of the cost: powers of independent sounds add, filters multiply, and a change of speed
warps both axes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from marssep_rt.utils.atomic_io import written_beside
from offline_training.data.corpus import Clip, Corpus
from offline_training.encoders.audio_image import FrontEnd, LogMel
from offline_training.utils.recipe import Key, share

Mels = npt.NDArray[np.float32]
FLOOR = 1e-10


@dataclass(frozen=True)
class ViewConfig:
    """How an augmented view of a clip is made. Probabilities in 0..1, levels in dB."""

    frames: Annotated[int, Key("Length of a view in frames of 10 ms.", least=1)] = 240
    speed: Annotated[float, share("How often a view is played faster or slower.")] = 0.6
    equaliser: Annotated[float, share("How often it is equalised.")] = 0.6
    equaliser_db: Annotated[float, Key("Largest gain and loss of the equaliser.", least=0)] = 8.0
    bandwidth: Annotated[float, share("How often it is limited in bandwidth.")] = 0.25
    background: Annotated[float, share("How often another clip is behind it.")] = 0.5
    background_snr_db: Annotated[tuple[float, float], Key("Range of its level over the other clip.")] = (
        3.0,
        25.0,
    )
    noise: Annotated[float, share("How often noise is added.")] = 0.4
    masks: Annotated[float, share("How often stripes of time and frequency are cut out.")] = 0.5


class MelBank:
    """Log mel powers of every clip, float16 [frames, mels] each, in one array; made once a front end and kept
    beside the corpus.
    """

    def __init__(
        self,
        corpus: Corpus,
        progress: Callable[[int, int], None] = lambda *_: None,
        front_end: FrontEnd | None = None,
    ) -> None:
        self.clips: list[Clip] = corpus.clips
        self.front_end = front_end or LogMel()
        path = corpus.folder / (
            "mels.f16.npy"
            if isinstance(self.front_end, LogMel)
            else f"{type(self.front_end).__name__}.f16.npy"
        )
        counts = [max(1, clip.length // 480) for clip in self.clips]
        self.starts = np.concatenate([[0], np.cumsum(counts)])
        if not path.exists():
            _analyse(corpus, self.front_end, self.starts, path, progress)
        self.data = np.load(path, mmap_mode="r")
        if self.data.shape != (self.starts[-1], self.front_end.mels):
            _analyse(corpus, self.front_end, self.starts, path, progress)
            self.data = np.load(path, mmap_mode="r")
        self.index = {clip.path: i for i, clip in enumerate(self.clips)}

    def power(self, clip: int, first: int, frames: int) -> Mels:
        """Mel powers of a stretch of a clip, [frames or less, mels]."""
        start, end = self.starts[clip], self.starts[clip + 1]
        rows = self.data[start + first : min(start + first + frames, end)]
        return np.asarray(np.exp(rows.astype(np.float32)) - FLOOR).clip(0)

    def frames_of(self, clip: int) -> int:
        return int(self.starts[clip + 1] - self.starts[clip])


@torch.no_grad()
def _analyse(
    corpus: Corpus,
    analysis: FrontEnd,
    starts: npt.NDArray[np.int64],
    path: Path,
    progress: Callable[[int, int], None],
) -> None:
    with written_beside(path) as beside:
        out = np.lib.format.open_memmap(beside, "w+", np.float16, (int(starts[-1]), analysis.mels))
        for i, clip in enumerate(corpus.clips):
            count = int(starts[i + 1] - starts[i])
            audio = np.zeros(count * 480, np.float32)
            samples = corpus.samples(clip, count=len(audio))
            audio[: len(samples)] = samples
            power = analysis.power(torch.from_numpy(audio)[None])[0]
            out[starts[i] : starts[i + 1]] = torch.log(power + FLOOR).half().numpy()
            progress(i + 1, len(corpus.clips))
        out.flush()
        del out


class MelViews:
    """Batches of augmented log-mels [B, frames, mels] for clips chosen by their number in the corpus."""

    def __init__(self, bank: MelBank, config: ViewConfig, others: Sequence[int]) -> None:
        self.bank, self.config, self.others = bank, config, list(others)

    def raw(self, clip: int, rng: np.random.Generator, frames: int) -> Mels:
        """A stretch with something in it, tiled or padded to ``frames``, mean power one."""
        have = self.bank.frames_of(clip)
        if have > frames:
            best: Mels | None = None
            for _ in range(3):
                power = self.bank.power(clip, int(rng.integers(0, have - frames + 1)), frames)
                if best is None or power.mean() > best.mean():
                    best = power
            assert best is not None
            power = best
        else:
            power = self.bank.power(clip, 0, frames)
            if len(power) < frames and rng.random() < 0.5:
                power = np.tile(power, (frames // len(power) + 1, 1))[:frames]
            elif len(power) < frames:
                padded = np.zeros((frames, power.shape[1]), np.float32)
                at = int(rng.integers(0, frames - len(power) + 1))
                padded[at : at + len(power)] = power
                power = padded
        return power / max(float(power.mean()), 1e-12)

    def view(self, clip: int, rng: np.random.Generator) -> Mels:
        """One augmented view as mel powers [frames, mels]."""
        config = self.config
        factor = float(rng.uniform(0.8, 1.25)) if rng.random() < config.speed else 1.0
        power = self.raw(clip, rng, round(config.frames * factor))
        if factor != 1.0:
            power = change_speed(power, config.frames, factor, self.bank.front_end)
        return colour(power, config, rng)

    def add(self, power: Mels, other: Mels, snr_db: float) -> Mels:
        """Two sounds at once, the first ``snr_db`` above the second."""
        ratio = power.mean() / max(float(other.mean()), 1e-12)
        return np.asarray(power + other * (ratio * 10 ** (-snr_db / 10)), np.float32)

    def spoilt(self, power: Mels, rng: np.random.Generator) -> Mels:
        """Another sound softly behind a view, and hiss, each as often as configured."""
        config = self.config
        if rng.random() < config.background:
            other = self.view(self.others[int(rng.integers(len(self.others)))], rng)
            power = self.add(power, other, float(rng.uniform(*config.background_snr_db)))
        if rng.random() < config.noise:
            hiss = rng.gamma(2.0, 0.5, power.shape).astype(np.float32)
            power = self.add(power, hiss, float(rng.uniform(10, 40)))
        return power

    def clips(self, chosen: Sequence[int], rng: np.random.Generator) -> Tensor:
        """Augmented views; half of them have another sound softly behind them."""
        config, rows = self.config, []
        for clip in chosen:
            rows.append(self.spoilt(self.view(clip, rng), rng))
        x = self.bank.front_end.compress(torch.from_numpy(np.stack(rows)))
        for row in x:
            if rng.random() < config.masks:
                mask(row, rng)
        return x

    def pairs(self, chosen: Sequence[int], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """(plain, rough) log-mels of the same stretches: as recorded, and through another microphone with
        something behind it.
        """
        plain, rough = [], []
        for clip in chosen:
            power = self.raw(clip, rng, self.config.frames)
            plain.append(power)
            rough.append(self.spoilt(colour(power, self.config, rng), rng))
        compress = self.bank.front_end.compress
        return compress(torch.from_numpy(np.stack(plain))), compress(torch.from_numpy(np.stack(rough)))

    def mixtures(
        self, chosen: Sequence[int], others: Sequence[int], rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """(clean, mixture) pairs of the same view: the mixture has ``others`` in it at -5..5 dB."""
        clean, mixed = [], []
        for clip, other in zip(chosen, others, strict=True):
            power = self.view(clip, rng)
            clean.append(power)
            mixed.append(self.add(power, self.view(other, rng), float(rng.uniform(-5, 5))))
        compress = self.bank.front_end.compress
        return compress(torch.from_numpy(np.stack(clean))), compress(torch.from_numpy(np.stack(mixed)))


def change_speed(power: Mels, frames: int, factor: float, scale: FrontEnd) -> Mels:
    """Played ``factor`` times as fast: time shrinks to ``frames``, everything moves up by ``factor`` on the
    mel axis of ``scale``.
    """
    mels = power.shape[1]
    low_mel, top_mel = (2595 * np.log10(1 + hz / 700) for hz in (scale.low_hz, scale.top_hz))
    at = np.linspace(low_mel, top_mel, mels + 2)[1:-1]
    source = 2595 * np.log10(1 + 700 * (10 ** (at / 2595) - 1) / factor / 700)
    columns = np.interp(source, at, np.arange(mels))
    low = np.floor(columns).astype(int).clip(0, mels - 2)
    part = (columns - low).astype(np.float32)
    power = power[:, low] * (1 - part) + power[:, low + 1] * part
    rows = np.linspace(0, len(power) - 1, frames)
    return np.asarray(power[np.round(rows).astype(int)], np.float32)


def colour(power: Mels, config: ViewConfig, rng: np.random.Generator) -> Mels:
    """Random equaliser and bandwidth."""
    mels = power.shape[1]
    gain = np.zeros(mels)
    if rng.random() < config.equaliser:
        knots = np.linspace(0, mels - 1, 7)
        gain += np.interp(np.arange(mels), knots, rng.uniform(-config.equaliser_db, config.equaliser_db, 7))
    if rng.random() < config.bandwidth:
        gain[int(rng.integers(int(0.6 * mels), mels)) :] -= 50.0
    return np.asarray(power * 10 ** (gain / 10), np.float32)


def mask(x: Tensor, rng: np.random.Generator) -> None:
    """SpecAugment (Park et al. 2019), in place: up to two stripes of time and one of frequency set
    to zero."""
    frames, mels = x.shape
    for _ in range(2):
        width = int(rng.integers(0, frames // 6))
        at = int(rng.integers(0, frames - width))
        x[at : at + width] = 0
    width = int(rng.integers(0, mels // 6))
    at = int(rng.integers(0, mels - width))
    x[:, at : at + width] = 0
