"""What a live run shows: a header, then a live view with meters or plain lines."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from marssep_rt.telemetry import Telemetry

FLOOR_DB = -60.0


@dataclass(frozen=True)
class RunInfo:
    """What does not change during a run."""

    source: str
    sink: str
    rate: int
    blocksize: int
    model: str
    provider: str
    query: str
    latency_ms: dict[str, float]

    def lines(self) -> list[str]:
        parts = self.latency_ms
        total = (
            f"{parts['total']:.1f} ms = algorithmic {parts['algorithmic']:.1f} + blocks {parts['blocks']:.1f} + slack {parts['slack']:.1f}"
            f" + device in {parts['device_in']:.1f} + device out {parts['device_out']:.1f}"
        )
        return [
            f"query    {self.query}",
            f"input    {self.source}",
            f"output   {self.sink}",
            f"audio    {self.rate} Hz, blocks of {self.blocksize}",
            f"model    {self.model} on {self.provider}",
            f"latency  {total}",
        ]


def decibels(peak: float) -> float:
    return max(FLOOR_DB, 20 * math.log10(max(peak, 1e-9)))


def meter(peak: float, width: int = 36) -> Text:
    """A bar from -60 to 0 dBFS: green, yellow from -12, red from -3."""
    db = decibels(peak)
    filled = round((db - FLOOR_DB) / -FLOOR_DB * width)
    colour = "red" if db > -3 else "yellow" if db > -12 else "green"
    return Text.assemble(("#" * filled, colour), ("." * (width - filled), "dim"), f" {db:6.1f} dBFS")


def view(info: RunInfo, t: Telemetry, seconds: float) -> RenderableType:
    """The live view's current picture."""
    table = Table.grid(padding=(0, 2))
    table.add_row("in", meter(t.level_in))
    table.add_row("out", meter(t.level_out))
    times = t.hop_times
    trouble = t.misses + t.underruns + t.overflows
    table.add_row("hop", f"p50 {times.quantile(0.5):.2f} ms   p99 {times.quantile(0.99):.2f} ms   worst {times.worst:.2f} ms")
    table.add_row("", Text(f"misses {t.misses}   underruns {t.underruns}   overflows {t.overflows}", style="red" if trouble else "dim"))
    table.add_row("time", f"{int(seconds) // 60}:{int(seconds) % 60:02}   Ctrl-C ends")
    return Group(*(Text(line) for line in info.lines()), table)


def plain_line(t: Telemetry, seconds: float) -> str:
    """One line for logs."""
    times = t.hop_times
    return (
        f"t={seconds:.0f}s in={decibels(t.level_in):.1f}dBFS out={decibels(t.level_out):.1f}dBFS hop_p50={times.quantile(0.5):.2f}ms "
        f"hop_p99={times.quantile(0.99):.2f}ms misses={t.misses} underruns={t.underruns} overflows={t.overflows}"
    )
