"""Supervised training of the base policy: mix-and-separate, -SNR and mask losses, averaged weights, resumable.

The learning rate is a trapezoid (warm-up, constant, linear decay over the last part): a run can be prolonged from its constant part
and finished whenever the time is up.
"""

from __future__ import annotations

import copy
import json
import signal
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from offline_training.data.corpus import Corpus
from offline_training.data.eval_mixtures import EvalConfig, draw_pairs, measured_clips, render
from offline_training.data.mixtures import Batch, MixtureConfig, MixtureDataset
from offline_training.data.own_labels import check_table
from offline_training.data.query_table import QueryTable, Vectors
from offline_training.evaluation.metrics import ratio_db, sdr, si_sdr
from offline_training.models import registry
from offline_training.models.inference import separate
from offline_training.models.registry import Separator
from offline_training.models.separator import Spectra
from offline_training.models.streaming_state import Memory
from offline_training.models.unet import ADDED
from offline_training.training import losses
from offline_training.training.distributed import Processes
from offline_training.utils import checkpoint_io
from offline_training.utils.precision import half
from offline_training.utils.run import RunError, differences, log_lines, parameter_groups, scalars, stop_signals


@dataclass(frozen=True)
class TrainConfig:
    """``decay_steps``: length of the final linear decay to zero; ``weights`` of the loss terms are per term, in ``losses``' units.

    ``shards``: of how many draws of [mixtures] queries a batch is made, to be dealt to the processes that train together;
    ``frozen_norms``: batch norms keep the statistics that they begin with; ``patience``: validations without a new best after which the run
    ends, 0 for never.
    """

    steps: int = 20_000
    warmup_steps: int = 300
    decay_steps: int = 2_000
    lr: float = 1e-3
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.98)
    clip: float = 1.0
    ema: float = 0.999
    snr_weight: float = 1.0
    magnitude_weight: float = 10.0
    bce_weight: float = 2.0
    bce_steps: int = 1_000
    absent_weight: float = 0.3
    validate_every: int = 500
    log_every: int = 20
    workers: int = 1
    seed: int = 1
    shards: int = 1
    frozen_norms: bool = False
    patience: int = 0


def learning_rate(config: TrainConfig, step: int) -> float:
    """Trapezoid over ``steps``."""
    up = min(1.0, (step + 1) / max(1, config.warmup_steps))
    down = min(1.0, (config.steps - step) / max(1, config.decay_steps))
    return config.lr * up * max(0.0, down)


def loss_terms(model: Separator, batch: Batch, config: TrainConfig, step: int, autocast: torch.dtype | None) -> dict[str, Tensor]:
    """Mean of every loss term over its rows, and their weighted sum as ``loss``. Spectra and losses in fp32, the U-Net as asked."""
    usable = whole_hops(model, batch)
    with torch.no_grad():
        spectra = model.spectra(batch["mixtures"][:, None, :usable], Memory()).repeat(batch["mixture_of"])
    with torch.autocast(batch["targets"].device.type, dtype=autocast or torch.bfloat16, enabled=autocast is not None):
        logits = model.logits(spectra, batch["queries"], Memory(), batch["others"])
    return mask_losses(model, spectra, logits.float(), batch, config, step)


def whole_hops(model: Separator, batch: Batch) -> int:
    """Samples of a batch that the separator's frames cover."""
    hop = model.config.spectral.hop
    return batch["targets"].shape[1] // hop * hop


def mask_losses(model: Separator, spectra: Spectra, logits: Tensor, batch: Batch, config: TrainConfig, step: int) -> dict[str, Tensor]:
    """``loss_terms`` of masks' logits [Q, T, bands] for the batch's mixtures as ``spectra``, a row for every query."""
    rows, absent, targets = batch["mixture_of"], batch["absent"], batch["targets"]
    with torch.no_grad():
        target_power = model.spectra(targets[:, None, : whole_hops(model, batch)], Memory()).band_power
    mask = torch.sigmoid(logits)
    estimate = model.apply_mask(spectra, mask, Memory())[:, 0, model.latency :]
    reference = targets[:, : estimate.shape[1]]
    mixture = batch["mixtures"][rows, : estimate.shape[1]]
    present = (~absent).float()
    share = 1.0 / len(rows)
    terms = {
        "snr": (losses.negative_snr(estimate, reference) * present).sum() * share,
        "magnitude": (losses.compressed_magnitude_l1(mask, spectra.band_power, target_power)).sum() * share,
        "absent": (losses.leakage(estimate, mixture) * (1 - present)).sum() * share,
    }
    total = config.snr_weight * terms["snr"] + config.magnitude_weight * terms["magnitude"] + config.absent_weight * terms["absent"]
    if step < config.bce_steps:
        terms["bce"] = losses.weighted_bce(logits, spectra.band_power, target_power).mean()
        total = total + config.bce_weight * (1 - step / config.bce_steps) * terms["bce"]
    terms["loss"] = total
    return terms


Queries = Sequence[Vectors | None]


class Asking:
    """A batch of rendered validation mixtures that a model is asked about in several ways; a query of None is not asked."""

    def __init__(self, model: Separator, mixtures: Vectors, targets: Vectors, autocast: torch.dtype | None) -> None:
        self.model, self.autocast = model, autocast
        self.device = next(model.parameters()).device
        self.mixture, self.target = (torch.from_numpy(x).to(self.device) for x in (mixtures, targets))

    def estimates(self, queries: Queries, others: Queries | None = None) -> tuple[list[int], Tensor]:
        """Rows that have a query, and what the model separates for them [rows, samples]."""
        rows = [i for i, q in enumerate(queries) if q is not None]
        asked, away = (
            None if x is None else torch.from_numpy(np.stack([v for v in (x[i] for i in rows) if v is not None])).to(self.device)
            for x in (queries, others)
        )
        assert asked is not None
        return rows, separate(self.model, self.mixture[rows], asked, self.autocast, away)

    def gains(self, queries: Queries, others: Queries | None = None) -> dict[int, tuple[float, float]]:
        """SI-SDRi and SDRi in dB of every row that has a query."""
        if all(q is None for q in queries):
            return {}
        rows, estimate = self.estimates(queries, others)
        mixture, target = self.mixture[rows, : estimate.shape[1]], self.target[rows, : estimate.shape[1]]
        gain = si_sdr(estimate, target) - si_sdr(mixture, target)
        plain = sdr(estimate, target) - sdr(mixture, target)
        return dict(zip(rows, zip(gain.tolist(), plain.tolist(), strict=True), strict=True))

    def levels(self, queries: Queries) -> list[float]:
        """Level of the output against the mixture in dB."""
        rows, estimate = self.estimates(queries)
        return ratio_db(estimate.square().sum(-1), self.mixture[rows, : estimate.shape[1]].square().sum(-1)).tolist()  # type: ignore[no-any-return]


@torch.no_grad()
def validate(model: Separator, corpus: Corpus, table: QueryTable, config: EvalConfig, autocast: torch.dtype | None,
             unseen: Collection[str] = ()) -> dict[str, float]:  # fmt: skip
    """SI-SDRi and SDRi (mean, median) on the fixed validation mixtures, share made worse, level when the queried sound is absent.

    Where the table has recordings and images, also the SI-SDRi of queries by them and by all three, each beside that of text on the
    same mixtures (``text_for_image``); where the separator takes it, that of text with the true other sound to push away
    (``with_other``). ``unseen``: labels that training never heard, asked for in words and by three recordings.
    """
    rows: list[dict[str, float]] = []
    absent_db: list[float] = []
    kinds = [kind for kind, there in (("audio", table.audio), ("image", table.image), ("omni", table.audio)) if there]
    takes_other = getattr(model.unet, "other", None) is not None
    pairs = [p for p in draw_pairs(corpus, config, unseen)
             if {p.target.label, p.interferer.label, p.absent_label} <= table.index.keys()]  # fmt: skip
    for first in range(0, len(pairs), 8):
        group = pairs[first : first + 8]
        rendered = [render(corpus, pair, config) for pair in group]
        asking = Asking(model, np.stack([r[0] for r in rendered]), np.stack([r[1] for r in rendered]), autocast)
        words: Queries = [table.label_vector(p.target.label) for p in group]
        found = {"text": asking.gains(words)}
        if takes_other:
            found["with_other"] = asking.gains(words, [table.label_vector(p.interferer.label) for p in group])
        for kind in kinds:
            found[kind] = asking.gains([table.held_out_query(p.target.label, kind, config.split, p.seed) for p in group])
        if unseen:
            found["three_recordings"] = asking.gains([table.recordings_query(p.target.label, 3, p.target.group, p.seed) for p in group])
        rows += [
            {name: gains[i][0] for name, gains in found.items() if i in gains} | {"sdri": found["text"][i][1]} for i in range(len(group))
        ]
        absent_db += asking.levels([table.label_vector(p.absent_label) for p in group])
    seen = [row for row, pair in zip(rows, pairs, strict=True) if pair.target.label not in unseen]
    new = [row for row, pair in zip(rows, pairs, strict=True) if pair.target.label in unseen]

    def mean(among: list[dict[str, float]], name: str, where: str | None = None) -> float:
        return float(np.mean([row[name] for row in among if (where or name) in row]))

    gain = np.array([row["text"] for row in seen])
    figures = {"si_sdri": float(gain.mean()), "si_sdri_median": float(np.median(gain)), "sdri": mean(seen, "sdri"),
               "worse": float((gain < 0).mean()), "absent_db": float(np.mean(absent_db))}  # fmt: skip
    figures |= {f"si_sdri_{name}": mean(seen, name) for name in (*kinds, "with_other") if any(name in row for row in seen)}
    if any("image" in row for row in seen):
        figures["si_sdri_text_for_image"] = mean(seen, "text", where="image")
    figures |= {
        f"unseen_{name}": mean(new, name) for name in ("text", "with_other", "audio", "three_recordings") if any(name in row for row in new)
    }
    return figures


def leave_signals_alone(_: int) -> None:
    """Ctrl-C reaches the whole process group; only the trainer may act on it, or it could not finish its step and save."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    torch.set_num_threads(1)


class Trainer:
    """State of a run in ``folder``: ``last.pt`` (everything), ``best.pt`` (averaged weights, best on val), ``log.jsonl``.

    ``start``: a checkpoint whose weights, and unless the recipe describes a separator its architecture, a new run begins with.
    ``changed``: an existing run may go on with another recipe than it was begun with.
    """

    def __init__(self, folder: Path, corpus: Corpus, table: QueryTable, recipe: dict[str, Any], device: str = "cpu",
                 start: Path | None = None, changed: bool = False) -> None:  # fmt: skip
        self.folder, self.corpus, self.table, self.recipe, self.changed = folder, corpus, table, recipe, changed
        self.config = TrainConfig(**recipe.get("train", {}))
        self.mixtures = MixtureConfig(**recipe.get("mixtures", {}))
        self.validation = EvalConfig(**recipe.get("validation", {}))
        draw_pairs(corpus, self.validation, self.mixtures.held_out_labels)  # what a validation needs is there, or it is said now
        check_table(measured_clips(corpus, self.validation, self.mixtures.held_out_labels), table.index)
        self.processes = Processes(device)
        self.device = self.processes.device
        self.own_shards = self.processes.own(self.config.shards)
        self.dataset = MixtureDataset(corpus, table, self.mixtures, self.config.steps, self.config.seed, own=self.own_shards)
        torch.manual_seed(self.config.seed)
        begun = None if start is None else checkpoint_io.load(start)
        separator = recipe.get("separator", {} if begun is None else begun["separator"])
        separator = {**separator, "unet": {"query_dim": table.dim, **separator.get("unet", {})}}
        self.model = registry.build(separator).to(self.device)
        self.model.unet = self.processes.with_norms(self.model.unet, self.frozen_norms)  # type: ignore[assignment]
        self.model.unet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.model).eval().requires_grad_(False)
        self.optimiser = torch.optim.AdamW(
            parameter_groups(self.model.parameters(), self.config.weight_decay), lr=self.config.lr, betas=self.config.betas
        )
        self.step = 0
        self.best, self.stale = -1e9, 0
        self.autocast = half(self.device, recipe.get("bf16", True))
        if (folder / "last.pt").exists():
            self.resume(checkpoint_io.load(folder / "last.pt"))
        elif begun is not None:
            if begun["encoder"] != table.encoder:
                raise RunError(
                    f"{start} was trained on encoder {begun['encoder']}, the query table is of {table.encoder}; see marssep-train rebase"
                )
            added = tuple(f"unet.{part}" for part in ADDED)
            checkpoint_io.load_weights(self.model, begun["weights"], may_lack=added)
            self.average.load_state_dict(self.model.state_dict())
        else:
            self.average.load_state_dict(self.model.state_dict())

    def resume(self, content: dict[str, Any]) -> None:
        """Go on where ``last.pt`` stopped; raises RunError for another recipe, unless ``changed`` allows it."""
        different = differences(json.loads(content["recipe"]), json.loads(json.dumps(self.recipe)))
        if different and not self.changed:
            raise RunError(
                f"the run in {self.folder} was begun with another recipe ({'; '.join(different)}); take another folder, or --changed"
            )
        checkpoint_io.load_weights(self.model, content["model"])
        checkpoint_io.load_weights(self.average, content["weights"])
        self.optimiser.load_state_dict(content["optimiser"])
        self.step, self.best = content["step"], content["best"]
        self.stale = content.get("stale", 0)

    def content(self) -> dict[str, Any]:
        """Everything that the next process needs to go on as if nothing had happened."""
        return {
            "separator": registry.describe(self.model),
            "weights": self.average.state_dict(),
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "best": self.best,
            "stale": self.stale,
            "recipe": json.dumps(self.recipe),
            **self.provenance(),
        }

    def provenance(self) -> dict[str, Any]:
        """What the weights were trained on, as a bundle's card tells it."""
        labels = self.dataset.labels
        clips = [c for c in self.corpus.clips if c.split == "train" and c.label in {*labels, *self.dataset.backgrounds}]
        licences = sorted({c.licence for c in clips if c.licence})
        said = f"{len(clips)} clips of {len(labels)} labels (manifest {self.corpus.manifest_sha256[:12]})"
        return {"encoder": self.table.encoder, "labels": list(labels),
                "trained_on": said + (f"; licences of the clips: {', '.join(licences)}" if licences else "")}  # fmt: skip

    @property
    def done(self) -> bool:
        """Whether the recipe's last step was taken, or validation has not improved for its patience."""
        return self.step >= self.config.steps or 0 < self.config.patience <= self.stale

    @property
    def frozen_norms(self) -> bool:
        return self.config.frozen_norms

    def save(self) -> None:
        if not self.processes.main:
            return
        checkpoint_io.save(self.folder / "last.pt", self.content())

    def update_average(self) -> None:
        """Exponential average of weights and norm statistics; faster while the run is young."""
        decay = min(self.config.ema, (1 + self.step) / (10 + self.step))
        ours, theirs = self.average.state_dict(), self.model.state_dict()
        floats = [k for k, v in ours.items() if v.is_floating_point()]
        torch._foreach_lerp_([ours[k] for k in floats], [theirs[k] for k in floats], 1 - decay)
        for k in ours.keys() - set(floats):
            ours[k].copy_(theirs[k])

    def train_step(self, batch: Batch) -> dict[str, float]:
        """One update; a non-finite gradient is skipped and counted as ``skipped``; raises RunError for a loss that is no number."""
        self.model.train(not self.frozen_norms)
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.config, self.step)
        batch = {k: v.to(self.device) for k, v in batch.items()}  # type: ignore[assignment, attr-defined]
        terms = loss_terms(self.model, batch, self.config, self.step, self.autocast)
        self.check(terms["loss"], batch)
        self.optimiser.zero_grad(set_to_none=True)
        terms["loss"].backward()
        norm, finite = self.descend()
        self.step += 1
        self.update_average()
        return {**{k: v.item() for k, v in terms.items()}, "norm": norm, "skipped": 0.0 if finite else 1.0}

    def descend(self) -> tuple[float, bool]:
        """A step of the optimiser along the gradients of all processes; their norm, and whether it was finite: if not, nothing moves."""
        self.processes.mean_gradients(self.model.parameters())
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        finite = bool(torch.isfinite(norm))
        if finite:
            self.optimiser.step()
        return norm.item(), finite

    def check(self, loss: Tensor, batch: Batch) -> None:
        """Stop at a loss that is no number, before it reaches the weights: the batch is kept for whoever looks for the cause."""
        if not bool(torch.isfinite(loss)):
            kept = self.folder / "bad_batch.pt"
            checkpoint_io.save(kept, {"step": self.step, **batch})
            raise RunError(f"the loss of step {self.step} is {loss.item()}; its batch is kept in {kept}, the last checkpoint is as it was")

    def run(self, report: Callable[[dict[str, Any]], None] = lambda _: None) -> float:
        """Train to the end of the recipe or to SIGTERM/SIGINT (the state is saved first); returns the best val SI-SDRi."""
        self.folder.mkdir(parents=True, exist_ok=True)
        stop = False

        def ask_to_stop() -> None:
            nonlocal stop
            stop = True

        loader = DataLoader(self.dataset, batch_size=None, sampler=range(self.step, self.config.steps), num_workers=self.config.workers,
                            prefetch_factor=4 if self.config.workers else None, worker_init_fn=leave_signals_alone)  # fmt: skip
        if self.done:
            return self.best
        sums: dict[str, float] = {}
        count, since = 0, time.monotonic()
        with stop_signals(ask_to_stop), scalars(self.folder / "tensorboard") as plot, log_lines(self.folder / "log.jsonl", report) as log:

            def write(entry: dict[str, Any]) -> None:
                if self.processes.main:
                    log(entry)
                    plot(entry)

            for batch in loader:
                for k, v in self.train_step(batch).items():
                    sums[k] = sums.get(k, 0.0) + v
                count += 1
                if self.step % self.config.log_every == 0:
                    rate = count / (time.monotonic() - since)
                    means = self.processes.mean({k: v / count for k, v in sums.items()})
                    write({"step": self.step, "lr": learning_rate(self.config, self.step), "steps_per_second": round(rate, 3),
                           **{k: round(v, 4) for k, v in means.items()}})  # fmt: skip
                    sums, count, since = {}, 0, time.monotonic()
                if self.step % self.config.validate_every == 0 or self.step == self.config.steps:
                    if self.processes.main:
                        self.average.eval()
                        figures = validate(
                            self.average, self.corpus, self.table, self.validation, self.autocast, self.mixtures.held_out_labels
                        )
                        write({"step": self.step, "val": {k: round(v, 4) for k, v in figures.items()}})
                        self.stale += 1
                        if figures["si_sdri"] > self.best:
                            self.best, self.stale = figures["si_sdri"], 0
                            self.save_best(figures)
                        self.save()
                    self.processes.wait()
                    since = time.monotonic()
                if self.processes.any(stop or self.done):
                    break
        self.save()
        return self.best

    def save_best(self, figures: dict[str, float]) -> None:
        """The averaged weights in half precision, with where they come from."""
        content = {
            "separator": registry.describe(self.average),
            "weights": checkpoint_io.slim(self.average.state_dict()),
            "step": self.step,
            "val": figures,
            "recipe": json.dumps({**self.recipe, "train": asdict(self.config), "mixtures": asdict(self.mixtures)}),
            **self.provenance(),
        }
        checkpoint_io.save(self.folder / "best.pt", content)
