"""Which files a run reads: those that are named, and the sounds in folders."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from marssep_rt.audio_io import ffmpeg
from marssep_rt.audio_io.reader import readable_suffixes
from marssep_rt.audio_io.streams import is_stream

MARK = ".marssep"
NO_FFMPEG = "need ffmpeg"


@dataclass
class Gathered:
    """What was found.

    Attributes:
        files: (file, the folder that it was found under), in order, each once.
        skipped: Reason -> suffixes (or names without one) of the files in folders that are left out.
        twice: Files that were named more than once.
    """

    files: list[tuple[Path, Path]] = field(default_factory=list)
    skipped: dict[str, Counter[str]] = field(default_factory=dict)
    twice: int = 0

    def skip(self, reason: str, path: Path) -> None:
        """Leave a file out."""
        self.skipped.setdefault(reason, Counter())[path.suffix.lower() or "without suffix"] += 1

    def sentences(self) -> list[str]:
        """What was left out and how much of it, a sentence for each reason."""
        said = []
        for reason, kinds in self.skipped.items():
            number = sum(kinds.values())
            of_each = ", ".join(
                f"{count} {kind}"
                for kind, count in sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
            )
            text = f"skipped {number} {'file' if number == 1 else 'files'} ({of_each}): {reason}"
            said.append(f"{text}; {ffmpeg.INSTALL}" if reason == NO_FFMPEG else text)
        if self.twice:
            several = "input was" if self.twice == 1 else "inputs were"
            said.append(f"{self.twice} {several} named twice; each is done once")
        return said


def gather(inputs: list[Path], recursive: bool, output: Path | None = None) -> Gathered:
    """Find the files of a run.

    Args:
        inputs: Files, folders, pipes, and ``-``.
        recursive: Whether subfolders are included.
        output: The folder of the outputs, which is left out where it lies inside an input folder.
    """
    found, seen = Gathered(), set[str]()
    can_read = readable_suffixes()
    for path in inputs:
        if not path.is_dir():
            _add(found, seen, path, path.parent)
            continue
        for file in _inside(path, recursive, output):
            suffix = file.suffix.lower()
            if file.name.startswith("."):
                found.skip("hidden", file)
            elif MARK in file.stem or file.stem.endswith(".residual"):
                found.skip("outputs of earlier runs", file)
            elif suffix in can_read:
                _add(found, seen, file, path)
            elif suffix in ffmpeg.SUFFIXES:
                found.skip(NO_FFMPEG, file)
            else:
                found.skip("no sound files by their names", file)
    return found


def _add(found: Gathered, seen: set[str], path: Path, root: Path) -> None:
    """Add a file, where it was not added before under this or another spelling."""
    key = os.path.realpath(path)
    if key in seen and not is_stream(path):
        found.twice += 1
        return
    seen.add(key)
    found.files.append((path, root))


def _inside(folder: Path, recursive: bool, output: Path | None) -> Iterator[Path]:
    """All files of a folder in the order of their names; hidden folders are not entered."""
    entries = sorted(folder.iterdir())
    yield from (p for p in entries if p.is_file())
    if recursive:
        own = None if output is None else os.path.realpath(output)
        for below in entries:
            is_folder = below.is_dir() and not below.is_symlink() and not below.name.startswith(".")
            if is_folder and os.path.realpath(below) != own:
                yield from _inside(below, True, output)
