"""``marssep export``: bundles, graphs, plug-ins and web pages."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from marssep_rt.cli.options import HELP_NAMES, Model, PlainGroup, command
from marssep_rt.console import console, print_understood, print_warnings
from marssep_rt.errors import MarssepError, UsageError
from marssep_rt.query.types import Query, QueryRequest

if TYPE_CHECKING:
    from marssep_rt.model.bundle import Bundle

app = typer.Typer(
    cls=PlainGroup,
    context_settings=HELP_NAMES,
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Bundles, graphs, plug-ins and web pages from a trained separator.",
)

NO_RESIDUAL = "a graph holds a sound, not its residual: name the sound here, and subtract its output yourself"
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")]


def say(check: Any) -> None:
    """Print a check that was passed."""
    console.print(f"  ok  {check.name}  ({check.difference:.1e})", markup=False)


def say_written(path: Path) -> None:
    """Print the path of an output."""
    console.print(f"wrote {path}", markup=False, soft_wrap=True)


# ---- bundles -------------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class BundleOptions:
    """The options of ``marssep export bundle``."""

    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint of marssep train supervise.")]
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder, or NAME.marssep for a zip file.", metavar="BUNDLE")
    ]
    name: Annotated[str, typer.Option("--name", help="The model's name.")] = "marssep-base"
    text_encoder: Annotated[
        Path | None,
        typer.Option("--text-encoder", help="Text encoder: folder of marssep train text.", metavar="FOLDER"),
    ] = None
    text_from: Annotated[
        Path | None, typer.Option("--from", help="Bundle to take other encoders from.", metavar="BUNDLE")
    ] = None
    encoders: Annotated[
        Path | None,
        typer.Option(
            "--encoders", help="Audio and image encoders of marssep train align.", metavar="FILE.pt"
        ),
    ] = None
    sounds: Annotated[
        Path | None, typer.Option("--sounds", help="sounds.json of marssep train vocabulary.", metavar="FILE")
    ] = None
    semantics: Annotated[
        Path | None,
        typer.Option("--semantics", help="Figures of marssep train semantics.", metavar="FILE.json"),
    ] = None
    measured: Annotated[
        Path | None,
        typer.Option("--measured", help="Results of marssep train suite or evaluate.", metavar="FILE.json"),
    ] = None
    presence: Annotated[
        Path | None,
        typer.Option(
            "--presence", help="Presence curve, by tests/benchmarks/presence.py.", metavar="FILE.json"
        ),
    ] = None
    doubt: Annotated[
        Path | None,
        typer.Option(
            "--doubt", help="When words are doubted, by tests/benchmarks/doubt.py.", metavar="FILE.json"
        ),
    ] = None
    narrowing: Annotated[
        Path | None,
        typer.Option(
            "--narrowing",
            help="How queries narrow to what is heard, by tests/benchmarks/narrowing.py.",
            metavar="FILE.json",
        ),
    ] = None
    second_look: Annotated[
        Path | None,
        typer.Option(
            "--second-look",
            help="How queries are asked again, by tests/benchmarks/second_look.py.",
            metavar="FILE.json",
        ),
    ] = None
    licence: Annotated[
        str | None,
        typer.Option("--licence", help="Licence of the separator's weights; else the checkpoint's word."),
    ] = None

    def figures(self) -> dict[str, Any]:
        """The results for the card, without one line per mixture; raises UsageError."""
        figures = read_json(self.measured, "results")
        figures.pop("rows", None)
        return figures


def read_json(path: Path | None, what: str) -> dict[str, Any]:
    """A JSON object, empty without a file; raises UsageError naming ``what`` cannot be read."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path else {}
    except (OSError, ValueError, TypeError) as e:
        raise UsageError(f"cannot read the {what} {path}: {e}") from e


@command(app, BundleOptions, name="bundle")
def bundle_command(options: BundleOptions) -> None:
    """Export a checkpoint, prove its graph, write a bundle: marssep export bundle best.pt -o mine.marssep"""
    from export.bundle import About, QuerySources, make_bundle
    from export.onnx.verify import ContractError
    from offline_training.utils.checkpoint_io import CheckpointError

    figures = options.figures()
    for path in (options.sounds, options.semantics):
        if path is not None and not path.is_file():
            raise UsageError(f"there is no file {path}")
    sources = QuerySources(
        options.text_encoder,
        options.text_from,
        options.encoders,
        options.sounds,
        options.semantics,
        read_json(options.doubt, "doubt"),
        read_json(options.narrowing, "narrowing"),
        read_json(options.second_look, "second look"),
    )
    try:
        about = About(
            options.name, options.licence, None, figures, read_json(options.presence, "presence curve")
        )
        make_bundle(options.checkpoint, options.output, sources, about, say)
    except CheckpointError as e:
        raise UsageError(str(e)) from e
    except ContractError as e:
        raise MarssepError(f"the exported graph breaks its contract, nothing was written: {e}") from e
    say_written(options.output)


@dataclass(kw_only=True)
class VerifyOptions:
    """The options of ``marssep export verify``."""

    bundle: Annotated[Path, typer.Argument(help="A bundle folder or NAME.marssep.")]


@command(app, VerifyOptions, name="verify")
def verify_command(options: VerifyOptions) -> None:
    """Check a bundle's hashes and prove its graph: marssep export verify mine.marssep"""
    from export.bundle import verify_bundle
    from export.onnx.verify import ContractError

    try:
        verify_bundle(options.bundle, say)
    except ContractError as e:
        raise MarssepError(f"{options.bundle} breaks the graph contract: {e}") from e
    console.print(f"{options.bundle} keeps its promises", markup=False, soft_wrap=True)


# ---- queries that are built in -------------------------------------------------------------------------


@dataclass(kw_only=True)
class ChoiceOptions:
    """The queries that a user of the exported program can choose from."""

    query: Annotated[
        list[str] | None,
        typer.Option("--query", "-q", help="A sound to choose, in words. Repeat for more.", metavar="TEXT"),
    ] = None
    image: Annotated[
        list[Path] | None, typer.Option("--image", help="A sound to choose, as an image.", metavar="FILE")
    ] = None
    audio: Annotated[
        list[Path] | None,
        typer.Option("--audio", help="A sound to choose, as an audio file.", metavar="FILE"),
    ] = None
    query_file: Annotated[
        list[Path] | None, typer.Option("--query-file", help="A sound to choose, embedded.", metavar="FILE")
    ] = None
    overwrite: Overwrite = False
    model: Model = None

    @property
    def request(self) -> QueryRequest:
        """The queries' parts."""
        return QueryRequest(self.query or [], self.image or [], self.audio or [], self.query_file or [])


def choices(bundle: Bundle, request: QueryRequest, residuals: bool = False) -> list[Query]:
    """Embed every part of a request as a query of its own and print its warnings.

    Args:
        bundle: The bundle whose encoders are used.
        request: The parts.
        residuals: Whether a query may ask for a residual ("no dog").

    Raises:
        UsageError: The request is empty, or asks for a residual where there is none.
    """
    from marssep_rt.query.build import build_query

    queries = [build_query(bundle, part) for part in request.split()]
    if not queries:
        raise UsageError('say what there is to choose: --query "dog barking" (repeat for more)')
    if not residuals and any(query.remove for query in queries):
        raise UsageError(NO_RESIDUAL)
    print_understood(query.understood for query in queries)
    print_warnings(warning for query in queries for warning in query.warnings)
    return queries


@dataclass(kw_only=True)
class OnnxOptions(ChoiceOptions):
    """The options of ``marssep export onnx``."""

    output: Annotated[Path, typer.Option("-o", "--output", help="The folder to write.", metavar="FOLDER")]


@command(app, OnnxOptions, name="onnx")
def onnx_command(options: OnnxOptions) -> None:
    """The graph for your own program, queries baked in: marssep export onnx --query dog -o graph"""
    from marssep_rt.model import bundle as bundles

    try:
        from export.onnx.bake import export_onnx
    except ImportError as e:
        raise UsageError('baking queries needs the package onnx: pip install "marssep[export]"') from e
    bundle = bundles.load(options.model)
    for path in export_onnx(bundle, choices(bundle, options.request), options.output, options.overwrite):
        say_written(path)


@dataclass(kw_only=True)
class PluginCommandOptions(ChoiceOptions):
    """The options of ``marssep export plugin``."""

    output: Annotated[
        Path, typer.Option("-o", "--output", help="The folder for the plug-ins.", metavar="FOLDER")
    ]
    kinds: Annotated[
        str,
        typer.Option(
            "--format", help="vst3, clap, lv2, jack, several with commas, or all.", metavar="FORMAT"
        ),
    ] = "all"
    channels: Annotated[str, typer.Option("--channels", help="stereo, mono or both.")] = "both"
    name: Annotated[str, typer.Option("--name", help="The plug-in's name in hosts.")] = ""
    extra_latency: Annotated[
        int,
        typer.Option(
            "--extra-latency",
            help="Additional latency in hops (10 ms); increase it if you hear drop-outs.",
            min=0,
            max=20,
        ),
    ] = 1
    window: Annotated[
        bool | None,
        typer.Option(
            "--window/--no-window", help="With a window, where X11's and OpenGL's headers are. [default]"
        ),
    ] = None
    dpf: Annotated[Path | None, typer.Option("--dpf", help="DISTRHO Plugin Framework.", metavar="FOLDER")] = (
        None
    )
    headers: Annotated[
        Path | None,
        typer.Option(
            "--onnxruntime-headers", help="The folder of ONNX Runtime's C header.", metavar="FOLDER"
        ),
    ] = None
    library: Annotated[
        Path | None,
        typer.Option("--onnxruntime-library", help="ONNX Runtime's shared library.", metavar="FILE"),
    ] = None


@command(app, PluginCommandOptions, name="plugin")
def plugin_command(options: PluginCommandOptions) -> None:
    """Build VST3, CLAP and LV2 plug-ins and a JACK program: marssep export plugin --query dog -o plugins"""
    from export.plugin.build import FORMATS, PluginSettings, build
    from export.plugin.toolchain import find, find_window
    from marssep_rt.model import bundle as bundles

    formats = list(FORMATS) if options.kinds == "all" else [k.strip() for k in options.kinds.split(",")]
    if unknown := [k for k in formats if k not in FORMATS]:
        raise UsageError(f"there is no format {unknown[0]!r}; choose {', '.join(FORMATS)} or all")
    widths = {"stereo": [2], "mono": [1], "both": [2, 1]}.get(options.channels)
    if widths is None:
        raise UsageError(f"channels is {options.channels!r}; choose stereo, mono or both")
    bundle = bundles.load(options.model)
    queries = choices(bundle, options.request, residuals=True)
    tools = find(options.dpf, options.headers, options.library)
    window = find_window(options.window)
    for width in widths:
        settings = PluginSettings(formats, options.name, width, options.extra_latency, window=window)
        written = build(
            bundle,
            queries,
            options.output,
            tools,
            settings,
            options.overwrite,
            say=lambda text: console.print(text, markup=False),
        )
        for path in written:
            say_written(path)


@dataclass(kw_only=True)
class WebOptions:
    """The options of ``marssep export web``."""

    output: Annotated[Path, typer.Option("-o", "--output", help="The folder to write.", metavar="FOLDER")]
    overwrite: Overwrite = False
    model: Model = None


@command(app, WebOptions, name="web")
def web_command(options: WebOptions) -> None:
    """A static page that separates in the browser, for any web server: marssep export web -o site"""
    from export.web.site import export_web
    from marssep_rt.model import bundle as bundles

    export_web(bundles.load(options.model), options.output, options.overwrite)
    console.print(
        f"wrote {options.output}; try it: python -m http.server --directory {options.output}",
        markup=False,
        soft_wrap=True,
    )


def run() -> None:
    """Entry point."""
    app()
