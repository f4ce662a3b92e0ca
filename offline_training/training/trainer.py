"""The training of a separator, whatever it learns by: data, averaged weights, validation, checkpoints.

Supervision and reinforcement differ in what they make of a batch; that is their ``Method``.
"""

from __future__ import annotations

import copy
import json
import signal
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from offline_training.data import heard
from offline_training.data.corpus import Clip
from offline_training.data.mixtures import Batch, MixtureDataset
from offline_training.data.training_data import TrainingData
from offline_training.models import registry
from offline_training.training.config import TrainConfig
from offline_training.training.prepared_run import MAY_LACK, PreparedRun
from offline_training.training.validation import validate
from offline_training.utils import checkpoint_io
from offline_training.utils.distributed import Processes
from offline_training.utils.journal import Advance, Write, open_journal, unwatched
from offline_training.utils.loop import Loop, Position, Rhythm
from offline_training.utils.muon import MuonWithAdamW
from offline_training.utils.optimisation import Optimiser, descend, follow, parameter_groups, set_rate, young
from offline_training.utils.precision import half
from offline_training.utils.run import RunError
from offline_training.utils.schedules import trapezoid


def learning_rate(config: TrainConfig, step: int) -> float:
    """The rate of a step: a trapezoid."""
    return config.lr * trapezoid(step, config.steps, config.warmup_steps, config.decay_steps)


def leave_signals_alone(_: int) -> None:
    """Ctrl-C reaches the whole process group; only the trainer may act on it, or it could not finish its step
    and save.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    torch.set_num_threads(1)


class Method(Protocol):
    """What a run makes of a batch, and what it keeps for that.

    Attributes:
        frozen_norms: Whether batch norms keep the statistics that they begin with.
    """

    frozen_norms: bool

    def begin(self, trainer: Trainer, prepared: PreparedRun) -> None:
        """Take over a trainer that has its weights; ``prepared``: what it begins with or goes on from."""
        ...

    def content(self) -> dict[str, Any]:
        """What ``last.pt`` keeps beside the trainer's own."""
        ...

    def update(self, batch: Batch) -> dict[str, float]:
        """Learn from a batch, which is where the model is, and count the step; returns its figures."""
        ...


class Trainer:
    """A run: ``last.pt`` (everything), ``best.pt`` (averaged weights, best on val) and ``log.jsonl``.

    Args:
        prepared: Where it is kept, what it begins with or goes on from, and the settings.
        data: What it is trained and validated on.
        method: What it learns by.

    Raises:
        RunError: The run cannot begin or go on with these.
        CheckpointError: A checkpoint cannot be used.
        CorpusError: The corpus lacks what training or validation need.
    """

    def __init__(self, prepared: PreparedRun, data: TrainingData, method: Method) -> None:
        prepared.check(data)
        recipe = prepared.recipe
        self.folder, self.data, self.recipe, self.method = prepared.options.folder, data, recipe, method
        self.config, self.mixtures, self.validation = recipe.train, recipe.mixtures, recipe.validation
        self.processes = Processes(prepared.options.device)
        self.device = self.processes.device
        self.own_shards = self.processes.own(self.config.shards)
        self.dataset = MixtureDataset(
            data.corpus,
            data.table,
            self.mixtures,
            self.config.steps,
            self.config.seed,
            own=self.own_shards,
        )
        self.position = Position()
        self.autocast = half(self.device, recipe.bf16)
        self.heard_before: set[int] | None = set()
        self.warnings: list[str] = []  # what is to be said of the run before it begins
        self.warn(prepared.unknown_labels(data.corpus))
        self.build(prepared.separator(data.table.dim))
        if prepared.last is not None:
            self.resume(prepared.last)
        elif prepared.begun is not None:
            self.begin_with(prepared.begun, prepared.options.start)
        method.begin(self, prepared)

    def warn(self, sentence: str) -> None:
        """Keep a warning; "" is none."""
        self.warnings += [sentence] if sentence else []

    def build(self, separator: Mapping[str, Any]) -> None:
        """The untrained separator, its average and its optimiser."""
        torch.manual_seed(self.config.seed)
        self.model = registry.build(separator).to(self.device)
        self.model.unet = self.processes.with_norms(self.model.unet, self.method.frozen_norms)  # type: ignore[assignment]
        self.model.unet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.model).eval().requires_grad_(False)
        self.optimiser = self.new_optimiser()

    def new_optimiser(self) -> Optimiser:
        """The recipe's optimiser, which has seen no gradient yet."""
        config, parameters = self.config, self.model.parameters()
        if config.optimiser == "muon":
            return MuonWithAdamW(parameters, config.lr, config.weight_decay, config.betas)
        groups = parameter_groups(parameters, config.weight_decay)
        return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas)

    def begin_with(self, content: Mapping[str, Any], start: Path | None) -> None:
        """Take the weights of a checkpoint."""
        self.heard_before = heard.heard_of(content)
        self.warn(heard.warning(content, self.data.corpus, str(start)))
        checkpoint_io.load_weights(self.model, content["weights"], may_lack=MAY_LACK)
        self.average.load_state_dict(self.model.state_dict())

    def resume(self, content: Mapping[str, Any]) -> None:
        """Go on where ``last.pt`` stopped."""
        checkpoint_io.load_weights(self.model, content["model"])
        checkpoint_io.load_weights(self.average, content["weights"])
        if ("muon" in content["optimiser"]) == (self.config.optimiser == "muon"):
            self.optimiser.load_state_dict(content["optimiser"])  # a changed recipe's other one begins anew
        self.position = Position(content["step"], content["best"], content.get("stale", 0))
        self.heard_before = heard.heard_of(content)

    def content(self) -> dict[str, Any]:
        """Everything that the next process needs to go on as if nothing had happened."""
        return {
            "separator": registry.describe(self.model),
            "weights": self.average.state_dict(),
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            **asdict(self.position),
            "recipe": json.dumps(asdict(self.recipe)),
            **self.provenance(),
            **self.method.content(),
        }

    def provenance(self) -> dict[str, Any]:
        """What the weights were trained on, as a bundle's card tells it."""
        labels, clips = self.dataset.labels, self.training_clips
        licences = sorted({c.licence for c in clips if c.licence})
        said = (
            f"{len(clips)} clips of {len(labels)} labels (manifest {self.data.corpus.manifest_sha256[:12]})"
        )
        if licences:
            said += f"; licences of the clips: {', '.join(licences)}"
        told = {"encoder": self.data.table.encoder, "labels": list(labels), "trained_on": said}
        return told | ({} if self.marked is None else {"heard": heard.stored(self.marked)})

    @cached_property
    def training_clips(self) -> list[Clip]:
        """The recordings that this run trains on."""
        labels = {*self.dataset.labels, *self.dataset.backgrounds}
        return [c for c in self.data.corpus.clips if c.split == "train" and c.label in labels]

    @cached_property
    def marked(self) -> set[int] | None:
        """Marks of what these weights have heard, before this run too; None where nobody knows."""
        if self.heard_before is None:
            return None
        return self.heard_before | heard.marks(self.data.corpus, self.training_clips)

    @property
    def step(self) -> int:
        """Steps that are done."""
        return self.position.step

    @property
    def done(self) -> bool:
        """Whether the recipe's last step was taken, or validation has not improved for its patience."""
        return self.loop().done

    def loop(self) -> Loop:
        """The loop of this run."""
        config = self.config
        rhythm = Rhythm(config.steps, config.log_every, config.validate_every, config.patience)
        return Loop(self, rhythm, self.processes)

    def run(self, report: Write = unwatched, advance: Advance = unwatched) -> float:
        """Train to the end of the recipe or to SIGTERM/SIGINT (the state is saved first).

        Args:
            report: Gets every entry of the log.
            advance: Called after every step.

        Returns:
            The best SI-SDRi on val in dB.
        """
        if not self.done:
            with open_journal(self.folder, report, advance, quiet=not self.processes.main) as journal:
                self.loop().run(journal)
        return self.position.best

    def batches(self, first: int) -> Iterable[Batch]:
        """The batches of the steps from ``first`` on; each depends on nothing but seed and step."""
        workers = self.config.workers
        return DataLoader(
            self.dataset,
            batch_size=None,
            sampler=range(first, self.config.steps),
            num_workers=workers,
            prefetch_factor=4 if workers else None,
            worker_init_fn=leave_signals_alone,
            pin_memory=self.device.type == "cuda",
        )

    def train_step(self, batch: Batch) -> dict[str, float]:
        """One update by the run's method at the step's learning rate.

        Raises:
            RunError: The loss is no number.
        """
        set_rate(self.optimiser, learning_rate(self.config, self.step))
        return self.method.update(self.on_device(batch))

    def on_device(self, batch: Batch) -> Batch:
        """The batch where the model is; from pinned memory it travels while the device computes."""
        return {k: v.to(self.device, non_blocking=True) for k, v in batch.items()}  # type: ignore[attr-defined, return-value]

    def descend(self, loss: Tensor, batch: Batch) -> tuple[float, bool]:
        """A step of the optimiser; the gradient's norm, and whether it was finite.

        A loss that is no number stops the run before it reaches the weights, and its batch is kept for
        whoever looks for the cause.
        """
        if not bool(torch.isfinite(loss)):
            kept = self.folder / "bad_batch.pt"
            checkpoint_io.save(kept, {"step": self.step, **batch})
            raise RunError(
                f"the loss of step {self.step} is {loss.item()}; its batch is kept in {kept}, "
                "the last checkpoint is as it was"
            )
        parameters = list(self.model.parameters())
        return descend(self.optimiser, loss, parameters, self.config.clip, self.processes)

    def stepped(self) -> None:
        """Count a step; the average follows."""
        self.position.step += 1
        follow(self.average, self.model, young(self.config.ema, self.step))

    def log_entry(self, means: Mapping[str, float], rate: float) -> dict[str, Any]:
        """The log's entry of mean figures."""
        now = {"step": self.step, "lr": learning_rate(self.config, self.step)}
        return {**now, "steps_per_second": round(rate, 3), **{k: round(v, 4) for k, v in means.items()}}

    def validate(self) -> dict[str, float]:
        """The averaged weights on the validation mixtures."""
        self.average.eval()
        unseen = self.mixtures.held_out_labels
        return validate(self.average, self.data, self.validation, self.autocast, unseen)

    def score(self, figures: Mapping[str, float]) -> float:
        """SI-SDRi in dB."""
        return figures["si_sdri"]

    def validation_entry(self, figures: Mapping[str, float]) -> dict[str, Any]:
        """The log's entry of a validation."""
        return {"step": self.step, "val": {k: round(v, 4) for k, v in figures.items()}}

    def save(self) -> None:
        """Write ``last.pt``."""
        checkpoint_io.save(self.folder / "last.pt", self.content())

    def save_best(self, figures: Mapping[str, float]) -> None:
        """Write ``best.pt``: the averaged weights in half precision, with where they come from."""
        content = {
            "separator": registry.describe(self.average),
            "weights": checkpoint_io.slim(self.average.state_dict()),
            "step": self.step,
            "val": dict(figures),
            "recipe": json.dumps(asdict(self.recipe)),
            **self.provenance(),
        }
        checkpoint_io.save(self.folder / "best.pt", content)
