"""``marssep file``: separate audio files and folders of them."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from marssep_rt.audio_io.formats import FORMATS, format_named
from marssep_rt.audio_io.streams import STANDARD, is_stream, refuse_second_reader
from marssep_rt.batch.gather import gather
from marssep_rt.batch.list_sounds import list_sounds
from marssep_rt.batch.local import on_threads
from marssep_rt.batch.plan import Job, check_job, folder_of, plan_of
from marssep_rt.batch.ray_backend import on_ray
from marssep_rt.batch.report import Report, settings_key
from marssep_rt.batch.separate import Result
from marssep_rt.cli.options import Interrupted, MixerOptions, QueryOptions, command
from marssep_rt.console import (
    console,
    print_error,
    print_line,
    print_understood,
    print_warning,
    print_warnings,
)
from marssep_rt.errors import AudioFileError, UsageError
from marssep_rt.model import bundle as bundles
from marssep_rt.model.bundle import Bundle
from marssep_rt.model.providers import open_graph
from marssep_rt.query.build import build_query
from marssep_rt.query.encoders import audio_encoder_of
from marssep_rt.query.types import Query

# groups of options in the help
OUTPUTS, RUN = "Outputs", "Run"
COLUMNS = (
    TextColumn("{task.description}", markup=False),  # names of files
    BarColumn(),
    TextColumn("{task.percentage:3.0f} %  {task.fields[speed]}"),
    TimeRemainingColumn(),
)
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(kw_only=True)
class FileOptions(MixerOptions, QueryOptions):
    """The options of ``marssep file``."""

    inputs: Annotated[
        list[Path],
        typer.Argument(help="Audio files, videos or folders; - is standard input.", metavar="INPUT"),
    ]
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            help="A file, a folder (ends in /), or - for standard output.",
            metavar="FILE|FOLDER|-",
            rich_help_panel=OUTPUTS,
        ),
    ] = None
    residual: Annotated[
        bool,
        typer.Option(
            "--write-residual",
            help="Write STEM.residual.wav (the residual) as well.",
            rich_help_panel=OUTPUTS,
        ),
    ] = False
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Include subfolders.", rich_help_panel=RUN)
    ] = False
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace existing outputs.", rich_help_panel=OUTPUTS)
    ] = False
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            "-j",
            help="Files at the same time; the default is one per core.",
            min=1,
            max=256,
            rich_help_panel=RUN,
        ),
    ] = None
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            help="Write a line of JSON per file; a later run with the same report skips finished files. "
            "- is standard output.",
            metavar="FILE.jsonl|-",
            rich_help_panel=RUN,
        ),
    ] = None
    ray: Annotated[
        str | None,
        typer.Option(
            "--ray",
            help="Work on a Ray cluster: its address, auto, or local.",
            metavar="ADDRESS",
            rich_help_panel=RUN,
        ),
    ] = None
    list_sounds: Annotated[
        bool,
        typer.Option(
            "--list-sounds",
            help="Print what can be heard in the files; separate nothing.",
            rich_help_panel=RUN,
        ),
    ] = False
    second_look: Annotated[
        bool,
        typer.Option(
            "--second-look/--no-second-look",
            help="Separate recordings of up to 30 s twice for one sound: the second pass knows what the "
            "first one gave and left. It takes three to four times as long.",
            rich_help_panel=RUN,
        ),
    ] = True
    kind: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="Default: by the name of the output, else WAV. WAV keeps the sample format of the input; "
            "wav16, wav24, wav32 (float), flac (24-bit) and flac16 say it.",
            metavar="|".join(FORMATS),
            rich_help_panel=OUTPUTS,
        ),
    ] = None


def interrupt(number: int, _: object) -> None:
    """SIGTERM and SIGHUP end a run as Ctrl-C does."""
    raise Interrupted(number)


def answer_signals() -> None:
    """Let what ends a run end it cleanly; a signal that is ignored (nohup) stays ignored."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupt)


@command(app, FileOptions)
def main(options: FileOptions) -> None:
    """Keep only what the query names: marssep file --query "dog barking" meeting.wav"""
    if options.list_sounds:
        return print_sounds(options)
    answer_signals()
    controls = options.controls()
    jobs = planned(options)
    bundle = bundles.load(options.model)
    query = build_query(bundle, options.request)
    if not options.second_look:
        query = replace(query, second_look=None)
    print_understood([query.understood])
    print_warnings(query.warnings)
    options.remove = query.removes(options.remove)
    controls = options.controls()
    report = Report(
        options.report,
        settings_key(bundle, query, controls, options.kind or "wav", options.residual),
        query.label,
    )
    left, failures = select_jobs(jobs, report, options)
    with Progress(*COLUMNS, console=console, transient=True) as progress:
        results = separate_all(left, bundle, query, options, progress)
        try:
            failures += [error for result in results if (error := note_result(result, report))]
        finally:
            results.close()
    for error in failures:
        print_error(error)
    if failures:
        raise typer.Exit(1)


def planned(options: FileOptions) -> list[Job]:
    """The jobs of a run; says what folders hold beside them. Raises UsageError."""
    if options.kind is not None:
        format_named(options.kind)
    refuse_second_reader([*options.inputs, *options.request.audios])
    found = gather(options.inputs, options.recursive, folder_of(options.inputs, options.output))
    jobs = plan_of(found, options.inputs, options.output, options.recursive, options.residual, options.kind)
    if options.ray is not None and any(is_stream(p) for job in jobs for p in (job.source, job.output)):
        raise UsageError("--ray works on files, not on pipes or standard input and output")
    if any(j.output == STANDARD for j in jobs):
        if options.report == STANDARD:
            raise UsageError(
                "sound and report cannot both go to standard output; name a file with -o or --report"
            )
        if sys.stdout.isatty():
            raise UsageError("standard output is a terminal; redirect it, or name a file with -o")
    for sentence in found.sentences():
        print_line(sentence)
    return jobs


def print_sounds(options: FileOptions) -> None:
    """``--list-sounds``."""
    bundle = bundles.load(options.model)
    failed = False
    for path in options.inputs:
        if path.is_dir():
            raise UsageError(f"{path} is a folder; name the files whose sounds are to be listed")
        try:
            lines = [str(sound) for sound in list_sounds(path, bundle)]
        except AudioFileError as e:
            print_error(str(e))
            failed = True
            continue
        for line in lines or ["nothing that is known"]:
            print(f"{path}: {line}")
    if failed:
        raise typer.Exit(1)


def select_jobs(jobs: Sequence[Job], report: Report, options: FileOptions) -> tuple[list[Job], list[str]]:
    """The jobs that are still to be done, and why others cannot be done."""
    left: list[Job] = []
    failures: list[str] = []
    for job in jobs:
        if report.is_done(job):
            report.write(job, "skipped")
            continue
        try:
            check_job(job, options.overwrite)
            left.append(job)
        except AudioFileError as e:
            report.write(job, "failed", error=str(e))
            failures.append(str(e))
    if skipped := len(jobs) - len(left) - len(failures):
        message = f"{skipped} of {len(jobs)} files are done already ({options.report})"
        print_line(message)
    return left, failures


def cores() -> int:
    """The cores that this process may use: a container or taskset often allows fewer than there are."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def separate_all(
    jobs: Sequence[Job], bundle: Bundle, query: Query, options: FileOptions, progress: Progress
) -> Generator[Result, None, None]:
    """The results of all jobs, on threads or on Ray."""
    controls, workers = options.controls(), options.jobs or cores()
    if options.ray is None:
        graph = open_graph(bundle, options.provider)
        return on_threads(jobs, workers, graph, query, controls, progress, audio_encoder_of(bundle))
    progress.add_task(f"{len(jobs)} files on Ray", total=None, speed="")
    path = options.model and options.model.absolute()
    return on_ray(options.ray, jobs, path, options.provider, query, controls, workers)


def note_result(result: Result, report: Report) -> str:
    """Write a result into the report and say it; returns why the job failed, if it did."""
    job, outcome = result.job, result.outcome
    if outcome is None:
        report.write(job, "failed", error=result.error)
        return result.error
    report.write(job, "done", outcome, result.took)
    if outcome.nan_samples:
        print_warning(
            f"{job.source}: {outcome.nan_samples} samples were NaN or infinite and count as silence"
        )
    for note in outcome.notes:
        print_warning(f"{job.source}: {note}")
    written = " and ".join(str(p) for p in (job.output, job.residual) if p)
    found = f"; {outcome.match.sentence(report.query)}" if outcome.match else ""
    speed = outcome.seconds / result.took
    print_line(f"{job.source} -> {written}  ({outcome.seconds:.1f} s, {speed:.1f} x real time){found}")
    return ""
