"""Figures of a bundle on mixtures of unseen recordings: what the card and docs/evaluation.md quote."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from marssep_rt.model.bundle import Bundle
from offline_training.alignment.judge import Judge, verdict
from offline_training.data.corpus import Corpus
from offline_training.data.eval_mixtures import EvalConfig, Pair, draw_pairs, render
from offline_training.data.images import ImageBank
from offline_training.evaluation.bootstrap import interval
from offline_training.evaluation.bss_eval import bss_eval
from offline_training.evaluation.examples import Examples
from offline_training.evaluation.listeners import BundleListener, Listener, Words
from offline_training.evaluation.metrics import ratio_db, sdr, si_sdr
from offline_training.models.separator import MaskSeparator, SeparatorConfig
from offline_training.models.streaming_state import Memory

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
    by_query: dict[str, float] = field(default_factory=dict)  # SI-SDRi by other kinds of query
    judged: dict[str, float] = field(
        default_factory=dict
    )  # what the judge says of mixture, output and target
    bss: dict[str, float] = field(default_factory=dict)  # SDR, SIR, SAR of BSS-eval


@dataclass(frozen=True)
class Extras:
    """What is measured beside the target by its label's words, and on how many of the first mixtures.

    Attributes:
        images: Images to query with.
        judge: Hears mixture, output and target.
        listener: What separates instead of the bundle's graph.
        bss: Of how many mixtures BSS-eval is worked out.
        by_example: With how many the kinds of ``Examples`` are tried; None: with all.
        absent_of: With how many an absent label is queried; None: with all. Beyond, its level is NaN.
        bounds: Whether what does not depend on the separator is measured, too: the ideal mask (else NaN), and
            what the judge makes of mixture and target.
        unseen: Labels that no mixture holds.
    """

    images: ImageBank | None = None
    judge: Judge | None = None
    listener: Listener | None = None
    bss: int = 0
    by_example: int | None = None
    absent_of: int | None = None
    bounds: bool = True
    unseen: Sequence[str] = ()


@dataclass(frozen=True)
class Group:
    """Rendered mixtures [B, samples] of a set and their targets, numbered from ``first``."""

    first: int
    pairs: Sequence[Pair]
    mixtures: Array
    targets: Array

    def among(self, most: int | None) -> int:
        """How many of them are among the first ``most`` of the set; None: all."""
        return len(self.pairs) if most is None else min(len(self.pairs), max(0, most - self.first))


def groups(corpus: Corpus, config: EvalConfig, pairs: Sequence[Pair]) -> Iterator[Group]:
    """The mixtures of a set, BATCH at a time."""
    for first in range(0, len(pairs), BATCH):
        some = pairs[first : first + BATCH]
        rendered = [render(corpus, pair, config) for pair in some]
        yield Group(first, some, np.stack([r[0] for r in rendered]), np.stack([r[1] for r in rendered]))


def ideal_ratio_mask(tools: MaskSeparator, mixture: Tensor, target: Tensor) -> Tensor:
    """The best that a ratio mask on the model's own bands could do: sqrt(S / (S + N)); rows [B, samples],
    aligned and shortened.
    """
    memory = Memory()
    spectra = tools.spectra(mixture[:, None], memory)
    wanted = tools.spectra(target[:, None], Memory()).band_power
    rest = tools.spectra((mixture - target)[:, None], Memory()).band_power
    mask = (wanted / (wanted + rest + 1e-12)).sqrt()
    return tools.apply_mask(spectra, mask, memory)[:, 0, tools.latency :]


def ceiling(tools: MaskSeparator, group: Group) -> Tensor:
    """What the ideal mask makes of the mixtures, [B, samples - latency]."""
    whole = group.mixtures.shape[1] // tools.config.spectral.hop * tools.config.spectral.hop
    mixture, target = (torch.from_numpy(x[:, :whole]) for x in (group.mixtures, group.targets))
    return ideal_ratio_mask(tools, mixture, target)


def present_and_absent(
    listener: Listener, words: Words, group: Group, absent_of: int | None
) -> tuple[Tensor, Tensor]:
    """Outputs [B, samples] for the targets' labels, and for labels that are not there (NaN beyond
    ``absent_of``)."""
    present = listener.separate(group.mixtures, np.stack([words.query(p.target.label) for p in group.pairs]))
    absent = torch.full_like(present, torch.nan)
    if count := group.among(absent_of):
        asked = np.stack([words.query(p.absent_label) for p in group.pairs[:count]])
        absent[:count] = listener.separate(group.mixtures[:count], asked)
    return present, absent


def target_figures(
    present: Tensor, absent: Tensor, best: Tensor, mixture: Tensor, target: Tensor
) -> list[dict[str, float]]:
    """The figures of every row in dB: floor, gains, the ideal mask's gain, and the level where the label is
    absent. All signals [B, samples] of one length.
    """
    floor = si_sdr(mixture, target)
    figures = {
        "si_sdr_mixture": floor,
        "si_sdri": si_sdr(present, target) - floor,
        "sdri": sdr(present, target) - sdr(mixture, target),
        "si_sdri_ceiling": si_sdr(best, target) - floor,
        "absent_db": ratio_db(absent.square().sum(-1), mixture.square().sum(-1)),
    }
    columns = zip(*(values.tolist() for values in figures.values()), strict=True)
    return [dict(zip(figures, row, strict=True)) for row in columns]


def example_gains(
    listener: Listener,
    queries: Mapping[str, Sequence[Array | None]],
    mixtures: Array,
    mixture: Tensor,
    target: Tensor,
) -> list[dict[str, float]]:
    """SI-SDRi in dB of every row by other kinds of query.

    Args:
        listener: What separates.
        queries: For each kind the queries of the first rows; None where there is no example.
        mixtures: Whole mixtures [B, samples].
        mixture: The part of them that is measured, [B, n].
        target: The same part of the targets, [B, n].
    """
    gains: list[dict[str, float]] = [{} for _ in mixtures]
    for kind, asked in queries.items():
        index = [i for i, q in enumerate(asked) if q is not None]
        if not index:
            continue
        found = listener.separate(mixtures[index], np.stack([q for q in asked if q is not None]))
        gained = si_sdr(found[:, : target.shape[1]], target[index]) - si_sdr(mixture[index], target[index])
        for i, gain in zip(index, gained.tolist(), strict=True):
            gains[i][kind] = gain
    return gains


def bss_figures(present: Tensor, mixture: Tensor, target: Tensor, count: int) -> list[dict[str, float]]:
    """SDR, SIR and SAR of the first ``count`` rows; nothing of the others."""
    figures: list[dict[str, float]] = [{} for _ in range(len(present))]
    for i in range(count):
        sources = np.stack([target[i].numpy(), (mixture[i] - target[i]).numpy()])
        ratios = bss_eval(sources, np.stack([present[i].numpy(), (mixture[i] - present[i]).numpy()]))
        figures[i] = dict(zip(("sdr", "sir", "sar"), ratios, strict=True))
    return figures


def judge_figures(
    judge: Judge, pairs: Sequence[Pair], sounds: Mapping[str, Tensor]
) -> list[dict[str, float]]:
    """What a judge says of every row of the named sounds [B, samples]."""
    figures: list[dict[str, float]] = [{} for _ in pairs]
    labels, interferers = [p.target.label for p in pairs], [p.interferer.label for p in pairs]
    for name, signals in sounds.items():
        for key, verdicts in verdict(judge, list(signals.numpy()), labels, interferers).items():
            for said, value in zip(figures, verdicts.tolist(), strict=True):
                said[f"{name}_{key}"] = value
    return figures


@torch.no_grad()
def measure(
    bundle: Bundle,
    corpus: Corpus,
    config: EvalConfig,
    extras: Extras | None = None,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> list[Row]:
    """A row for each of ``config.mixtures`` fixed mixtures.

    The query is the target's label in the bundle's words, once a label that is absent, and every kind of
    ``Examples`` that the bundle's encoders allow.

    Args:
        bundle: What is measured, and whose encoders query.
        corpus: The recordings.
        config: The set.
        extras: What else is measured.
        progress: Called with the mixtures that are done, and their number.
    """
    extras = extras or Extras()
    words, examples = Words(bundle), Examples(bundle, corpus, extras.images, config.split)
    listener = extras.listener or BundleListener(bundle)
    tools = MaskSeparator(SeparatorConfig()).eval() if extras.bounds else None
    pairs = draw_pairs(corpus, config, tuple(extras.unseen))
    rows: list[Row] = []
    for group in groups(corpus, config, pairs):
        tried = group.pairs[: group.among(extras.by_example)]
        queries = {
            kind: [examples.query(kind, pair, words.query(pair.target.label)) for pair in tried]
            for kind in Examples.KINDS
        }
        rows += measured_group(listener, words, group, queries, extras, tools)
        progress(len(rows), len(pairs))
    return rows


def measured_group(
    listener: Listener,
    words: Words,
    group: Group,
    queries: Mapping[str, Sequence[Array | None]],
    extras: Extras,
    tools: MaskSeparator | None,
) -> list[Row]:
    """The rows of a group; ``queries``: by example, for its first mixtures; ``tools``: for the ideal mask."""
    present, absent = present_and_absent(listener, words, group, extras.absent_of)
    best = torch.full_like(present, torch.nan) if tools is None else ceiling(tools, group)
    n = min(present.shape[1], best.shape[1])
    present, absent, best = present[:, :n], absent[:, :n], best[:, :n]
    mixture, target = (torch.from_numpy(x[:, :n]) for x in (group.mixtures, group.targets))
    figures = target_figures(present, absent, best, mixture, target)
    gains = example_gains(listener, queries, group.mixtures, mixture, target)
    ratios = bss_figures(present, mixture, target, group.among(extras.bss))
    said: list[dict[str, float]] = [{} for _ in group.pairs]
    if extras.judge is not None:
        bounds = {"mixture": mixture, "target": target} if extras.bounds else {}
        said = judge_figures(extras.judge, group.pairs, {"output": present, **bounds})
    return [
        Row(
            label=pair.target.label,
            interferer=pair.interferer.label,
            snr_db=pair.snr_db,
            absent_label=pair.absent_label,
            by_query=gains[i],
            judged=said[i],
            bss=ratios[i],
            **figures[i],
        )
        for i, pair in enumerate(group.pairs)
    ]


def spread(values: npt.NDArray[np.float64]) -> dict[str, Any]:
    """Mean and median with their 95 % bootstrap intervals."""
    return {
        "mean": round(float(values.mean()), 3),
        "mean_95": [round(x, 3) for x in interval(values, np.mean)],
        "median": round(float(np.median(values)), 3),
        "median_95": [round(x, 3) for x in interval(values, np.median)],
    }


def by_kind_of_query(rows: Sequence[Row]) -> dict[str, Any]:
    """Gains by every kind of example, beside those of text on the same mixtures."""
    found: dict[str, Any] = {}
    for kind in Examples.KINDS:
        chosen = [r for r in rows if kind in r.by_query]
        if chosen:
            text, gains = (
                np.array([r.si_sdri for r in chosen]),
                np.array([r.by_query[kind] for r in chosen]),
            )
            found[kind] = {
                "mixtures": len(chosen),
                "si_sdri_db": spread(gains),
                "text_on_the_same_db": round(float(text.mean()), 3),
                "minus_text_db": spread(gains - text),
            }
    return found


def heard_and_unheard(rows: Sequence[Row], left_out: Collection[str]) -> dict[str, Any]:
    """Gains of targets that training heard, and of those that it did not, apart."""
    apart: dict[str, Any] = {}
    for name, unheard in (("heard", False), ("unheard", True)):
        gains = np.array([r.si_sdri for r in rows if (r.label in left_out) == unheard])
        if len(gains):
            worse = round(float((gains < 0).mean()), 4)
            apart[name] = {"mixtures": len(gains), "si_sdri_db": spread(gains), "made_worse": worse}
    return apart


def summarise(rows: list[Row], config: EvalConfig, left_out: Collection[str] = ()) -> dict[str, Any]:
    """Means, medians and 95 % bootstrap intervals over mixtures, the share made worse, floor, ceiling, absent
    level, and labels.

    ``left_out``: labels that the model's training never heard; mixtures with such a target are also summed up
    apart from the others.
    """
    si, plain = (np.array([getattr(r, k) for r in rows]) for k in ("si_sdri", "sdri"))
    absent = np.array([r.absent_db for r in rows])
    by_label: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        by_label[row.label].append(row.si_sdri)

    queries = by_kind_of_query(rows)
    bss = [r.bss for r in rows if r.bss]
    judged = (
        {key: round(float(np.mean([r.judged[key] for r in rows])), 4) for key in rows[0].judged}
        if rows
        else {}
    )
    return {
        "set": asdict(config),
        "mixtures": len(rows),
        "si_sdri_db": spread(si),
        "sdri_db": spread(plain),
        "made_worse": round(float((si < 0).mean()), 4),
        "floor_si_sdr_db": round(float(np.mean([r.si_sdr_mixture for r in rows])), 3),
        "ceiling_si_sdri_db": round(float(np.mean([r.si_sdri_ceiling for r in rows])), 3),
        "absent_output_db": spread(absent),
        **({"queries": queries} if queries else {}),
        **({"judge": judged} if judged else {}),
        **(
            {
                "bss_db": {k: round(float(np.mean([b[k] for b in bss])), 3) for k in bss[0]},
                "bss_mixtures": len(bss),
            }
            if bss
            else {}
        ),
        **({"left_out": sorted(left_out), **heard_and_unheard(rows, left_out)} if left_out else {}),
        "labels": {
            label: {"mixtures": len(v), "si_sdri_db": round(float(np.mean(v)), 2)}
            for label, v in sorted(by_label.items())
        },
    }
