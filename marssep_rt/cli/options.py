"""Options that several commands share, and errors as one sentence with exit code 1 or 2."""

from __future__ import annotations

import inspect
import signal
import sys
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup

from marssep_rt.cli.renamed import modern
from marssep_rt.console import console as console
from marssep_rt.console import print_error, print_warning, print_warnings
from marssep_rt.contract import MIXER
from marssep_rt.dsp.mixer import Controls
from marssep_rt.errors import MarssepError, UsageError
from marssep_rt.live.control.presets import Preset
from marssep_rt.query.types import QueryRequest

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

warn, warn_each = print_warning, print_warnings
EMPTY_PRESET = Preset()
# packages that the runtime does without -> the extra that brings them
EXTRAS = {
    "torch": "train",
    "torchaudio": "train",
    "transformers": "train",
    "onnxscript": "train",
    "tensorboard": "train",
    "matplotlib": "train",
    "tflite": "train",
    "onnx": "export",
    "ray": "ray",
    "pythonosc": "osc",
    "museval": "research",
    "accelerate": "research",
}
# groups of options in the help
QUERY, MIXER_PANEL, MODEL = "Query", "Mixer settings", "Model"
HELP_NAMES = {"help_option_names": ["-h", "--help"]}

Texts = Annotated[
    list[str] | None,
    typer.Option(
        "--query",
        "-q",
        help="What to hear, in words. Repeat to hear several sounds at once.",
        metavar="TEXT",
        rich_help_panel=QUERY,
    ),
]
Images = Annotated[
    list[Path] | None,
    typer.Option("--image", help="What to hear, as an image.", metavar="FILE", rich_help_panel=QUERY),
]
Audios = Annotated[
    list[Path] | None,
    typer.Option(
        "--audio",
        help="What to hear, as an audio file that contains it.",
        metavar="FILE",
        rich_help_panel=QUERY,
    ),
]
QueryFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--query-file",
        help="A query embedded earlier (marssep query).",
        metavar="FILE",
        rich_help_panel=QUERY,
    ),
]
Not = Annotated[
    list[str] | None,
    typer.Option(
        "--not",
        help="Negative query: take this sound out of the target.",
        metavar="TEXT",
        rich_help_panel=QUERY,
    ),
]
Model = Annotated[
    Path | None,
    typer.Option(
        "--model", help="A model bundle other than the built-in one.", metavar="BUNDLE", rich_help_panel=MODEL
    ),
]
Mode = Annotated[
    str | None,
    typer.Option(
        "--mode",
        help="The output: target, or residual (all except it).",
        metavar="target|residual",
        rich_help_panel=MIXER_PANEL,
    ),
]
Wet = Annotated[
    float | None,
    typer.Option(
        "--wet",
        help="Mix: 0 (input) to 1 (separated, the default).",
        metavar="0..1",
        rich_help_panel=MIXER_PANEL,
    ),
]
Strength = Annotated[
    float | None,
    typer.Option(
        "--strength",
        help="Mix and limit in one: 0 (input) to 100 (no limit); 50 attenuates by 15 dB.",
        metavar="PERCENT",
        rich_help_panel=MIXER_PANEL,
    ),
]
Limit = Annotated[
    float | None,
    typer.Option(
        "--attenuation-limit",
        help="Maximum attenuation in dB; 100 is no limit. Doubted words have one of their own.",
        metavar="DB",
        rich_help_panel=MIXER_PANEL,
    ),
]
Gain = Annotated[
    float | None, typer.Option("--gain", help="Output gain in dB.", metavar="DB", rich_help_panel=MIXER_PANEL)
]
Provider = Annotated[
    str,
    typer.Option(
        "--provider",
        help="Where the model runs: auto, cpu or cuda.",
        metavar="auto|cpu|cuda",
        rich_help_panel=MODEL,
    ),
]


@dataclass(kw_only=True)
class QueryOptions:
    """The query and the bundle that embeds it."""

    query: Texts = None
    image: Images = None
    audio: Audios = None
    query_file: QueryFiles = None
    negative: Not = None
    model: Model = None

    @property
    def request(self) -> QueryRequest:
        """The query's parts."""
        return QueryRequest(
            self.query or [], self.image or [], self.audio or [], self.query_file or [], self.negative or []
        )


@dataclass(kw_only=True)
class MixerOptions:
    """The mixer settings and the provider; None leaves a setting to a preset or its default."""

    mode: Mode = None
    wet: Wet = None
    limit: Limit = None
    gain: Gain = None
    strength: Strength = None
    provider: Provider = "auto"

    @property
    def remove(self) -> bool:
        """Whether the output is the residual."""
        return self.mode == "residual"

    @remove.setter
    def remove(self, value: bool) -> None:
        self.mode = "residual" if value else "target"

    def controls(self, preset: Preset = EMPTY_PRESET) -> Controls:
        """The mixer settings: of the command line, else of the preset, else the defaults."""
        if self.mode not in (None, "target", "residual"):
            raise UsageError(f"mode is {self.mode!r}; choose target or residual")
        if self.strength is not None and (self.wet is not None or self.limit is not None):
            raise UsageError("--strength sets mix and limit; leave out --wet and --attenuation-limit")
        controls = Controls(
            preset.remove if self.mode is None else self.remove,
            _first(self.wet, preset.wet, MIXER.wet_default),
            self.limit if self.limit is not None else preset.limit,
            _first(self.gain, preset.gain, MIXER.gain_db_default),
        )
        strength = self.strength
        if strength is None and self.wet is None and self.limit is None:
            strength = preset.strength
        return controls if strength is None else controls.with_changes(strength=strength)


def _first(*values: float | None) -> float:
    """The first value that is not None."""
    return next(v for v in values if v is not None)


class Interrupted(KeyboardInterrupt):
    """A signal that ends a run; ``number`` is the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def fail(message: str, code: int) -> typer.Exit:
    """Print an error; the caller raises what is returned."""
    print_error(message)
    return typer.Exit(code)


def plain_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Our errors as a sentence and a code; Ctrl-C as exit 130 (a live run handles its own)."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except MarssepError as e:
            raise fail(str(e), e.code) from None
        except ModuleNotFoundError as e:
            if (extra := EXTRAS.get((e.name or "").partition(".")[0])) is None:
                raise
            message = f'this command needs the package {e.name}: pip install "marssep[{extra}]"'
            raise fail(f"{message}, or in a clone pip install .[{extra}]", 2) from None
        except KeyboardInterrupt as e:
            code = 128 + (e.number if isinstance(e, Interrupted) else signal.SIGINT)
            raise fail("interrupted; nothing unfinished was left under a final name", code) from None
        except BrokenPipeError:
            sys.stderr.close()
            raise typer.Exit(1) from None

    return run


TYPE_NAMES = {
    "<path>": "PATH",
    "<str>": "TEXT",
    "<list[str]>": "TEXT",
    "<int>": "NUMBER",
    "<int range>": "NUMBER",
    "<float>": "NUMBER",
    "<float range>": "NUMBER",
}


class PlainCommand(TyperCommand):
    """A command that knows earlier names of options and shows plain types instead of Typer's ``<bool>``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse a command line, in which options may have earlier names."""
        return super().parse_args(ctx, modern(args, self.get_params(ctx)))

    def get_params(self, ctx: Any) -> list[Any]:
        """Options and arguments, flags as flags."""
        return plain_types(super().get_params(ctx), ctx)


class PlainGroup(TyperGroup):
    """A group of commands that shows plain types, too."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Options, flags as flags."""
        return plain_types(super().get_params(ctx), ctx)


def plain_types(parameters: list[Any], ctx: Any) -> list[Any]:
    """The same parameters, ``--help`` among them: flags as flags, and words instead of Typer's ``<int
    range>`` for what options take.
    """
    for parameter in parameters:
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
        elif parameter.param_type_name == "option" and parameter.metavar is None:
            parameter.metavar = TYPE_NAMES.get(parameter.display_type(ctx))
    return parameters


def command(
    app: typer.Typer, options: type[T], **settings: Any
) -> Callable[[Callable[[T], None]], Callable[..., None]]:
    """Register a function of one options object as a command.

    >>> @command(app, LiveOptions)
    ... def main(options: LiveOptions) -> None: ...

    Args:
        app: The Typer application.
        options: A dataclass; every field is an option or argument, annotated as a Typer parameter is.
        settings: Passed on to ``app.command``.
    """
    hints = get_type_hints(options, include_extras=True)
    annotations = {f.name: hints[f.name] for f in fields(options)}  # type: ignore[arg-type]
    parameters = [
        inspect.Parameter(
            f.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if f.default is MISSING else f.default,
            annotation=annotations[f.name],
        )
        for f in fields(options)  # type: ignore[arg-type]
    ]

    def register(work: Callable[[T], None]) -> Callable[..., None]:
        def run(**values: Any) -> None:
            work(options(**values))

        run.__name__, run.__doc__, run.__annotations__ = work.__name__, work.__doc__, annotations
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        app.command(**{"cls": PlainCommand, "context_settings": HELP_NAMES, **settings})(plain_errors(run))
        return run

    return register
