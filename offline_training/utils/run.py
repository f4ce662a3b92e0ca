"""What every training run shares: an orderly stop, a log, whether a run may go on, and which parameters
decay.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn


class RunError(ValueError):
    """A training cannot go on; the message says why in one sentence."""


Write = Callable[[dict[str, Any]], None]


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
    """A function that appends an entry to ``path`` as a line of JSON, at once, and passes it on to
    ``report``.
    """
    with open(path, "a", encoding="utf-8") as log:

        def write(entry: dict[str, Any]) -> None:
            log.write(json.dumps(entry) + "\n")
            log.flush()
            report(entry)

        yield write


@contextmanager
def scalars(folder: Path) -> Iterator[Write]:
    """A function that hands an entry's numbers to TensorBoard (event files in ``folder``), validation figures
    under ``val/``.

    Nothing is kept of entries without a step. TensorBoard is slow to import and a run of a few steps has no
    use for it: it is only imported with the first entry.
    """
    writer: Any = None

    def write(entry: dict[str, Any]) -> None:
        nonlocal writer
        if "step" not in entry:
            return
        if writer is None:
            from torch.utils.tensorboard import SummaryWriter

            writer = SummaryWriter(str(folder))
        named = {"train": entry, "val": entry.get("val", {})}
        for part, figures in named.items():
            for name, value in figures.items():
                if name != "step" and isinstance(value, (int, float)):
                    writer.add_scalar(f"{part}/{name}", value, entry["step"])

    try:
        yield write
    finally:
        if writer is not None:
            writer.close()


def differences(before: Any, now: Any, at: str = "") -> list[str]:
    """What differs between two recipes as plain data, one line a setting: ``train.lr: 0.001 -> 0.002``."""
    if isinstance(before, dict) and isinstance(now, dict):
        lines = []
        for key in dict.fromkeys([*before, *now]):
            lines += differences(
                before.get(key, "unset"), now.get(key, "unset"), f"{at}.{key}" if at else str(key)
            )
        return lines
    same = (
        list(before) == list(now)
        if isinstance(before, (list, tuple)) and isinstance(now, (list, tuple))
        else before == now
    )
    return [] if same else [f"{at}: {before} -> {now}"]


def parameter_groups(parameters: Iterable[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Decay matrices and kernels, leave norms, biases and scales alone."""
    everything = list(parameters)
    decayed = [p for p in everything if p.dim() >= 2]
    free = [p for p in everything if p.dim() < 2]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]
