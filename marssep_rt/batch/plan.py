"""What comes of each input: the names of the outputs, and what a run refuses to replace."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from marssep_rt.audio_io.formats import OutputFormat, format_named, format_of
from marssep_rt.audio_io.streams import STANDARD, is_stream
from marssep_rt.batch.gather import MARK, Gathered, gather
from marssep_rt.errors import AudioFileError, UsageError


@dataclass(frozen=True)
class Job:
    """One input and what comes of it.

    Attributes:
        source: The input.
        output: The target.
        residual: The residual, or None.
        kind: The format by its name for ``--format``; None goes by the suffixes of the outputs.
    """

    source: Path
    output: Path
    residual: Path | None
    kind: str | None = None

    def format_of(self, path: Path) -> OutputFormat:
        """The format of one of the outputs."""
        if is_stream(path):
            return format_named(self.kind or "wav")
        return format_of(path, self.kind)


def plan(
    inputs: list[Path], output: str | None, recursive: bool, residual: bool, kind: str | None
) -> list[Job]:
    """Find the inputs and name their outputs.

    Args:
        inputs: Files and folders, or ``-`` for standard input.
        output: A file, or a folder (it exists as one, or ends in /), or ``-`` for standard output; None puts
            outputs beside their inputs.
        recursive: Whether subfolders are included.
        residual: Whether the residual is written as well.
        kind: The name of a format; None goes by the suffix of ``output``, or is WAV.

    Raises:
        UsageError: There is no audio file, or two inputs would share an output.
    """
    return plan_of(
        gather(inputs, recursive, folder_of(inputs, output)), inputs, output, recursive, residual, kind
    )


def folder_of(inputs: list[Path], output: str | None) -> Path | None:
    """The folder that outputs go to, or None where ``output`` is a file, a stream or nothing."""
    if output is None or output == str(STANDARD):
        return None
    several = len(inputs) > 1 or any(p.is_dir() for p in inputs)
    if not (several or output.endswith(("/", os.sep)) or Path(output).is_dir()):
        return None
    folder = Path(output)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file, but there are several inputs; give a folder with -o")
    return folder


def plan_of(
    found: Gathered, inputs: list[Path], output: str | None, recursive: bool, residual: bool, kind: str | None
) -> list[Job]:
    """``plan`` for inputs that were gathered before."""
    if not found.files:
        left_out = "".join(f"; {s}" for s in found.sentences())
        below = "" if recursive else "; add --recursive to look into folders below"
        raise UsageError(f"no sound files there{left_out}{below}")
    folder = folder_of(inputs, output)
    named = None if kind is None else format_named(kind)
    if folder is None and output is not None:
        target = Path(output)
        if is_stream(target):
            if len(found.files) > 1:
                raise UsageError(
                    f"one output takes one sound, and there are {len(found.files)}; give a folder with -o"
                )
            if residual:
                raise UsageError("the residual needs a second name; give a file with -o")
        else:
            format_of(target, kind)
    jobs: list[Job] = []
    taken: dict[Path, Path] = {}
    suffix = named.suffix if named else ".wav"
    twins = _twins(found)
    for source, root in found.files:
        target = _target(source, root, folder, output, suffix, source in twins)
        rest = None
        if residual:
            rest = target.with_name(f"{target.stem.removesuffix(MARK)}.residual{target.suffix}")
        for path in (target, rest):
            if path is not None and not is_stream(path):
                other = taken.setdefault(path.absolute(), source)
                if other != source:
                    raise UsageError(
                        f"{source} and {other} would both be written to {path}; process them separately"
                    )
        jobs.append(Job(source, target, rest, named.name if named else None))
    return jobs


def _twins(found: Gathered) -> set[Path]:
    """Inputs beside others that differ from them in the suffix alone: a.wav and a.flac."""
    stems = Counter((source.parent, _stem(source)) for source, _ in found.files)
    return {source for source, _ in found.files if stems[source.parent, _stem(source)] > 1}


def _target(
    source: Path, root: Path, folder: Path | None, output: str | None, suffix: str, twin: bool
) -> Path:
    """The name of an output; a twin keeps the suffix of its source in it: a.flac.wav."""
    stem = "stdin" if source == STANDARD else source.name if twin else _stem(source)
    if folder is not None:
        return folder / ("" if is_stream(source) else source.relative_to(root).parent) / f"{stem}{suffix}"
    if output is not None:
        return Path(output)
    if source == STANDARD:
        return STANDARD
    if is_stream(source):
        raise UsageError(f"{source} is a pipe; say with -o where the output goes")
    return source.with_name(f"{stem}{MARK}{suffix}")


def _stem(path: Path) -> str:
    """A name without its suffix, where that is one: "take 1.5" has none."""
    return path.stem if path.suffix[1:].isalnum() and not path.suffix[1:].isdecimal() else path.name


def check_job(job: Job, overwrite: bool) -> None:
    """Refuse what would lose something; raises AudioFileError."""
    for path in (job.output, job.residual):
        if path is None or is_stream(path):
            continue
        try:
            exists = path.exists()
            replaces = exists and job.source.exists() and path.samefile(job.source)
        except OSError as e:
            raise AudioFileError(
                f"{job.source}: {path}: {(e.strerror or str(e)).lower()}; choose another name with -o"
            ) from e
        if replaces:
            raise AudioFileError(f"{job.source}: the output would replace the input; choose another with -o")
        if path.is_dir():
            raise AudioFileError(f"{job.source}: the output {path} is a folder")
        if exists and not overwrite:
            raise AudioFileError(f"{job.source}: {path} exists; add --overwrite to replace it")
