"""Figures of a bundle on mixtures of unseen recordings: what the card and the README quote."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import torch
from torch import Tensor

from marssep_rt.bundle import Bundle
from marssep_rt.query import TextEncoder
from marssep_rt.session import GraphInfo, session_options, zero_state
from offline_training.corpus import Corpus
from offline_training.eval_set import EvalConfig, Pair, draw_pairs, render
from offline_training.memory import Memory
from offline_training.metrics import ratio_db, sdr, si_sdr
from offline_training.separator import MaskSeparator, SeparatorConfig
from offline_training.spectral import SpectralConfig

Array = npt.NDArray[np.float32]
BATCH = 8


@dataclass(frozen=True)
class Row:
    """One mixture's figures in dB."""

    label: str
    interferer: str
    snr_db: float
    si_sdr_mixture: float
    si_sdri: float
    sdri: float
    si_sdri_ceiling: float
    absent_label: str
    absent_db: float


def bootstrap_interval(
    values: npt.NDArray[np.float64], statistic: Callable[..., Any], seed: int = 0, draws: int = 2000
) -> tuple[float, float]:
    """95 % percentile interval of a statistic of independent values."""
    rng = np.random.default_rng(seed)
    samples = values[rng.integers(0, len(values), (draws, len(values)))]
    low, high = np.percentile(statistic(samples, axis=1), [2.5, 97.5])
    return float(low), float(high)


def ideal_ratio_mask(tools: MaskSeparator, mixture: Tensor, target: Tensor) -> Tensor:
    """The best that a ratio mask on the model's own bands could do: sqrt(S / (S + N)); rows [B, samples], aligned and shortened."""
    memory = Memory()
    spectra = tools.spectra(mixture[:, None], memory)
    wanted = tools.spectra(target[:, None], Memory()).band_power
    rest = tools.spectra((mixture - target)[:, None], Memory()).band_power
    mask = (wanted / (wanted + rest + 1e-12)).sqrt()
    return tools.apply_mask(spectra, mask, memory)[:, 0, tools.latency :]


class Listener:
    """The bundle's graph and text tower over batches of whole mixtures."""

    def __init__(self, bundle: Bundle, threads: int = 2) -> None:
        options = session_options()
        options.intra_op_num_threads = threads
        self.session = ort.InferenceSession(bundle.read("separator.onnx"), options, providers=["CPUExecutionProvider"])
        self.info = GraphInfo.of(self.session)
        self.text = TextEncoder(bundle)
        self.vectors: dict[str, Array] = {}

    def query(self, label: str) -> Array:
        if label not in self.vectors:
            self.vectors[label] = self.text.embed(label)
        return self.vectors[label]

    def separate(self, mixtures: Array, queries: Array) -> Tensor:
        """[B, samples], [B, D] -> [B, samples - latency], aligned to the mixture."""
        hop = self.info.hop
        audio = mixtures[:, None, : mixtures.shape[1] // hop * hop]
        state = zero_state(self.info, len(audio), 1)
        (target,) = self.session.run(["target"], {"audio": np.ascontiguousarray(audio), "query": queries, **state})
        return torch.from_numpy(target[:, 0, self.info.latency :])


@torch.no_grad()
def measure(bundle: Bundle, corpus: Corpus, config: EvalConfig, progress: Callable[[int, int], None] = lambda *_: None) -> list[Row]:
    """A row for each of ``config.mixtures`` fixed mixtures: query = the target's label in words, and once a label that is absent."""
    listener = Listener(bundle)
    tools = MaskSeparator(SeparatorConfig(spectral=SpectralConfig(hop=listener.info.hop))).eval()
    pairs = draw_pairs(corpus, config)
    rows: list[Row] = []
    for first in range(0, len(pairs), BATCH):
        group: list[Pair] = pairs[first : first + BATCH]
        rendered = [render(corpus, pair, config) for pair in group]
        mixtures, targets = np.stack([r[0] for r in rendered]), np.stack([r[1] for r in rendered])
        present = listener.separate(mixtures, np.stack([listener.query(p.target.label) for p in group]))
        absent = listener.separate(mixtures, np.stack([listener.query(p.absent_label) for p in group]))
        mixture, target = torch.from_numpy(mixtures), torch.from_numpy(targets)
        whole = mixture.shape[1] // listener.info.hop * listener.info.hop
        ceiling = ideal_ratio_mask(tools, mixture[:, :whole], target[:, :whole])
        n = present.shape[1]
        mixture, target = mixture[:, :n], target[:, :n]
        floor = si_sdr(mixture, target)
        columns = (floor, si_sdr(present, target) - floor, sdr(present, target) - sdr(mixture, target), si_sdr(ceiling, target) - floor,
                   ratio_db(absent.square().sum(-1), mixture.square().sum(-1)))  # fmt: skip
        for pair, *values in zip(group, *(c.tolist() for c in columns), strict=True):
            base, si, plain, best, leak = values
            rows.append(Row(pair.target.label, pair.interferer.label, pair.snr_db, base, si, plain, best, pair.absent_label, leak))
        progress(len(rows), len(pairs))
    return rows


def summarise(rows: list[Row], config: EvalConfig) -> dict[str, Any]:
    """Means, medians and 95 % bootstrap intervals over mixtures, the share made worse, floor, ceiling, absent level, and labels."""
    si, plain = (np.array([getattr(r, k) for r in rows]) for k in ("si_sdri", "sdri"))
    absent = np.array([r.absent_db for r in rows])
    by_label: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        by_label[row.label].append(row.si_sdri)

    def spread(values: npt.NDArray[np.float64]) -> dict[str, Any]:
        return {
            "mean": round(float(values.mean()), 3),
            "mean_95": [round(x, 3) for x in bootstrap_interval(values, np.mean)],
            "median": round(float(np.median(values)), 3),
            "median_95": [round(x, 3) for x in bootstrap_interval(values, np.median)],
        }

    return {
        "set": asdict(config),
        "mixtures": len(rows),
        "si_sdri_db": spread(si),
        "sdri_db": spread(plain),
        "made_worse": round(float((si < 0).mean()), 4),
        "floor_si_sdr_db": round(float(np.mean([r.si_sdr_mixture for r in rows])), 3),
        "ceiling_si_sdri_db": round(float(np.mean([r.si_sdri_ceiling for r in rows])), 3),
        "absent_output_db": spread(absent),
        "labels": {label: {"mixtures": len(v), "si_sdri_db": round(float(np.mean(v)), 2)} for label, v in sorted(by_label.items())},
    }
