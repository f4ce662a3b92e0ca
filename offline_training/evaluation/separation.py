"""Figures of a bundle on mixtures of unseen recordings: what the card and docs/evaluation.md quote."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import torch
from torch import Tensor

from marssep_rt.model.bundle import Bundle
from marssep_rt.model.providers import session_options
from marssep_rt.model.stream import GraphInfo, zero_state
from marssep_rt.query.encoders import AudioEncoder, ImageEncoder, TextEncoder
from marssep_rt.query.vocabulary import KnownSounds
from offline_training.alignment.judge import Judge, verdict
from offline_training.data.audio_windows import windows
from offline_training.data.corpus import Clip, Corpus
from offline_training.data.eval_mixtures import EvalConfig, Pair, draw_pairs, render
from offline_training.data.images import PhotoBank
from offline_training.data.query_table import blend
from offline_training.evaluation.bootstrap import interval
from offline_training.evaluation.bss_eval import bss_eval
from offline_training.evaluation.metrics import ratio_db, sdr, si_sdr
from offline_training.models.inference import separate
from offline_training.models.registry import Separator, load_separator
from offline_training.models.separator import MaskSeparator, SeparatorConfig
from offline_training.models.streaming_state import Memory
from offline_training.utils.precision import half

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


class Separating(Protocol):
    """A separator and the words it is asked with, over batches of whole mixtures."""

    hop: int

    def query(self, label: str) -> Array: ...

    def separate(self, mixtures: Array, queries: Array, others: Array | None = None) -> Tensor: ...


class Words:
    """A bundle's text tower that embeds every label once."""

    def __init__(self, bundle: Bundle) -> None:
        self.text = TextEncoder(bundle)
        self.vectors: dict[str, Array] = {}

    def query(self, label: str) -> Array:
        if label not in self.vectors:
            self.vectors[label] = self.text.embed(label)
        return self.vectors[label]


class CheckpointListener(Words):
    """A checkpoint's averaged weights, asked with a bundle's words."""

    def __init__(self, checkpoint: Path, bundle: Bundle, device: str = "cpu") -> None:
        super().__init__(bundle)
        self.model = load_separator(checkpoint)[0].to(device)
        self.hop = self.model.config.spectral.hop

    def separate(self, mixtures: Array, queries: Array, others: Array | None = None) -> Tensor:
        """[B, samples], [B, D] -> [B, samples - latency], aligned to the mixture; ``others``: what to push
        away.
        """
        return by_checkpoint(self.model, mixtures, queries, others)


def by_checkpoint(model: Separator, mixtures: Array, queries: Array, others: Array | None) -> Tensor:
    """A torch model's estimates, on whatever device it is."""
    device = next(model.parameters()).device
    wave, asked = (torch.from_numpy(x).to(device) for x in (mixtures, queries))
    away = None if others is None else torch.from_numpy(others).to(device)
    return separate(model, wave, asked, half(device), away).cpu()


class CheckpointModel:
    """A checkpoint's averaged weights for ``evaluation.suite``, whose queries come as vectors."""

    def __init__(self, checkpoint: Path, device: str = "cpu") -> None:
        self.model, self.content = load_separator(checkpoint)
        self.model.unet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.model.to(device)

    @torch.no_grad()
    def separate(self, mixtures: Array, queries: Array, others: Array | None = None) -> Tensor:
        return by_checkpoint(self.model, mixtures, queries, others)


class Listener(Words):
    """The bundle's graph and text tower."""

    def __init__(self, bundle: Bundle, threads: int = 2) -> None:
        options = session_options()
        options.intra_op_num_threads = threads
        super().__init__(bundle)
        self.session = ort.InferenceSession(
            bundle.read("separator.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self.info = GraphInfo.of(self.session)
        self.hop = self.info.hop

    def separate(self, mixtures: Array, queries: Array, others: Array | None = None) -> Tensor:
        """[B, samples], [B, D] -> [B, samples - latency], aligned to the mixture; ``others``: what to push
        away.
        """
        hop = self.info.hop
        audio = mixtures[:, None, : mixtures.shape[1] // hop * hop]
        feeds = {
            "audio": np.ascontiguousarray(audio),
            "query": queries,
            **zero_state(self.info, len(audio), 1),
        }
        if "other" in {i.name for i in self.session.get_inputs()}:
            feeds["other"] = np.zeros_like(queries) if others is None else others
        (target,) = self.session.run(["target"], feeds)
        return torch.from_numpy(target[:, 0, self.info.latency :])


class Examples:
    """Queries by recording, by picture and by all at once, embedded by the bundle's own towers, drawn by the
    mixture's seed.

    audio: one recording of the label from train or val; audio_new: another recording of the measured split,
    which nothing has ever been trained or decided on; image: three photographs of the measured split; omni:
    text, image and audio weighted 2 : 2 : 1 as in OmniSep, as far as there are. Examples become queries as
    the runtime makes them, by ``KnownSounds.settle``.
    """

    KINDS = ("audio", "audio_new", "image", "omni")

    def __init__(self, bundle: Bundle, corpus: Corpus, photos: PhotoBank | None, split: str) -> None:
        self.corpus, self.photos = corpus, photos
        self.audio = AudioEncoder(bundle) if bundle.has("audio.onnx") else None
        self.image = ImageEncoder(bundle) if bundle.has("image.onnx") and photos is not None else None
        self.clips = {
            kind: {
                label: [c for s in splits for c in corpus.by_label(s).get(label, [])]
                for label in corpus.labels()
            }
            for kind, splits in (("audio", ("train", "val")), ("audio_new", (split,)))
        }
        trained = photos.by_label("train") if photos is not None else {}
        self.pictures = (
            {k: v for k, v in photos.by_label(split).items() if len(trained.get(k, [])) >= 15}
            if photos is not None
            else {}
        )
        self.known: dict[str, Array] = {}
        self.sounds = KnownSounds.of(bundle)

    def _sound(self, clip: Clip) -> Array:
        assert self.audio is not None
        if clip.path not in self.known:
            self.known[clip.path] = self.audio.embed_windows(windows(self.corpus.samples(clip)))
        return self.known[clip.path]

    def _picture(self, number: int) -> Array:
        assert self.image is not None
        assert self.photos is not None
        path = self.photos.folder / self.photos.photos[number].path
        if str(path) not in self.known:
            self.known[str(path)] = self.image.embed(path)
        return self.known[str(path)]

    def query(self, kind: str, pair: Pair, text: Array) -> Array | None:
        """None where there is no such tower or no such example."""
        if kind != "omni":
            parts = self.examples(kind, pair)
            return blend(parts, self.sounds) if parts else None
        parts = [*self.examples("image", pair), *self.examples("audio", pair)]
        return blend([*parts, ("text", text)], self.sounds) if parts else None

    def examples(self, kind: str, pair: Pair) -> list[tuple[str, Array]]:
        """(kind, vector) of what is drawn for the mixture: up to three pictures, or one recording."""
        rng = np.random.default_rng(pair.seed)
        label = pair.target.label
        if kind == "image":
            numbers = self.pictures.get(label, []) if self.image is not None else []
            return (
                [
                    ("image", self._picture(int(i)))
                    for i in rng.choice(numbers, min(3, len(numbers)), replace=False)
                ]
                if numbers
                else []
            )
        clips = self.clips[kind][label] if self.audio is not None else []
        clips = [c for c in clips if c.group != pair.target.group]
        return [("audio", self._sound(clips[int(rng.integers(len(clips)))]))] if clips else []


@torch.no_grad()
def measure(
    bundle: Bundle,
    corpus: Corpus,
    config: EvalConfig,
    progress: Callable[[int, int], None] = lambda *_: None,
    photos: PhotoBank | None = None,
    judge: Judge | None = None,
    separator: Separating | None = None,
    bss: int = 0,
    by_example: int | None = None,
    absent_of: int | None = None,
    bounds: bool = True,
) -> list[Row]:
    """A row for each of ``config.mixtures`` fixed mixtures: query = the target's label in words, once a label
    that is absent, and every kind of ``Examples`` that the bundle's towers allow; ``judge`` hears mixture,
    output and target.

    ``separator``: what separates instead of the bundle's graph; ``bss``: of how many mixtures, the first
    ones, BSS-eval is worked out; ``by_example``: with how many, the first ones, the kinds of ``Examples`` are
    tried (None: with all); ``absent_of``: the same for the absent label (NaN beyond); without ``bounds`` what
    does not depend on the separator is left out: the ideal mask (NaN), and what the judge makes of mixture
    and target.
    """
    listener: Separating = separator or Listener(bundle)
    examples = Examples(bundle, corpus, photos, config.split)
    tools = MaskSeparator(SeparatorConfig()).eval()
    pairs = draw_pairs(corpus, config)
    rows: list[Row] = []
    for first in range(0, len(pairs), BATCH):
        group: list[Pair] = pairs[first : first + BATCH]
        rendered = [render(corpus, pair, config) for pair in group]
        mixtures, targets = np.stack([r[0] for r in rendered]), np.stack([r[1] for r in rendered])
        present = listener.separate(mixtures, np.stack([listener.query(p.target.label) for p in group]))
        asking = len(group) if absent_of is None else min(len(group), max(0, absent_of - first))
        absent = torch.full_like(present, torch.nan)
        if asking:
            words = np.stack([listener.query(p.absent_label) for p in group[:asking]])
            absent[:asking] = listener.separate(mixtures[:asking], words)
        mixture, target = torch.from_numpy(mixtures), torch.from_numpy(targets)
        hop = tools.config.spectral.hop
        whole = mixture.shape[1] // hop * hop
        ceiling = torch.full_like(present, torch.nan)
        if bounds:
            ceiling = ideal_ratio_mask(tools, mixture[:, :whole], target[:, :whole])
        n = min(present.shape[1], ceiling.shape[1])
        present, absent, ceiling = present[:, :n], absent[:, :n], ceiling[:, :n]
        mixture, target = mixture[:, :n], target[:, :n]
        floor = si_sdr(mixture, target)
        columns = (
            floor,
            si_sdr(present, target) - floor,
            sdr(present, target) - sdr(mixture, target),
            si_sdr(ceiling, target) - floor,
            ratio_db(absent.square().sum(-1), mixture.square().sum(-1)),
        )
        others: list[dict[str, float]] = [{} for _ in group]
        for kind in Examples.KINDS:
            tried = group if by_example is None else group[: max(0, by_example - first)]
            asked = [examples.query(kind, pair, listener.query(pair.target.label)) for pair in tried]
            index = [i for i, q in enumerate(asked) if q is not None]
            if index:
                found = listener.separate(mixtures[index], np.stack([q for q in asked if q is not None]))
                for i, gain in zip(
                    index, (si_sdr(found[:, :n], target[index]) - floor[index]).tolist(), strict=True
                ):
                    others[i][kind] = gain
        measured: list[dict[str, float]] = [{} for _ in group]
        for i in range(min(len(group), bss - first)):
            sources = np.stack([r[i, :n].numpy() for r in (target, mixture - target)])
            ratios = bss_eval(sources, np.stack([present[i].numpy(), (mixture[i] - present[i]).numpy()]))
            measured[i] = dict(zip(("sdr", "sir", "sar"), ratios, strict=True))
        judged: list[dict[str, float]] = [{} for _ in group]
        if judge is not None:
            names = [p.target.label for p in group], [p.interferer.label for p in group]
            for what, sounds in (
                ("output", present),
                *((("mixture", mixture), ("target", target)) if bounds else ()),
            ):
                for key, verdicts in verdict(judge, list(sounds.numpy()), *names).items():
                    for said, value in zip(judged, verdicts.tolist(), strict=True):
                        said[f"{what}_{key}"] = value
        for i, (pair, *values) in enumerate(zip(group, *(c.tolist() for c in columns), strict=True)):
            base, si, plain, best, leak = values
            rows.append(
                Row(
                    pair.target.label,
                    pair.interferer.label,
                    pair.snr_db,
                    base,
                    si,
                    plain,
                    best,
                    pair.absent_label,
                    leak,
                    others[i],
                    judged[i],
                    measured[i],
                )
            )
        progress(len(rows), len(pairs))
    return rows


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

    def spread(values: npt.NDArray[np.float64]) -> dict[str, Any]:
        return {
            "mean": round(float(values.mean()), 3),
            "mean_95": [round(x, 3) for x in interval(values, np.mean)],
            "median": round(float(np.median(values)), 3),
            "median_95": [round(x, 3) for x in interval(values, np.median)],
        }

    queries: dict[str, Any] = {}
    for kind in Examples.KINDS:
        chosen = [r for r in rows if kind in r.by_query]
        if chosen:
            text = np.array([r.si_sdri for r in chosen])
            queries[kind] = {
                "mixtures": len(chosen),
                "si_sdri_db": spread(np.array([r.by_query[kind] for r in chosen])),
                "text_on_the_same_db": round(float(text.mean()), 3),
                "minus_text_db": spread(np.array([r.by_query[kind] for r in chosen]) - text),
            }
    apart: dict[str, Any] = {}
    for name, unheard in (("heard", False), ("unheard", True)) if left_out else ():
        which = np.array([(r.label in left_out) == unheard for r in rows])
        if which.any():
            apart[name] = {
                "mixtures": int(which.sum()),
                "si_sdri_db": spread(si[which]),
                "made_worse": round(float((si[which] < 0).mean()), 4),
            }
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
        **({"left_out": sorted(left_out), **apart} if left_out else {}),
        "labels": {
            label: {"mixtures": len(v), "si_sdri_db": round(float(np.mean(v)), 2)}
            for label, v in sorted(by_label.items())
        },
    }
