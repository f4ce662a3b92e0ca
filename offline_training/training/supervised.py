"""Supervised training of the base policy: mix-and-separate, -SNR and mask losses, averaged weights,
resumable.

The learning rate is a trapezoid (warm-up, constant, linear decay over the last part): a run can be prolonged
from its constant part and finished whenever the time is up.
"""

from __future__ import annotations

import copy
import json
import signal
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from offline_training.data.corpus import Corpus
from offline_training.data.eval_mixtures import draw_pairs
from offline_training.data.mixtures import Batch, MixtureDataset
from offline_training.data.query_table import QueryTable
from offline_training.models import registry
from offline_training.models.unet import ADDED
from offline_training.training.config import SuperviseRecipe, TrainConfig
from offline_training.training.distributed import Processes
from offline_training.training.objective import loss_terms
from offline_training.training.validation import validate
from offline_training.utils import checkpoint_io
from offline_training.utils.precision import half
from offline_training.utils.recipe import RecipeError, read
from offline_training.utils.run import (
    RunError,
    differences,
    log_lines,
    parameter_groups,
    scalars,
    stop_signals,
)


def learning_rate(config: TrainConfig, step: int) -> float:
    """Trapezoid over ``steps``."""
    up = min(1.0, (step + 1) / max(1, config.warmup_steps))
    down = min(1.0, (config.steps - step) / max(1, config.decay_steps))
    return config.lr * up * max(0.0, down)


def leave_signals_alone(_: int) -> None:
    """Ctrl-C reaches the whole process group; only the trainer may act on it, or it could not finish its step
    and save.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    torch.set_num_threads(1)


class Trainer:
    """State of a run in ``folder``: ``last.pt`` (everything), ``best.pt`` (averaged weights, best on val),
    ``log.jsonl``.

    ``start``: a checkpoint whose weights, and unless the recipe describes a separator its architecture, a new
    run begins with. ``changed``: an existing run may go on with another recipe than it was begun with.
    """

    def __init__(
        self,
        folder: Path,
        corpus: Corpus,
        table: QueryTable,
        recipe: SuperviseRecipe,
        device: str = "cpu",
        start: Path | None = None,
        changed: bool = False,
    ) -> None:
        self.folder, self.corpus, self.table = folder, corpus, table
        self.recipe, self.changed = recipe, changed
        self.config, self.mixtures, self.validation = recipe.train, recipe.mixtures, recipe.validation
        # what a validation needs is there, or it is said now
        draw_pairs(corpus, self.validation, self.mixtures.held_out_labels)
        self.processes = Processes(device)
        self.device = self.processes.device
        self.own_shards = self.processes.own(self.config.shards)
        self.dataset = MixtureDataset(
            corpus, table, self.mixtures, self.config.steps, self.config.seed, own=self.own_shards
        )
        torch.manual_seed(self.config.seed)
        begun = None if start is None else checkpoint_io.load(start)
        separator = {} if begun is None else begun["separator"]
        if recipe.separator is not None:
            separator = asdict(recipe.separator)
        separator = {**separator, "unet": {"query_dim": table.dim, **separator.get("unet", {})}}
        self.model = registry.build(separator).to(self.device)
        self.model.unet = self.processes.with_norms(self.model.unet, self.frozen_norms)  # type: ignore[assignment]
        self.model.unet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.model).eval().requires_grad_(False)
        self.optimiser = torch.optim.AdamW(
            parameter_groups(self.model.parameters(), self.config.weight_decay),
            lr=self.config.lr,
            betas=self.config.betas,
        )
        self.step = 0
        self.best, self.stale = -1e9, 0
        self.autocast = half(self.device, recipe.bf16)
        if (folder / "last.pt").exists():
            self.resume(checkpoint_io.load(folder / "last.pt"))
        elif begun is not None:
            if begun["encoder"] != table.encoder:
                raise RunError(
                    f"{start} was trained on encoder {begun['encoder']}, the query table is "
                    f"of {table.encoder}; see marssep-train rebase"
                )
            added = tuple(f"unet.{part}" for part in ADDED)
            checkpoint_io.load_weights(self.model, begun["weights"], may_lack=added)
            self.average.load_state_dict(self.model.state_dict())
        else:
            self.average.load_state_dict(self.model.state_dict())

    def resume(self, content: dict[str, Any]) -> None:
        """Go on where ``last.pt`` stopped; raises RunError for another recipe, unless ``changed``
        allows it."""
        different = differences(self.stored_recipe(content), json.loads(json.dumps(asdict(self.recipe))))
        if different and not self.changed:
            raise RunError(
                f"the run in {self.folder} was begun with another recipe "
                f"({'; '.join(different)}); take another folder, or --changed"
            )
        checkpoint_io.load_weights(self.model, content["model"])
        checkpoint_io.load_weights(self.average, content["weights"])
        self.optimiser.load_state_dict(content["optimiser"])
        self.step, self.best = content["step"], content["best"]
        self.stale = content.get("stale", 0)

    def stored_recipe(self, content: dict[str, Any]) -> dict[str, Any]:
        """The recipe of ``last.pt`` with every default filled in, as far as its keys are still known."""
        stored = json.loads(content["recipe"])
        try:
            return json.loads(json.dumps(asdict(read(type(self.recipe), stored))))  # type: ignore[no-any-return]
        except RecipeError:
            return stored  # type: ignore[no-any-return]

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
            "recipe": json.dumps(asdict(self.recipe)),
            **self.provenance(),
        }

    def provenance(self) -> dict[str, Any]:
        """What the weights were trained on, as a bundle's card tells it."""
        labels = self.dataset.labels
        clips = [
            c
            for c in self.corpus.clips
            if c.split == "train" and c.label in {*labels, *self.dataset.backgrounds}
        ]
        licences = sorted({c.licence for c in clips if c.licence})
        said = f"{len(clips)} clips of {len(labels)} labels (manifest {self.corpus.manifest_sha256[:12]})"
        return {
            "encoder": self.table.encoder,
            "labels": list(labels),
            "trained_on": said + (f"; licences of the clips: {', '.join(licences)}" if licences else ""),
        }

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
        """One update; a non-finite gradient is skipped and counted as ``skipped``; raises RunError for a loss
        that is no number.
        """
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
        """A step of the optimiser along the gradients of all processes; their norm, and whether it was
        finite: if not, nothing moves.
        """
        self.processes.mean_gradients(self.model.parameters())
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        finite = bool(torch.isfinite(norm))
        if finite:
            self.optimiser.step()
        return norm.item(), finite

    def check(self, loss: Tensor, batch: Batch) -> None:
        """Stop at a loss that is no number, before it reaches the weights: the batch is kept for whoever
        looks for the cause.
        """
        if not bool(torch.isfinite(loss)):
            kept = self.folder / "bad_batch.pt"
            checkpoint_io.save(kept, {"step": self.step, **batch})
            raise RunError(
                f"the loss of step {self.step} is {loss.item()}; its batch is kept in {kept}, "
                "the last checkpoint is as it was"
            )

    def run(self, report: Callable[[dict[str, Any]], None] = lambda _: None) -> float:
        """Train to the end of the recipe or to SIGTERM/SIGINT (the state is saved first); returns the best
        val SI-SDRi.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        stop = False

        def ask_to_stop() -> None:
            nonlocal stop
            stop = True

        loader = DataLoader(
            self.dataset,
            batch_size=None,
            sampler=range(self.step, self.config.steps),
            num_workers=self.config.workers,
            prefetch_factor=4 if self.config.workers else None,
            worker_init_fn=leave_signals_alone,
        )
        if self.done:
            return self.best
        sums: dict[str, float] = {}
        count, since = 0, time.monotonic()
        with (
            stop_signals(ask_to_stop),
            scalars(self.folder / "tensorboard") as plot,
            log_lines(self.folder / "log.jsonl", report) as log,
        ):

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
                    write(
                        {
                            "step": self.step,
                            "lr": learning_rate(self.config, self.step),
                            "steps_per_second": round(rate, 3),
                            **{k: round(v, 4) for k, v in means.items()},
                        }
                    )
                    sums, count, since = {}, 0, time.monotonic()
                if self.step % self.config.validate_every == 0 or self.step == self.config.steps:
                    if self.processes.main:
                        self.average.eval()
                        figures = validate(
                            self.average,
                            self.corpus,
                            self.table,
                            self.validation,
                            self.autocast,
                            self.mixtures.held_out_labels,
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
            "recipe": json.dumps(asdict(self.recipe)),
            **self.provenance(),
        }
        checkpoint_io.save(self.folder / "best.pt", content)
