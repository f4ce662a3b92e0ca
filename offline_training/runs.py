"""What every training run shares: an orderly stop, a log of JSON lines, and which parameters decay."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

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
    """A function that appends an entry to ``path`` as a line of JSON, at once, and passes it on to ``report``."""
    with open(path, "a", encoding="utf-8") as log:

        def write(entry: dict[str, Any]) -> None:
            log.write(json.dumps(entry) + "\n")
            log.flush()
            report(entry)

        yield write


def parameter_groups(parameters: Iterable[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Decay matrices and kernels, leave norms, biases and scales alone."""
    everything = list(parameters)
    decayed = [p for p in everything if p.dim() >= 2]
    free = [p for p in everything if p.dim() < 2]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]
