"""The content of the display: facts of a run, meters, and log lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from marssep_rt.dsp.levels import FLOOR_DB, decibels
from marssep_rt.dsp.presence import PRESENCE_THRESHOLD
from marssep_rt.live.realtime.stats import EngineStats

if TYPE_CHECKING:
    from marssep_rt.live.control.controller import LiveController

NOTHING = {False: "nothing matches your query", True: "there is hardly anything to remove"}  # by residual


@dataclass(frozen=True)
class RunInfo:
    """What does not change during a run."""

    source: str
    sink: str
    rate: int
    blocksize: int
    model: str
    provider: str
    latency_ms: dict[str, float]

    def lines(self) -> list[str]:
        parts = self.latency_ms
        total = (
            f"{parts['total']:.1f} ms = algorithmic {parts['algorithmic']:.1f} + blocks {parts['blocks']:.1f}"
            f" + slack {parts['slack']:.1f} + device in {parts['device_in']:.1f}"
            f" + device out {parts['device_out']:.1f}"
        )
        return [
            f"input    {self.source}",
            f"output   {self.sink}",
            f"audio    {self.rate} Hz, blocks of {self.blocksize}",
            f"model    {self.model} on {self.provider}",
            f"latency  {total}",
        ]

    def plain_line(self, stats: EngineStats, seconds: float, presence: float) -> str:
        """One line for logs."""
        times = stats.hop_times
        return (
            f"t={seconds:.0f}s in={decibels(stats.level_in):.1f}dBFS out={decibels(stats.level_out):.1f}dBFS "
            f"presence={presence:.2f} "
            f"hop_p50={times.quantile(0.5):.2f}ms hop_p99={times.quantile(0.99):.2f}ms "
            f"misses={stats.misses} underruns={stats.underruns} overflows={stats.overflows}"
        )


def meter(peak: float, width: int = 36) -> Text:
    """A bar from -60 to 0 dBFS: green, yellow from -12, red from -3."""
    db = decibels(peak)
    filled = round((db - FLOOR_DB) / -FLOOR_DB * width)
    colour = "red" if db > -3 else "yellow" if db > -12 else "green"
    return Text.assemble(("#" * filled, colour), ("." * (width - filled), "dim"), f" {db:6.1f} dBFS")


def bar(share: float, width: int = 36) -> Text:
    """A bar from 0 to 1: green where the sound counts as present."""
    filled = round(share * width)
    return Text.assemble(
        ("#" * filled, "green" if share >= PRESENCE_THRESHOLD else "dim"),
        ("." * (width - filled), "dim"),
        f" {share:6.0%}",
    )


def dashboard(info: RunInfo, control: LiveController, keys: str, seconds: float) -> RenderableType:
    """The dashboard of a run.

    Args:
        info: The facts of the run.
        control: Its state.
        keys: The keys that can be typed, or the text that is being typed.
        seconds: Seconds since the start.
    """
    t = control.engine.stats
    table = Table.grid(padding=(0, 2))
    table.add_row("query", Text(control.label(), style="bold"))
    table.add_row("mode", control.shown())
    table.add_row("in", meter(t.level_in))
    table.add_row("out", meter(t.level_out))
    table.add_row("presence", bar(control.engine.presence()))
    table.add_row("", Text(NOTHING[control.controls.remove] if control.unmatched else "", style="yellow"))
    times = t.hop_times
    trouble = t.misses + t.underruns + t.overflows
    table.add_row(
        "hop",
        f"p50 {times.quantile(0.5):.2f} ms   p99 {times.quantile(0.99):.2f} ms   worst {times.worst:.2f} ms",
    )
    table.add_row(
        "",
        Text(
            f"misses {t.misses}   underruns {t.underruns}   overflows {t.overflows}",
            style="red" if trouble else "dim",
        ),
    )
    table.add_row("time", f"{int(seconds) // 60}:{int(seconds) % 60:02}   Ctrl-C ends")
    table.add_row("", Text(control.message, style="yellow"))
    table.add_row("keys", Text(keys, style="dim"))
    return Group(*(Text(line) for line in info.lines()), table)
