"""``marssep-file``: separate sound files and folders of them."""

from __future__ import annotations

import signal
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from marssep_rt import bundle as bundles
from marssep_rt import options as opt
from marssep_rt.errors import UsageError
from marssep_rt.files import FileError, Job, Outcome, check_job, plan, process_file
from marssep_rt.mix import Controls
from marssep_rt.query import combine
from marssep_rt.session import open_graph

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
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="Files at the same time.", min=1, max=64)] = 1,
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
    session, used = open_graph(bundle, provider)
    failures: list[str] = []
    stop = threading.Event()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %  {task.fields[speed]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=opt.console, transient=True) as progress, ThreadPoolExecutor(jobs) as pool:

        def one(job: Job) -> tuple[Outcome, float]:
            check_job(job, overwrite)
            began = time.monotonic()
            task: TaskID = progress.add_task(job.source.name, total=1.0, speed="")

            def tell(done: float, seconds: float) -> None:
                if stop.is_set():
                    raise FileError(f"{job.source}: interrupted")
                speed = done / max(1e-6, time.monotonic() - began)
                progress.update(task, completed=done / seconds, speed=f"{speed:.1f} x real time")

            outcome = process_file(job, session, used, asked.vector, controls, tell)
            progress.remove_task(task)
            return outcome, time.monotonic() - began

        futures: dict[Future[tuple[Outcome, float]], Job] = {pool.submit(one, job): job for job in work}
        try:
            for future in as_completed(futures):
                job = futures[future]
                try:
                    outcome, took = future.result()
                except FileError as e:
                    failures.append(str(e))
                    continue
                if outcome.nan_samples:
                    opt.warn(f"{job.source}: {outcome.nan_samples} samples were NaN or infinite and count as silence")
                written = " and ".join(str(p) for p in (job.output, job.residual) if p)
                opt.console.print(f"{job.source} -> {written}  ({outcome.seconds:.1f} s, {outcome.seconds / took:.1f} x real time)",
                                  soft_wrap=True, markup=False)  # fmt: skip
        except KeyboardInterrupt:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    if failures:
        for line in failures:
            opt.fail(line, 1)
        raise typer.Exit(1)
