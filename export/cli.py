"""``marssep-export``: bundles out of checkpoints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from marssep_rt.cli import options as opt
from marssep_rt.console import print_warnings
from marssep_rt.errors import MarssepError, UsageError
from marssep_rt.query.types import Query, QueryRequest

if TYPE_CHECKING:
    from marssep_rt.model.bundle import Bundle

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True, help="Freeze a trained policy into a bundle.")


def say(check: Any) -> None:
    opt.console.print(f"  ok  {check.name}  ({check.difference:.1e})", markup=False)


@app.command("bundle")
@opt.plain_errors
def bundle_command(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint of marssep-train supervise.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder, or NAME.marssep for a zip.", metavar="BUNDLE")],
    name: Annotated[str, typer.Option("--name", help="The model's name.")] = "marssep-base",
    tower: Annotated[Path | None, typer.Option("--tower", help="Text tower: folder of marssep-train text.", metavar="FOLDER")] = None,
    text_from: Annotated[Path | None, typer.Option("--from", help="Bundle to take other towers from.", metavar="BUNDLE")] = None,
    towers: Annotated[Path | None, typer.Option("--towers", help="Towers of marssep-train align.", metavar="FILE.pt")] = None,
    sounds: Annotated[Path | None, typer.Option("--sounds", help="sounds.json of marssep-train vocabulary.", metavar="FILE")] = None,
    semantics: Annotated[Path | None, typer.Option("--semantics", help="Figures of marssep-train semantics.", metavar="FILE.json")] = None,
    measured: Annotated[Path | None, typer.Option("--measured", help="Results of marssep-train evaluate.", metavar="FILE.json")] = None,
) -> None:
    """Export a checkpoint, prove the graph's contract, write the bundle."""
    from export.bundle import QuerySources, make_bundle
    from export.onnx.verify import ContractError
    from offline_training.utils.checkpoint_io import CheckpointError

    try:
        figures = json.loads(measured.read_text(encoding="utf-8")) if measured else {}
        figures.pop("rows", None)  # one line a mixture is for tables, not for the card
    except (OSError, ValueError) as e:
        raise UsageError(f"cannot read the results {measured}: {e}") from e
    for path in (sounds, semantics):
        if path is not None and not path.is_file():
            raise UsageError(f"there is no file {path}")
    try:
        make_bundle(checkpoint, output, name, QuerySources(tower, text_from, towers, sounds, semantics), figures, say)
    except CheckpointError as e:
        raise UsageError(str(e)) from e
    except ContractError as e:
        raise MarssepError(f"the exported graph breaks its contract, nothing was written: {e}") from e
    opt.console.print(f"wrote {output}", markup=False, soft_wrap=True)


@app.command("verify")
@opt.plain_errors
def verify_command(bundle: Annotated[Path, typer.Argument(help="A bundle folder or NAME.marssep.")]) -> None:
    """Check a bundle's hashes and prove what its graph promises."""
    from export.bundle import verify_bundle
    from export.onnx.verify import ContractError

    try:
        verify_bundle(bundle, say)
    except ContractError as e:
        raise MarssepError(f"{bundle} breaks the graph contract: {e}") from e
    opt.console.print(f"{bundle} keeps its promises", markup=False, soft_wrap=True)


Texts = Annotated[list[str] | None, typer.Option("--query", "-q", help="A sound to choose, in words. Repeat for more.", metavar="TEXT")]
Images = Annotated[list[Path] | None, typer.Option("--image", help="A sound to choose, as a picture.", metavar="FILE")]
Audios = Annotated[list[Path] | None, typer.Option("--audio", help="A sound to choose, as a recording.", metavar="FILE")]
QueryFiles = Annotated[list[Path] | None, typer.Option("--query-file", help="A sound to choose, embedded.", metavar="FILE")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]
Kinds = Annotated[str, typer.Option("--format", help="vst3, clap, lv2, jack, several with commas, or all.", metavar="FORMAT")]


def choices(bundle: Bundle, request: QueryRequest) -> list[Query]:
    """Embed every part of a request as a query of its own and print its warnings.

    Raises:
        UsageError: The request is empty.
    """
    from marssep_rt.query.build import build_query

    queries = [build_query(bundle, part) for part in request.split()]
    if not queries:
        raise UsageError('say what there is to choose: --query "dog barking" (repeat for more)')
    print_warnings(warning for query in queries for warning in query.warnings)
    return queries


@app.command("onnx")
@opt.plain_errors
def onnx_command(
    output: Annotated[Path, typer.Option("-o", "--output", help="The folder to write.", metavar="FOLDER")],
    query: Texts = None,
    image: Images = None,
    audio: Audios = None,
    query_file: QueryFiles = None,
    overwrite: Overwrite = False,
    model: opt.Model = None,
) -> None:
    """The graph for your own program: alone, with each query baked in, with its contract and examples."""
    from marssep_rt.model import bundle as bundles

    try:
        from export.onnx.bake import export_onnx
    except ImportError as e:
        raise UsageError('baking queries needs the package onnx: pip install "marssep[export]"') from e
    loaded = bundles.load(model)
    for path in export_onnx(
        loaded, choices(loaded, QueryRequest(query or [], image or [], audio or [], query_file or [])), output, overwrite
    ):
        opt.console.print(f"wrote {path}", markup=False, soft_wrap=True)


@app.command("web")
@opt.plain_errors
def web_command(
    output: Annotated[Path, typer.Option("-o", "--output", help="The folder to write.", metavar="FOLDER")],
    overwrite: Overwrite = False,
    model: opt.Model = None,
) -> None:
    """A static page that separates the microphone or a file in the browser; serve the folder with anything."""
    from export.web.site import export_web
    from marssep_rt.model import bundle as bundles

    export_web(bundles.load(model), output, overwrite)
    opt.console.print(f"wrote {output}; try it: python -m http.server --directory {output}", markup=False, soft_wrap=True)


@app.command("plugin")
@opt.plain_errors
def plugin_command(
    output: Annotated[Path, typer.Option("-o", "--output", help="Where the plug-ins are put.", metavar="FOLDER")],
    query: Texts = None,
    image: Images = None,
    audio: Audios = None,
    query_file: QueryFiles = None,
    kinds: Kinds = "all",
    channels: Annotated[str, typer.Option("--channels", help="stereo, mono or both.")] = "stereo",
    name: Annotated[str, typer.Option("--name", help="The plug-in's name in hosts.")] = "",
    spare: Annotated[
        int, typer.Option("--spare", help="Hops (10 ms) of latency beyond the least; more where samples come late.", min=0, max=20)
    ] = 1,
    overwrite: Overwrite = False,
    model: opt.Model = None,
    dpf: Annotated[Path | None, typer.Option("--dpf", help="DISTRHO Plugin Framework.", metavar="FOLDER")] = None,
    headers: Annotated[Path | None, typer.Option("--onnxruntime-headers", help="Its C header's folder.", metavar="FOLDER")] = None,
    library: Annotated[Path | None, typer.Option("--onnxruntime-library", help="Its shared library.", metavar="FILE")] = None,
) -> None:
    """Build VST3, CLAP and LV2 plug-ins and a JACK program; every query is a choice in the running plug-in."""
    from export.plugin.build import FORMATS, build
    from export.plugin.toolchain import find
    from marssep_rt.model import bundle as bundles

    wanted = list(FORMATS) if kinds == "all" else [k.strip() for k in kinds.split(",")]
    if unknown := [k for k in wanted if k not in FORMATS]:
        raise UsageError(f"there is no format {unknown[0]!r}; choose {', '.join(FORMATS)} or all")
    widths = {"stereo": [2], "mono": [1], "both": [2, 1]}.get(channels)
    if widths is None:
        raise UsageError(f"channels is {channels!r}; choose stereo, mono or both")
    loaded = bundles.load(model)
    asked = choices(loaded, QueryRequest(query or [], image or [], audio or [], query_file or []))
    tools = find(dpf, headers, library)
    for width in widths:
        for path in build(loaded, asked, output, tools, wanted, name, width, overwrite, spare=spare,
                          say=lambda text: opt.console.print(text, markup=False)):  # fmt: skip
            opt.console.print(f"wrote {path}", markup=False, soft_wrap=True)


def run() -> None:
    """Entry point."""
    app()
