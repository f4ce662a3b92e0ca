"""``marssep query``: embed a query once, so that live processes need no encoder; tune it on recordings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from marssep_rt.audio_io.streams import readable_again, refuse_second_reader
from marssep_rt.cli.options import QueryOptions, command
from marssep_rt.console import console, print_understood, print_warnings
from marssep_rt.contract import FORMATS
from marssep_rt.errors import UsageError
from marssep_rt.model import bundle as bundles
from marssep_rt.model.bundle import Bundle
from marssep_rt.query.build import build_query
from marssep_rt.query.query_file import write_query
from marssep_rt.query.types import Query, QueryRequest
from marssep_rt.utils.atomic_io import refuse_existing

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(kw_only=True)
class FileOptions(QueryOptions):
    """The options of ``marssep query``."""

    output: Annotated[Path, typer.Option("-o", "--output", help="The file to write.", metavar="NAME.query")]
    more: Annotated[
        list[Path] | None, typer.Argument(help="More recordings, after --audio FILE.", metavar="FILE")
    ] = None
    tune: Annotated[
        bool, typer.Option("--tune", help="Tune the query on one to five recordings (minutes).")
    ] = False
    background: Annotated[
        list[Path] | None,
        typer.Option("--background", help="With --tune: a folder of other sounds.", metavar="FOLDER"),
    ] = None
    seed: Annotated[int, typer.Option("--seed", min=0, help="With --tune: another draw of mixtures.")] = 0
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False

    @property
    def request(self) -> QueryRequest:
        """The query's parts; ``--audio a.wav b.wav`` names two recordings."""
        if self.more and not self.audio:
            raise UsageError(f"{self.more[0]} stands alone; recordings follow --audio, words follow --query")
        given = super().request
        audios = [*given.audios, *(self.more or [])]
        refuse_second_reader(audios)
        return replace(given, audios=audios)


@command(app, FileOptions)
def main(options: FileOptions) -> None:
    """Embed a query into a file: marssep query --query "dog barking" -o dog.query"""
    output = options.output
    if output.suffix != FORMATS.query_suffix:
        raise UsageError(f"{output}: query files end in {FORMATS.query_suffix}")
    refuse_existing(output, options.overwrite)
    if not output.parent.is_dir():
        raise UsageError(f"there is no folder {output.parent}")
    if options.background and not options.tune:
        raise UsageError("--background belongs to --tune")
    bundle = bundles.load(options.model)
    query = _tuned(bundle, options) if options.tune else build_query(bundle, options.request)
    print_understood([query.understood])
    print_warnings(query.warnings)
    write_query(output, query)
    console.print(f"{query.name} -> {output}", markup=False, soft_wrap=True)


def _tuned(bundle: Bundle, options: FileOptions) -> Query:
    """The query tuned on its recordings, with its progress and its result said."""
    from marssep_rt.query.backgrounds import read_folder
    from marssep_rt.query.tune import TuneOptions, tune

    backgrounds = [sound for folder in options.background or [] for sound in read_folder(folder)]
    columns = (TextColumn("tuning"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.description}"), console=console) as progress:
        task = progress.add_task("Ctrl-C takes what is found so far", total=None)

        def report(done: int, total: int, gain_db: float) -> None:
            shown = f"{gain_db:+.1f} dB; Ctrl-C takes what is found so far"
            progress.update(task, completed=done, total=total, description=shown)

        request = options.request
        with readable_again(request.audios) as audios:
            request = replace(request, audios=audios)
            result = tune(bundle, request, backgrounds, TuneOptions(seed=options.seed), report)
    told = f"plain {result.plain_db:+.1f} dB, tuned {result.tuned_db:+.1f} dB on what the search did not hear"
    if result.stopped:
        told = f"stopped after {result.generations} generations; {told}"
    if not result.kept:
        told += "; tuning does not help here, so the plain query is written"
    console.print(told, markup=False, soft_wrap=True)
    return result.query
