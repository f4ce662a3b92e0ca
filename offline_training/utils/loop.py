"""The loop that all trainings share: steps, log, validation, checkpoints, patience, an orderly stop.

A training is a ``Task``: it says what a step and a validation are, and what is saved. ``Loop`` does the rest.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from offline_training.utils.distributed import Processes
from offline_training.utils.journal import Journal


@dataclass
class Position:
    """Where a run stands; kept in its last checkpoint.

    Attributes:
        step: Steps that are done.
        best: The highest score of a validation.
        stale: Validations since then.
    """

    step: int = 0
    best: float = -math.inf
    stale: int = 0


@dataclass(frozen=True)
class Rhythm:
    """When a loop logs, validates and ends, in steps.

    Attributes:
        steps: Of the whole run.
        log_every: Steps that an entry of the log is the mean of.
        validate_every: Steps between validations; the last step is always followed by one.
        patience: Validations without a new best after which the run ends; 0: never.
        validate_first: What a new run begins with is its first candidate.
    """

    steps: int
    log_every: int
    validate_every: int
    patience: int = 0
    validate_first: bool = False

    def due(self, step: int) -> bool:
        """Whether a validation follows a step."""
        return step % self.validate_every == 0 or step == self.steps


class Task(Protocol):
    """One training.

    Attributes:
        position: Where it stands. ``train_step`` moves its step on, the loop keeps the rest.
    """

    position: Position

    def batches(self, first: int) -> Iterable[Any]:
        """What the steps from number ``first`` on train on."""
        ...

    def train_step(self, batch: Any) -> Mapping[str, float]:
        """One update; returns its figures."""
        ...

    def log_entry(self, means: Mapping[str, float], rate: float) -> dict[str, Any]:
        """The log's entry of the mean figures of some steps, at ``rate`` steps a second."""
        ...

    def validate(self) -> dict[str, float]:
        """The figures of the present weights."""
        ...

    def score(self, figures: Mapping[str, float]) -> float:
        """What of the figures is to be as high as possible."""
        ...

    def validation_entry(self, figures: Mapping[str, float]) -> dict[str, Any]:
        """The log's entry of a validation."""
        ...

    def save_best(self, figures: Mapping[str, float]) -> None:
        """Keep the present weights as the best ones."""
        ...

    def save(self) -> None:
        """Keep everything that a resumed run needs."""
        ...


class Meter:
    """Means of figures over steps, and how fast these were."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all steps."""
        self.sums: dict[str, float] = {}
        self.count = 0
        self.since = time.monotonic()

    def add(self, figures: Mapping[str, float]) -> None:
        """One more step."""
        for name, value in figures.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.count += 1

    @property
    def means(self) -> dict[str, float]:
        """The sum of every figure over the number of steps."""
        return {name: total / self.count for name, total in self.sums.items()}

    @property
    def rate(self) -> float:
        """Steps a second."""
        return self.count / max(time.monotonic() - self.since, 1e-9)


class Loop:
    """Runs a task in a rhythm; ``processes``: those that train together (None: this one alone)."""

    def __init__(self, task: Task, rhythm: Rhythm, processes: Processes | None = None) -> None:
        self.task, self.rhythm = task, rhythm
        self.processes = processes or Processes(alone=True)

    @property
    def done(self) -> bool:
        """Whether the last step was taken, or validation has not improved for its patience."""
        position, rhythm = self.task.position, self.rhythm
        return position.step >= rhythm.steps or 0 < rhythm.patience <= position.stale

    def run(self, journal: Journal) -> bool:
        """Train to the end, or until the journal is stopped; everything is saved then.

        Returns:
            Whether it came to the end.
        """
        task, position = self.task, self.task.position
        if self.done:
            return True
        if self.rhythm.validate_first and position == Position():
            self.check(journal)
        meter = Meter()
        saved = False
        for batch in task.batches(position.step):
            figures = task.train_step(batch)
            meter.add(figures)
            journal.advance(position.step, self.rhythm.steps, dict(figures))
            if position.step % self.rhythm.log_every == 0:
                journal.write(task.log_entry(self.processes.mean(meter.means), meter.rate))
                meter.reset()
            saved = self.rhythm.due(position.step)
            if saved:
                self.validated(journal)
                meter.since = time.monotonic()
            if self.processes.any(journal.stopped or self.done):
                break
        if not saved and self.processes.main:
            task.save()
        return self.done

    def validated(self, journal: Journal) -> None:
        """The main process validates and saves; the others wait for it."""
        if self.processes.main:
            self.check(journal)
            self.task.save()
        self.processes.wait()

    def check(self, journal: Journal) -> None:
        """Validate; the best so far is kept."""
        task, position = self.task, self.task.position
        figures = task.validate()
        journal.write(task.validation_entry(figures))
        position.stale += 1
        score = task.score(figures)
        if score > position.best:
            position.best, position.stale = score, 0
            task.save_best(figures)
