"""``marssep-query``: embed a query once, so that live processes need no encoder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from marssep_rt.cli.options import QueryOptions, command
from marssep_rt.console import console, print_understood, print_warnings
from marssep_rt.contract import FORMATS
from marssep_rt.errors import UsageError
from marssep_rt.model import bundle as bundles
from marssep_rt.query.build import NO_RESIDUAL, build_query
from marssep_rt.query.query_file import write_query
from marssep_rt.utils.atomic_io import refuse_existing

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(kw_only=True)
class FileOptions(QueryOptions):
    """The options of ``marssep-query``."""

    output: Annotated[Path, typer.Option("-o", "--output", help="The file to write.", metavar="NAME.query")]
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False


@command(app, FileOptions)
def main(options: FileOptions) -> None:
    """Embed a query into a file: marssep-query --query "dog barking" -o dog.query"""
    output = options.output
    if output.suffix != FORMATS.query_suffix:
        raise UsageError(f"{output}: query files end in {FORMATS.query_suffix}")
    refuse_existing(output, options.overwrite)
    if not output.parent.is_dir():
        raise UsageError(f"there is no folder {output.parent}")
    query = build_query(bundles.load(options.model), options.request)
    if query.remove:
        raise UsageError(NO_RESIDUAL.format("a query file"))
    print_understood([query.understood])
    print_warnings(query.warnings)
    write_query(output, query)
    console.print(f"{query.label} -> {output}", markup=False, soft_wrap=True)
