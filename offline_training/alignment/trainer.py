"""Progressive alignment of sound and sight with the text space (MARS-Sep eq. 7 to 9), stage by stage,
resumable.

Stage 0 pre-trains the builtin encoders against the labels' text vectors. Then, as in the paper, each stage
starts from the best encoders of the one before, trains what its recipe names (heads and temperature) and
replays earlier losses against forgetting:

1. audio-text: symmetric InfoNCE with paraphrases of the label, learned temperature;
2. audio-audio: InfoNCE between recordings of one label, triplets (hardest in the batch; a mixture must be
   further from its label and from another recording than the clean sound is), consistency of two views; plus
   stage 1;
3. audio-image: InfoNCE and triplets between recordings and images of one label, image-text; plus stages
   1 and 2.

The text vectors never move: what they are called in is what the separator and ``.query`` files were made for.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from offline_training.alignment.config import AlignmentConfig, StageConfig
from offline_training.alignment.data import PreparedEncoders, moves, nothing_named
from offline_training.alignment.terms import Losses
from offline_training.encoders.pair import KIND, EncoderPair, load, load_weights
from offline_training.utils import checkpoint_io
from offline_training.utils.journal import Advance, Journal, Write, open_journal, unwatched
from offline_training.utils.loop import Loop, Position, Rhythm
from offline_training.utils.optimisation import descend, follow, parameter_groups, set_rate, young
from offline_training.utils.recipe import as_json, modern
from offline_training.utils.run import RunError, RunOptions, check_folder, check_recipe
from offline_training.utils.schedules import half_cosine

LOG_EVERY = 50
Measure = Callable[[EncoderPair], dict[str, float]]


def freeze(encoders: EncoderPair, trains: Sequence[str]) -> list[nn.Parameter]:
    """Only parameters named by ``trains`` move; norms of frozen parts keep their statistics. Returns what
    moves.
    """
    moving = []
    for name, parameter in encoders.named_parameters():
        parameter.requires_grad_(moves(name, trains))
        if parameter.requires_grad:
            moving.append(parameter)
    encoders.train()
    for module in encoders.modules():
        own = list(module.parameters(recurse=False))
        if own and not any(p.requires_grad for p in own):
            module.eval()
    if not moving:
        raise RunError(f"nothing to train: {nothing_named(trains)}")
    return moving


def last_of(options: RunOptions, config: AlignmentConfig) -> dict[str, Any] | None:
    """The last checkpoint of a run; None for a new one.

    Raises:
        RunError: The run was begun with another recipe, or its folder cannot be written.
        CheckpointError: The checkpoint cannot be used.
    """
    check_folder(options.folder)
    if not (options.folder / "last.pt").exists():
        return None
    content = load(options.folder / "last.pt")
    if "recipe" in content:
        before = modern(AlignmentConfig, json.loads(content["recipe"]))
        check_recipe(options.folder, before, as_json(config), options.changed)
    return content


class Alignment:
    """A run in a folder: ``last.pt`` (everything), ``stage0.pt`` .. ``stage3.pt`` (the best encoders of
    each stage), ``log.jsonl``.

    Args:
        options: Where it is kept; a run that is there already goes on.
        prepared: What is trained, on what, and what it is measured on.
        config: The recipe.

    Attributes:
        measure: The figures of encoders on val.

    Raises:
        RunError: The run was begun with another recipe.
        CheckpointError: Its last checkpoint cannot be used.
    """

    def __init__(self, options: RunOptions, prepared: PreparedEncoders, config: AlignmentConfig) -> None:
        self.folder, self.config = options.folder, config
        self.encoders, self.material, held_out, self.described = prepared
        self.measure: Measure = held_out.of(self.material.anchors)
        self.reference = copy.deepcopy(self.encoders.audio).eval().requires_grad_(False)  # as the run begins
        self.done: list[int] = []  # stages that are finished
        self.interrupted: dict[str, Any] = {}  # what last.pt says of the stage that it is in
        if (content := last_of(options, config)) is not None:
            load_weights(self.encoders, content)
            self.done = content["done"]
            self.interrupted = content if content["optimiser"] is not None else {}

    def save(self, name: str, **more: Any) -> None:
        """Write a checkpoint of the encoders."""
        description = json.dumps(self.described)
        content = {"kind": KIND, "describe": description, "weights": self.encoders.state_dict(), **more}
        checkpoint_io.save(self.folder / name, content)

    def save_last(self, **more: Any) -> None:
        """Write ``last.pt``."""
        self.save("last.pt", done=self.done, recipe=json.dumps(as_json(self.config)), **more)

    def run(self, report: Write = unwatched, advance: Advance = unwatched) -> bool:
        """All stages to the end, or to SIGTERM/SIGINT (the state is saved first).

        Args:
            report: Gets every entry of the log.
            advance: Called after every step.

        Returns:
            Whether it came to the end.
        """
        with open_journal(self.folder, report, advance) as journal:
            for stage in self.config.stages:
                if stage.number in self.done:
                    continue
                if journal.stopped:
                    return False
                if not self.material.images and stage.weights.keys() & {"audio_image", "image_triplet"}:
                    journal.write({"stage": stage.number, "skipped": "there are no images"})
                    self.done.append(stage.number)
                    continue
                if not self.run_stage(stage, journal):
                    return False
        return True

    def run_stage(self, stage: StageConfig, journal: Journal) -> bool:
        """A stage to its end, from where ``last.pt`` stopped in it; False where the journal was stopped."""
        if not self.material.images:
            weights = {k: w for k, w in stage.weights.items() if not k.startswith("image")}
            stage = replace(stage, weights=weights)
        task = Stage(self, stage)
        if self.interrupted:
            task.resume(self.interrupted)
            self.interrupted = {}
        rhythm = Rhythm(stage.steps, LOG_EVERY, stage.validate_every, validate_first=True)
        if not Loop(task, rhythm).run(journal):
            return False
        load_weights(self.encoders, load(self.folder / f"stage{stage.number}.pt"))
        self.done.append(stage.number)
        self.save_last(optimiser=None, **asdict(Position()))
        return True


class Stage:
    """One stage of an alignment, as the loop's task."""

    def __init__(self, run: Alignment, stage: StageConfig) -> None:
        self.run, self.stage, self.encoders = run, stage, run.encoders
        self.position = Position()
        self.moving = freeze(run.encoders, stage.trains)
        average = copy.deepcopy(run.encoders).eval().requires_grad_(False) if stage.ema else None
        self.average: EncoderPair | None = average
        groups = parameter_groups(self.moving, stage.weight_decay)
        self.optimiser = torch.optim.AdamW(groups, lr=stage.lr)

    def resume(self, content: Mapping[str, Any]) -> None:
        """Go on from what ``last.pt`` says of this stage."""
        self.optimiser.load_state_dict(content["optimiser"])
        self.position = Position(content["step"], content["best"], content.get("stale", 0))
        if self.average is not None:
            load_weights(self.average, {"weights": content.get("average", content["weights"])})

    def batches(self, first: int) -> Iterable[np.random.Generator]:
        """The steps' own random generators, so that a resumed run draws what an uninterrupted one would."""
        for step in range(first, self.stage.steps):
            yield np.random.default_rng((self.run.config.seed, self.stage.number, step))

    def train_step(self, rng: np.random.Generator) -> dict[str, float]:
        """One update of what moves."""
        torch.manual_seed(int(rng.integers(2**31)))
        run, stage, step = self.run, self.stage, self.position.step
        set_rate(self.optimiser, stage.lr * half_cosine(step, stage.steps, stage.warmup))
        terms = Losses(self.encoders, run.material, run.config, stage, rng, run.reference).all()
        descend(self.optimiser, terms["loss"], self.moving)
        self.position.step += 1
        if self.average is not None:
            follow(self.average, self.encoders, young(stage.ema, self.position.step))
        return {name: value.item() for name, value in terms.items()}

    def log_entry(self, means: Mapping[str, float], rate: float) -> dict[str, Any]:
        """The log's entry of mean losses."""
        now = {"stage": self.stage.number, "step": self.position.step, "steps": self.stage.steps}
        return {**now, **{k: round(v, 4) for k, v in means.items()}}

    def validate(self) -> dict[str, float]:
        """The averaged encoders on val; without an average, the encoders themselves."""
        if self.average is not None:
            return self.run.measure(self.average)
        modes = {name: module.training for name, module in self.encoders.named_modules()}
        self.encoders.eval()
        figures = self.run.measure(self.encoders)
        for name, module in self.encoders.named_modules():
            module.training = modes[name]
        return figures

    def selected(self, figures: Mapping[str, float]) -> float:
        """The sum of the figures that the stage selects by."""
        return sum(figures[name] for name in self.stage.select if name in figures)

    def score(self, figures: Mapping[str, float]) -> float:
        """That sum; where nothing is selected by, the last encoders are the best."""
        return self.selected(figures) if self.stage.select else float(self.position.step)

    def validation_entry(self, figures: Mapping[str, float]) -> dict[str, Any]:
        """The log's entry of a validation."""
        rounded = {k: round(v, 4) for k, v in figures.items()}
        now = {"stage": self.stage.number, "step": self.position.step}
        return {**now, "val": rounded, "score": round(self.selected(figures), 4)}

    def save_best(self, figures: Mapping[str, float]) -> None:
        """Write the stage's checkpoint."""
        best: dict[str, Tensor] = (self.average or self.encoders).state_dict()
        number, step = self.stage.number, self.position.step
        self.run.save(f"stage{number}.pt", stage=number, step=step, val=dict(figures), weights=best)

    def save(self) -> None:
        """Write ``last.pt`` in the middle of a stage."""
        average = {} if self.average is None else {"average": self.average.state_dict()}
        self.run.save_last(optimiser=self.optimiser.state_dict(), **asdict(self.position), **average)
