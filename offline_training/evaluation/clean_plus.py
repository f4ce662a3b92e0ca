"""The field's ``-clean+`` protocol (CLIPSep, OmniSep, MARS-Sep tables 1 and 2): listed targets, each with a
seeded partner of another list.

16 kHz, the 65,535 samples around the middle frame, sources halved and added up; BSS-eval v4 of the whole clip
(museval, infinite window) with what is left of the mixture as second estimate; mean and standard error over
targets.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr
import torch

from marssep_rt.query.image_input import read_image
from offline_training.data.corpus import SAMPLE_RATE, CorpusError
from offline_training.data.mono import read_mono
from offline_training.data.query_table import omni
from offline_training.data.vggsound import Listed
from offline_training.encoders.base import Encoder
from offline_training.evaluation.bss_eval import bss_eval
from offline_training.evaluation.metrics import si_sdr
from offline_training.models.inference import separate
from offline_training.models.registry import Separator
from offline_training.utils.vectors import unit

Audio = npt.NDArray[np.float32]
RATE = 16_000
SAMPLES = 65_535
KINDS = ("text", "audio", "image", "omni")


def partners(targets: Sequence[Listed], others: Sequence[Listed]) -> list[Listed]:
    """The interferer of every target: drawn by Python's generator seeded with the target's place in its list,
    as the field does.
    """
    return [others[random.Random(i).randint(0, len(others) - 1)] for i in range(len(targets))]


def excerpt(audio: Audio, centre: int) -> Audio:
    """SAMPLES of a signal at RATE around ``centre``: short ones repeated to fill, then zeros beyond the ends,
    held in -1..1.
    """
    if len(audio) < SAMPLES:
        audio = np.tile(audio, SAMPLES // len(audio) + 1)
    half = SAMPLES // 2
    start, end = max(0, centre - half), min(len(audio), centre + half)
    out = np.zeros(SAMPLES, np.float32)
    out[half - (centre - start) : half + (end - centre)] = audio[start:end]
    return out.clip(-1, 1)


def load(row: Listed) -> Audio:
    """A listed clip's excerpt; raises CorpusError where it cannot be decoded."""
    return excerpt(read_mono(row.audio, RATE), int((row.centre_frame - 0.5) * RATE))


class Queries:
    """Queries of a target by every kind: its label; other clips of the label, averaged; its three middle
    frames; all of them, omni.
    """

    def __init__(self, encoder: Encoder, examples: Sequence[Listed]) -> None:
        self.encoder = encoder
        self.by_label: dict[str, list[Listed]] = defaultdict(list)
        for row in examples:
            self.by_label[row.label].append(row)
        self.heard: dict[str, npt.NDArray[np.float32]] = {}

    def _sound(self, row: Listed) -> npt.NDArray[np.float32]:
        if row.id not in self.heard:
            audio = np.asarray(soxr.resample(load(row), RATE, SAMPLE_RATE, "HQ"), np.float32)
            self.heard[row.id] = self.encoder.embed_audio([audio])[0]
        return self.heard[row.id]

    def of(self, row: Listed, kind: str) -> npt.NDArray[np.float32] | None:
        """Unit vector [D]; None where there is no such example."""
        if kind == "text":
            return self.encoder.embed_text([row.label])[0]
        if kind == "audio":
            others = [other for other in self.by_label[row.label] if other.id != row.id]
            return unit(np.mean([self._sound(other) for other in others], axis=0)) if others else None
        if kind == "image":
            images = [read_image(path, 224) for path in row.images()]
            return unit(self.encoder.embed_image(images).mean(axis=0)) if images else None
        return omni({k: self.of(row, k) for k in ("text", "image", "audio")})


def measure(
    model: Separator,
    queries: Queries,
    targets: Sequence[Listed],
    others: Sequence[Listed],
    kind: str = "text",
    clap: Encoder | None = None,
    device: str = "cpu",
    progress: Callable[[int, int], None] = lambda *_: None,
) -> list[dict[str, Any]]:
    """A row of figures for each target that can be asked for by ``kind``: SDR, SIR, SAR, SI-SDRi in dB, and
    with ``clap`` its text and audio scores (100 x cosine to the label and to the clean target).
    """
    rows: list[dict[str, Any]] = []
    for i, (row, other) in enumerate(zip(targets, partners(targets, others), strict=True)):
        query = queries.of(row, kind)
        if query is not None:
            sources = np.stack([load(row), load(other)]) * np.float32(0.5)
            if min(np.abs(sources).sum(axis=1)) > 1e-5:  # the field leaves silent excerpts out
                rows.append(
                    {
                        "target": row.id,
                        "label": row.label,
                        "partner": other.id,
                        **figures(model, sources, query, device),
                    }
                )
                if clap is not None:
                    rows[-1] |= scores(clap, rows[-1].pop("estimate"), sources[0], row.label)
                rows[-1].pop("estimate", None)
        progress(i + 1, len(targets))
    if not rows:
        raise CorpusError(f"no target can be asked for by {kind}: there are no examples of that kind")
    return rows


@torch.no_grad()
def figures(model: Separator, sources: Audio, query: npt.NDArray[np.float32], device: str) -> dict[str, Any]:
    """Figures of one mixture of two sources [2, SAMPLES], and the estimate itself at RATE."""
    mixture = sources.sum(axis=0)
    hop = model.config.spectral.hop
    whole = np.asarray(soxr.resample(mixture, RATE, SAMPLE_RATE, "HQ"), np.float32)
    # behind the end as much silence as the model lags, so that its output covers the whole clip
    padded = np.pad(whole, (0, model.latency + -(len(whole) + model.latency) % hop))
    wave, asked = (torch.from_numpy(x).to(device)[None] for x in (padded, query))
    output = separate(model, wave, asked, None)[0].cpu().numpy()[: len(whole)]
    estimate = np.asarray(soxr.resample(output, SAMPLE_RATE, RATE, "HQ"), np.float32)
    n = min(len(estimate), len(mixture))
    estimate, mixture, sources = estimate[:n], mixture[:n], sources[:, :n]
    sdr, sir, sar = bss_eval(sources, np.stack([estimate, mixture - estimate]))
    after, before = (
        si_sdr(torch.from_numpy(x.copy()), torch.from_numpy(sources[0].copy())) for x in (estimate, mixture)
    )
    return {"sdr": sdr, "sir": sir, "sar": sar, "si_sdri": float(after - before), "estimate": estimate}


def scores(clap: Encoder, estimate: Audio, target: Audio, label: str) -> dict[str, float]:
    """CLAPt and CLAPa in per cent."""
    heard, clean = clap.embed_audio(
        [np.asarray(soxr.resample(x, RATE, SAMPLE_RATE, "HQ"), np.float32) for x in (estimate, target)]
    )
    return {
        "clap_text": 100 * float(heard @ clap.embed_text([label])[0]),
        "clap_audio": 100 * float(heard @ clean),
    }


def summarise(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Mean and standard error of the mean over targets of every figure."""
    names = [name for name, value in rows[0].items() if isinstance(value, float)]
    result: dict[str, Any] = {"targets": len(rows)}
    for name in names:
        values = np.array([row[name] for row in rows])
        error = float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.nan
        result[name] = {"mean": round(float(values.mean()), 3), "sem": round(error, 3)}
    return result
