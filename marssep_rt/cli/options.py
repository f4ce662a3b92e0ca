"""Options that all commands share, and how errors leave: one sentence, exit code 1 or 2, never a traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, ParamSpec, TypeVar

import typer

from marssep_rt.console import console as console
from marssep_rt.console import print_error, print_warning, print_warnings
from marssep_rt.errors import MarssepError

P = ParamSpec("P")
R = TypeVar("R")

warn, warn_each = print_warning, print_warnings

Texts = Annotated[list[str] | None, typer.Option("--query", "-q", help="What to hear, in words. Repeat to blend.", metavar="TEXT")]
Images = Annotated[list[Path] | None, typer.Option("--image", help="What to hear, as a picture.", metavar="FILE")]
Audios = Annotated[list[Path] | None, typer.Option("--audio", help="What to hear, as an example recording.", metavar="FILE")]
QueryFiles = Annotated[list[Path] | None, typer.Option("--query-file", help="A query embedded earlier (marssep-query).", metavar="FILE")]
Not = Annotated[str | None, typer.Option("--not", help="What not to hear: pushes the query away from it.", metavar="TEXT")]
Model = Annotated[Path | None, typer.Option("--model", help="A model bundle other than the built-in one.", metavar="BUNDLE")]
Remove = Annotated[bool, typer.Option("--remove", help="Everything but the query.")]
Wet = Annotated[float, typer.Option("--wet", help="0 (input) to 1 (separated).", metavar="0..1")]
Limit = Annotated[float | None, typer.Option("--limit", help="Take away at most so many dB.", metavar="DB")]
Gain = Annotated[float, typer.Option("--gain", help="Output gain in dB.", metavar="DB")]
# None where a preset may say otherwise
WetOrPreset = Annotated[float | None, typer.Option("--wet", help="0 (input) to 1 (separated).", metavar="0..1")]
GainOrPreset = Annotated[float | None, typer.Option("--gain", help="Output gain in dB.", metavar="DB")]
Provider = Annotated[str, typer.Option("--provider", help="Where the model runs: auto, cpu or cuda.", metavar="auto|cpu|cuda")]


def fail(message: str, code: int) -> typer.Exit:
    """Print an error; the caller raises what is returned."""
    print_error(message)
    return typer.Exit(code)


def plain_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Our errors as a sentence and a code; Ctrl-C as exit 1 (a live run handles its own)."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except MarssepError as e:
            raise fail(str(e), e.code) from None
        except KeyboardInterrupt:
            raise fail("interrupted; nothing unfinished was left under a final name", 1) from None
        except BrokenPipeError:
            sys.stderr.close()
            raise typer.Exit(1) from None

    return run
