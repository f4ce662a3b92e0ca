"""Entry points. Ctrl-C is answered in one line even while libraries are still being imported."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
from importlib import import_module

# exit codes of commands that were ended by a signal
ENDINGS = {128 + int(getattr(signal, n)) for n in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, n)}


def _leave_at_once(*_: object) -> None:
    """Exit before anything has begun.

    An exception would not do: extension modules turn it into an ImportError while they are imported.
    """
    os.write(2, b"interrupted before anything was begun\n")
    _die_of(signal.SIGINT)


def _die_of(number: int) -> None:
    """End as the signal ends a program that knows nothing of it: a shell's loop ends, too, then.

    A loop goes on after a command that exits by itself, and be it with 130.
    """
    if os.name == "posix":
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(128 + number)


def _finish_output() -> None:
    """Write out what a normal end of the interpreter would."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()


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
        code = 128 + signal.SIGINT
    except SystemExit as e:
        code = e.code
    finally:
        signal.signal(
            signal.SIGINT, signal.SIG_IGN
        )  # the work is over; only the interpreter's own exit is left
    if isinstance(code, int) and code in ENDINGS:
        _finish_output()
        _die_of(code - 128)
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
