"""Which files a run reads and writes, and what it refuses to replace."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from marssep_rt.errors import AudioFileError, UsageError

EXTENSIONS = {
    ".wav",
    ".wave",
    ".flac",
    ".ogg",
    ".oga",
    ".opus",
    ".mp3",
    ".aif",
    ".aiff",
    ".aifc",
    ".au",
    ".caf",
    ".w64",
    ".rf64",
    ".snd",
}
MARK = ".marssep"


@dataclass(frozen=True)
class Job:
    """One input and what comes of it. ``residual`` is None unless asked for."""

    source: Path
    output: Path
    residual: Path | None


def gather(inputs: list[Path], recursive: bool) -> Iterator[tuple[Path, Path]]:
    """(file, folder that it was found under) of every audio file, without the outputs of earlier runs."""
    for path in inputs:
        if path.is_dir():
            found = sorted(p for p in (path.rglob("*") if recursive else path.iterdir()) if p.is_file())
            for p in found:
                if p.suffix.lower() in EXTENSIONS and MARK not in p.stem and not p.stem.endswith(".residual"):
                    yield p, path
        else:
            yield path, path.parent


def plan(inputs: list[Path], output: str | None, recursive: bool, residual: bool, kind: str) -> list[Job]:
    """Find the inputs and name their outputs.

    Args:
        inputs: Files and folders.
        output: A file, or a folder (it exists as one, or ends in /); None puts outputs beside their inputs.
        recursive: Whether subfolders are included.
        residual: Whether the residual is written as well.
        kind: wav or flac.

    Raises:
        UsageError: There is no audio file, or two inputs would share an output.
    """
    found = list(gather(inputs, recursive))
    if not found:
        raise UsageError(
            "no sound files there" + ("" if recursive else "; add --recursive to look into folders below")
        )
    folder: Path | None = None
    if output is not None:
        several = len(found) > 1 or any(p.is_dir() for p in inputs)
        if several or output.endswith(("/", os.sep)) or Path(output).is_dir():
            folder = Path(output)
            if folder.exists() and not folder.is_dir():
                raise UsageError(f"{folder} is a file, but there are several inputs; give a folder with -o")
        else:
            suffix = Path(output).suffix.lower()
            if suffix not in (".wav", ".flac"):
                raise UsageError(f"{output}: outputs are .wav or .flac files (or a folder that ends in /)")
    jobs: list[Job] = []
    taken: dict[Path, Path] = {}
    for source, root in found:
        if folder is not None:
            target = folder / source.relative_to(root).with_suffix(f".{kind}")
        elif output is not None:
            target = Path(output)
        else:
            target = source.with_name(f"{source.stem}{MARK}.{kind}")
        rest = (
            target.with_name(f"{target.stem.removesuffix(MARK)}.residual{target.suffix}")
            if residual
            else None
        )
        for path in (target, rest):
            if path is not None:
                other = taken.setdefault(path.absolute(), source)
                if other != source:
                    raise UsageError(
                        f"{source} and {other} would both be written to {path}; process them separately"
                    )
        jobs.append(Job(source, target, rest))
    return jobs


def check_job(job: Job, overwrite: bool) -> None:
    """Refuse what would lose something; raises AudioFileError."""
    for path in (job.output, job.residual):
        if path is None:
            continue
        if path.exists() and job.source.exists() and path.samefile(job.source):
            raise AudioFileError(f"{job.source}: the output would replace the input; choose another with -o")
        if path.is_dir():
            raise AudioFileError(f"{job.source}: the output {path} is a folder")
        if path.exists() and not overwrite:
            raise AudioFileError(f"{job.source}: {path} exists; add --overwrite to replace it")
