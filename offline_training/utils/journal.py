"""What a run tells while it goes on (log.jsonl, TensorBoard, whoever watches), and whether it is to stop."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Write = Callable[[dict[str, Any]], None]
Advance = Callable[[int, int, dict[str, float]], None]  # steps done, steps in all, figures of the last one


def unwatched(*_: Any) -> None:
    """Nobody watches."""


class Journal:
    """An open journal.

    Attributes:
        stopped: Somebody asked the run to stop: SIGTERM, or Ctrl-C.
    """

    def __init__(self, write: Write, advance: Advance) -> None:
        self.write, self.advance = write, advance
        self.stopped = False

    def stop(self) -> None:
        """Ask the run to save and stop after its present step."""
        self.stopped = True


@contextmanager
def open_journal(
    folder: Path, report: Write = unwatched, advance: Advance = unwatched, quiet: bool = False
) -> Iterator[Journal]:
    """A run's journal in ``folder``, which is made.

    Args:
        folder: The run's folder.
        report: Gets every entry of the log.
        advance: Called after every step.
        quiet: Nothing is written: another process of the same run does that.
    """
    if quiet:
        journal = Journal(unwatched, unwatched)
        with stop_signals(journal.stop):
            yield journal
        return
    folder.mkdir(parents=True, exist_ok=True)
    with scalars(folder / "tensorboard") as plot, log_lines(folder / "log.jsonl", report) as log:

        def write(entry: dict[str, Any]) -> None:
            log(entry)
            plot(entry)

        journal = Journal(write, advance)
        with stop_signals(journal.stop):
            yield journal


@contextmanager
def stop_signals(ask_to_stop: Callable[[], None]) -> Iterator[None]:
    """SIGTERM and SIGINT call ``ask_to_stop`` inside; the handlers from before come back after it."""
    previous = {s: signal.signal(s, lambda *_: ask_to_stop()) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for s, handler in previous.items():
            signal.signal(s, handler)


@contextmanager
def log_lines(path: Path, report: Write) -> Iterator[Write]:
    """A function that at once appends an entry to ``path`` as a line of JSON and tells ``report``."""
    with open(path, "a", encoding="utf-8") as log:

        def write(entry: dict[str, Any]) -> None:
            log.write(json.dumps(entry) + "\n")
            log.flush()
            report(entry)

        yield write


@contextmanager
def scalars(folder: Path) -> Iterator[Write]:
    """A function that hands an entry's numbers to TensorBoard (event files in ``folder``).

    Validation figures stand under ``val/``, the others under ``train/``; those of a stage under its number,
    as each stage counts its steps anew. Entries without a step are left out. TensorBoard is slow to import
    and a run of a few steps has no use for it, so it is only imported with the first entry.
    """
    writer: Any = None

    def write(entry: dict[str, Any]) -> None:
        nonlocal writer
        if "step" not in entry:
            return
        if writer is None:
            from torch.utils.tensorboard import SummaryWriter

            writer = SummaryWriter(str(folder))
        stage = f"stage{entry['stage']}/" if "stage" in entry else ""
        named = {"train": entry, "val": entry.get("val", {})}
        for part, figures in named.items():
            for name, value in figures.items():
                if name not in ("step", "steps", "stage") and isinstance(value, (int, float)):
                    writer.add_scalar(f"{stage}{part}/{name}", value, entry["step"])

    try:
        yield write
    finally:
        if writer is not None:
            writer.close()
