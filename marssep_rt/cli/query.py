"""``marssep-query``: embed a query once, so that live processes need no encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from marssep_rt.cli import options as opt
from marssep_rt.errors import UsageError
from marssep_rt.model import bundle as bundles
from marssep_rt.query.build import combine
from marssep_rt.query.query_file import write_query

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
@opt.plain_errors
def main(
    output: Annotated[Path, typer.Option("-o", "--output", help="The file to write.", metavar="NAME.query")],
    query: opt.Texts = None,
    image: opt.Images = None,
    audio: opt.Audios = None,
    query_file: opt.QueryFiles = None,
    negative: opt.Not = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
    model: opt.Model = None,
) -> None:
    """Embed a query into a file: marssep-query --query "dog barking" -o dog.query"""
    if output.suffix != ".query":
        raise UsageError(f"{output}: query files end in .query")
    if output.exists() and not overwrite:
        raise UsageError(f"{output} exists; add --overwrite to replace it")
    if not output.parent.is_dir():
        raise UsageError(f"there is no folder {output.parent}")
    asked = combine(bundles.load(model), query or [], image or [], audio or [], query_file or [], negative)
    opt.warn_each(asked.doubts)
    write_query(output, asked)
    opt.console.print(f"{asked.label} -> {output}", markup=False, soft_wrap=True)
