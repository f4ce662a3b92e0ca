"""What a live run shows while it runs: a dashboard with keys, or plain log lines."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Protocol

from rich.live import Live

from marssep_rt.console import console
from marssep_rt.live.control.controller import LiveController
from marssep_rt.live.control.keyboard import Keyboard, Keys
from marssep_rt.live.view.dashboard import NOTHING, RunInfo, dashboard

REFRESH_PER_SECOND = 8


class Display(Protocol):
    """Shows the state of a run.

    Attributes:
        info: The facts of the run; its latency may change.
    """

    info: RunInfo

    def update(self) -> None:
        """Show what is new; called many times a second."""
        ...


class Ticker:
    """Says once a period that it is time, without drift."""

    def __init__(self, period: float) -> None:
        self.period, self.began, self.count = period, time.monotonic(), 0

    def due(self) -> bool:
        """Whether another period has begun since the last call."""
        count = int(self.seconds() / self.period)
        before, self.count = self.count, count
        return count != before

    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.began


class PlainDisplay:
    """A log line a second, and every new message."""

    def __init__(self, info: RunInfo, control: LiveController) -> None:
        self.info, self.control = info, control
        self.every_second = Ticker(1.0)
        self.message = ""
        self.unmatched = False

    def update(self) -> None:
        if self.every_second.due():
            presence = self.control.note()
            line = self.info.plain_line(self.control.engine.stats, self.every_second.seconds(), presence)
            ignore_closed_terminal(partial(print, line, flush=True))
        if self.control.unmatched != self.unmatched:
            self.unmatched = self.control.unmatched
            nothing = NOTHING[self.control.controls.remove]
            sentence = nothing if self.unmatched else "the query matches again"
            ignore_closed_terminal(partial(print, sentence, flush=True))
        if self.control.message != self.message:
            self.message = self.control.message
            ignore_closed_terminal(partial(print, self.message, flush=True))


class DashboardDisplay:
    """A dashboard that takes keys."""

    def __init__(self, info: RunInfo, control: LiveController, keyboard: Keyboard, live: Live) -> None:
        self.info, self.control, self.keyboard, self.live = info, control, keyboard, live
        self.keys = Keys(control)
        self.every_second, self.every_refresh = Ticker(1.0), Ticker(1 / REFRESH_PER_SECOND)

    def update(self) -> None:
        self.keys.feed(self.keyboard.read())
        if self.every_second.due():
            self.control.note()
        if self.every_refresh.due():
            picture = dashboard(self.info, self.control, self.keys.line(), self.every_refresh.seconds())
            ignore_closed_terminal(partial(self.live.update, picture, refresh=True))


@contextmanager
def open_display(info: RunInfo, control: LiveController, plain: bool) -> Iterator[Display]:
    """The display of a run, for as long as the context lasts."""
    if plain:
        yield PlainDisplay(info, control)
        return
    live = Live(console=console, refresh_per_second=REFRESH_PER_SECOND, transient=False, auto_refresh=False)
    with Keyboard() as keyboard:
        live.start()
        try:
            yield DashboardDisplay(info, control, keyboard, live)
        finally:
            ignore_closed_terminal(live.stop)


def ignore_closed_terminal(work: Callable[[], None]) -> None:
    """Do something that writes to the terminal; if the terminal is closed, stop writing to it."""
    try:
        work()
    except OSError:
        redirect_output_to_devnull()


def redirect_output_to_devnull() -> None:
    """Nobody reads the output any more: from here on writing it cannot fail."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)
