"""Entry points. Ctrl-C is answered in one line even while libraries are still being imported."""

from __future__ import annotations

import sys
from importlib import import_module


def _run(module: str) -> None:
    try:
        import_module(f"marssep_rt.{module}").app()
    except KeyboardInterrupt:
        print("interrupted before anything was begun", file=sys.stderr)
        sys.exit(1)


def live() -> None:
    """``marssep-live``."""
    _run("live")


def file() -> None:
    """``marssep-file``."""
    _run("batch")


def query() -> None:
    """``marssep-query``."""
    _run("query_command")
