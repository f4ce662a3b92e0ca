"""Keys of the terminal view: read without waiting, and what each of them does."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any

from marssep_rt.live.control.controller import LEARN_SECONDS, LiveController

HELP = (
    "t type a query   h hear one   ? what is there   b bypass   r residual   s/S strength   w/W wet   "
    "l/L limit   g/G gain   x reset   c record   q quit"
)
KNOBS = {"s": "strength", "w": "wet", "l": "limit", "g": "gain"}  # upper case: up
ESCAPE, BACKSPACE = "\x1b", ("\x7f", "\x08")


class Keys:
    """Turns characters into actions; while a query is typed they are its letters."""

    def __init__(self, control: LiveController) -> None:
        self.control = control
        self.typed: str | None = None  # the query that is being typed
        self.actions: dict[str, Callable[[], Any]] = {
            "h": lambda: control.learn(LEARN_SECONDS),
            "b": lambda: control.toggle("bypass"),
            "r": lambda: control.toggle("remove"),
            "x": control.reset,
            "c": control.record,
            "?": control.list_sounds,
        }

    def feed(self, text: str) -> None:
        """Act on typed characters; unknown ones and the sequences of arrow and function keys do nothing."""
        if self.typed is None and text.startswith(ESCAPE) and len(text) > 1:
            return
        for character in text:
            if self.typed is not None:
                self._type(character)
            elif character == "t":
                self.typed = ""
            elif character == "q":
                self.control.quit = True
            elif character in "123456789":
                self.control.choose(int(character) - 1)
            elif what := KNOBS.get(character.lower()):
                self.control.step(what, up=character.isupper())
            elif action := self.actions.get(character):
                action()

    def _type(self, character: str) -> None:
        assert self.typed is not None
        if character in ("\r", "\n"):
            text, self.typed = self.typed.strip(), None
            if text:
                self.control.ask(text)
        elif character == ESCAPE:
            self.typed = None
        elif character in BACKSPACE:
            self.typed = self.typed[:-1]
        elif character.isprintable():
            self.typed += character

    def line(self) -> str:
        """What the view shows of it."""
        return HELP if self.typed is None else f"listen for: {self.typed}_   (Enter takes it, Esc leaves it)"


class Keyboard:
    """The terminal's keys one by one while the context lasts; without a terminal there are none."""

    def __init__(self) -> None:
        self.restore: Callable[[], None] = lambda: None
        self.read: Callable[[], str] = str

    def __enter__(self) -> Keyboard:
        if sys.stdin is None or not sys.stdin.isatty():
            return self
        if sys.platform == "win32":
            import msvcrt

            def pressed() -> str:
                found = ""
                while msvcrt.kbhit():
                    found += msvcrt.getwch()
                return found

            self.read = pressed
            return self
        import os
        import select
        import termios
        import tty

        stdin = sys.stdin.fileno()
        before = termios.tcgetattr(stdin)
        tty.setcbreak(stdin)

        def restore() -> None:
            with contextlib.suppress(termios.error):  # a terminal that was closed needs nothing back
                termios.tcsetattr(stdin, termios.TCSADRAIN, before)

        self.restore = restore

        def waiting() -> str:
            if not select.select([stdin], [], [], 0)[0]:
                return ""
            try:
                return os.read(stdin, 1024).decode("utf-8", "ignore")
            except OSError:  # the terminal was closed
                return ""

        self.read = waiting
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.restore()
