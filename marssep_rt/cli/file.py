"""``marssep-file``: separate sound files and folders of them."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from marssep_rt.batch.local import on_threads
from marssep_rt.batch.plan import check_job, plan
from marssep_rt.batch.ray_backend import on_ray
from marssep_rt.batch.report import Ledger, settings_key
from marssep_rt.cli import options as opt
from marssep_rt.dsp.mixer import Controls
from marssep_rt.errors import FileError, UsageError
from marssep_rt.model import bundle as bundles
from marssep_rt.model.providers import open_graph
from marssep_rt.query.build import combine

COLUMNS = (
    TextColumn("{task.description}"),
    BarColumn(),
    TextColumn("{task.percentage:3.0f} %  {task.fields[speed]}"),
    TimeRemainingColumn(),
)
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@app.command()
@opt.plain_errors
def main(
    inputs: Annotated[list[Path], typer.Argument(help="Sound files or folders.", metavar="INPUT...")],
    query: opt.Texts = None,
    image: opt.Images = None,
    audio: opt.Audios = None,
    query_file: opt.QueryFiles = None,
    negative: opt.Not = None,
    output: Annotated[str | None, typer.Option("-o", "--output", help="A file, or a folder (ends in /).", metavar="FILE|FOLDER")] = None,
    residual: Annotated[bool, typer.Option("--residual", help="Write STEM.residual.wav (the rest) as well.")] = False,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Look into folders below.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing outputs.")] = False,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", help="Files at the same time; else as many as there are cores.", min=1, max=256)
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option("--report", help="A line of JSON a file; with the same report done files are skipped.", metavar="FILE.jsonl"),
    ] = None,
    ray: Annotated[str | None, typer.Option("--ray", help="Work on a Ray cluster: its address, auto, or local.", metavar="ADDRESS")] = None,
    kind: Annotated[str, typer.Option("--format", help="wav (32-bit float) or flac (24-bit).", metavar="wav|flac")] = "wav",
    remove: opt.Remove = False,
    wet: opt.Wet = 1.0,
    limit: opt.Limit = None,
    gain: opt.Gain = 0.0,
    model: opt.Model = None,
    provider: opt.Provider = "auto",
) -> None:
    """Keep only what the query names: marssep-file --query "dog barking" meeting.wav"""
    if kind not in ("wav", "flac"):
        raise UsageError(f"unknown format {kind!r}; choose wav or flac")
    signal.signal(signal.SIGTERM, interrupt)
    controls = Controls(remove, wet, limit, gain)
    work = plan(inputs, output, recursive, residual, kind)
    bundle = bundles.load(model)
    asked = combine(bundle, query or [], image or [], audio or [], query_file or [], negative)
    opt.warn_each(asked.doubts)
    ledger = Ledger(report, settings_key(bundle, asked.vector, controls, kind, residual))
    failures: list[str] = []
    left = []
    for job in work:
        if ledger.is_done(job):
            ledger.write(job, "skipped")
            continue
        try:
            check_job(job, overwrite)
            left.append(job)
        except FileError as e:
            ledger.write(job, "failed", error=str(e))
            failures.append(str(e))
    if skipped := len(work) - len(left) - len(failures):
        opt.console.print(f"{skipped} of {len(work)} files are done already ({report})", markup=False, soft_wrap=True)
    workers = jobs or os.cpu_count() or 1
    with Progress(*COLUMNS, console=opt.console, transient=True) as progress:
        if ray is None:
            results = on_threads(left, workers, open_graph(bundle, provider), asked.vector, controls, progress)
        else:
            results = on_ray(ray, left, model and model.absolute(), provider, asked.vector, controls, workers)
            progress.add_task(f"{len(left)} files on Ray", total=None, speed="")
        try:
            for job, outcome, took, error in results:
                if outcome is None:
                    ledger.write(job, "failed", error=error)
                    failures.append(error)
                    continue
                ledger.write(job, "done", outcome, took)
                if outcome.nan_samples:
                    opt.warn(f"{job.source}: {outcome.nan_samples} samples were NaN or infinite and count as silence")
                written = " and ".join(str(p) for p in (job.output, job.residual) if p)
                opt.console.print(f"{job.source} -> {written}  ({outcome.seconds:.1f} s, {outcome.seconds / took:.1f} x real time)",
                                  soft_wrap=True, markup=False)  # fmt: skip
        finally:
            results.close()
    if failures:
        for line in failures:
            opt.fail(line, 1)
        raise typer.Exit(1)
