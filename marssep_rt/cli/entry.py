"""Entry points. Ctrl-C is answered in one line even while libraries are still being imported."""

from __future__ import annotations

import io
import os
import signal
import sys
from importlib import import_module


def _leave_at_once(*_: object) -> None:
    """Exit before anything has begun.

    An exception would not do: extension modules turn it into an ImportError while they are imported.
    """
    os.write(2, b"interrupted before anything was begun\n")
    os._exit(1)


def _write_any_text() -> None:
    """Let names and queries be printed in every encoding of the terminal: what it lacks as \\u0434."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # pythonw has none
            stream.reconfigure(errors="backslashreplace")


def _run(module: str) -> None:
    code: object = 0
    _write_any_text()
    try:
        signal.signal(signal.SIGINT, _leave_at_once)
        app = import_module(f"marssep_rt.cli.{module}").app
        signal.signal(signal.SIGINT, signal.default_int_handler)
        app()
    except KeyboardInterrupt:
        print("interrupted before anything was begun", file=sys.stderr)
        code = 1
    except SystemExit as e:
        code = 1 if e.code == 130 else e.code  # click's code for an interrupt while it parses
    finally:
        signal.signal(
            signal.SIGINT, signal.SIG_IGN
        )  # the work is over; only the interpreter's own exit is left
    sys.exit(code)  # type: ignore[arg-type]


def marssep() -> None:
    """``marssep``, ``python -m marssep_rt``."""
    _run("marssep")


def live() -> None:
    """``marssep-live``."""
    _run("live")


def file() -> None:
    """``marssep-file``."""
    _run("file")


def query() -> None:
    """``marssep-query``."""
    _run("query")
