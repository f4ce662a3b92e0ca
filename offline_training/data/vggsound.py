"""The lists that the field's corpora come with (VGGSound and MUSIC as CLIPSep, OmniSep and MARS-Sep use them)
-> our manifests.

A list is a CSV without header: sound file, folder of frames (000001.jpg, 000002.jpg, ... at one frame a
second), number of frames, label. The recordings and frames themselves are the user's own; what a list names
but nobody has is left out and counted.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from marssep_rt.utils.atomic_io import written_beside
from offline_training.data.corpus import CorpusError
from offline_training.data.csv_rows import read_rows, refuse

FRAMES = 3  # around the middle of the clip, as in the paper


@dataclass(frozen=True)
class Listed:
    """One clip of a list, its paths under the user's root."""

    audio: Path
    frames: Path
    frame_count: int
    label: str

    @property
    def id(self) -> str:
        """The video's id: what tells recordings apart."""
        return self.audio.stem

    @property
    def centre_frame(self) -> int:
        return self.frame_count // 2

    def images(self) -> list[Path]:
        """The frames around the middle, as far as they are there."""
        numbers = (self.centre_frame + i - FRAMES // 2 for i in range(FRAMES))
        return [path for n in numbers if (path := self.frames / f"{n:06d}.jpg").is_file()]


def read_list(path: Path, root: Path) -> list[Listed]:
    """Raises CorpusError for a list that cannot be read or that has malformed rows (all of them, by line)."""
    rows: list[Listed] = []
    wrong: list[str] = []
    for line, row in read_rows(path):
        if len(row) != 4 or not all(field.strip() for field in row):
            wrong.append(f"line {line}: not sound, frames, number of frames and label")
        elif not row[2].strip().isdecimal():
            wrong.append(f"line {line}: the number of frames is {row[2]!r}")
        else:
            audio, frames, count, label = (field.strip() for field in row)
            rows.append(Listed(root / audio, root / frames, int(count), label.replace("_", " ")))
    refuse(path, wrong)
    if not rows:
        raise CorpusError(f"the list {path} has no rows")
    return rows


def there(rows: list[Listed], name: str) -> list[Listed]:
    """Those whose sound the user has; raises CorpusError when that is none."""
    found = [row for row in rows if row.audio.is_file()]
    if not found:
        raise CorpusError(
            f"none of the {len(rows)} sounds of {name} is there, the first should be "
            f"{rows[0].audio}; check --root"
        )
    return found


def write_manifests(lists: Mapping[str, Path], root: Path, folder: Path) -> dict[str, tuple[int, int]]:
    """``manifest.csv`` and ``images.csv`` in ``folder`` from a list for each split; (there, listed) clips of
    each.

    A video's id is its group, so a recording in two splits is refused where the manifest is read. Raises
    CorpusError.
    """
    counts: dict[str, tuple[int, int]] = {}
    sounds: list[list[str]] = []
    images: list[list[str]] = []
    for split, path in lists.items():
        rows = read_list(path, root)
        kept = there(rows, str(path))
        counts[split] = (len(kept), len(rows))
        for row in kept:
            sounds.append([str(row.audio.resolve()), row.label, split, row.id])
            images += [[str(image.resolve()), row.label, split, row.id] for image in row.images()]
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in (("manifest.csv", sounds), ("images.csv", images)):
        if table:
            with (
                written_beside(folder / name) as beside,
                open(beside, "w", newline="", encoding="utf-8") as f,
            ):
                csv.writer(f).writerows([["path", "label", "split", "group"], *table])
    return counts
