"""A manifest of labelled single-source clips, decoded once into one memory-mapped int16 file.

The manifest is a CSV with at least the columns ``path, label, split, group``; paths are relative to the
manifest. ``licence`` and ``attribution`` are carried along when they exist. No ``group`` (recording, speaker,
instrument) may stand in two splits.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from marssep_rt.audio_io.reader import open_source, reason
from marssep_rt.errors import AudioFileError
from offline_training.utils.wording import first_few

FULL_SCALE = 32_768  # of the 16-bit samples on disk, written and read
SAMPLE_RATE = 48_000
SPLITS = ("train", "val", "test")
BACKGROUNDS = ("ambience",)  # labels of recordings of places: nothing in particular, so nobody asks for them
FORMAT = 1
MOST_UNREADABLE = 0.05
BLOCK = 1 << 20  # frames that are decoded at once


class CorpusError(ValueError):
    """The manifest or the decoded corpus cannot be used; the message says why in one sentence."""


@dataclass(frozen=True)
class Clip:
    """One decoded clip: samples ``start .. start + length`` of the memory-mapped file, mono at 48 kHz."""

    path: str
    label: str
    split: str
    group: str
    start: int
    length: int
    source_sample_rate: int
    licence: str = ""
    attribution: str = ""


COLUMNS = ("path", "label", "split", "group")


def read_manifest(manifest: Path, groups_per_label: bool = False) -> list[dict[str, str]]:
    """Rows of the manifest, checked. Raises CorpusError on missing columns, malformed rows (all, by line) or
    a group in two splits.

    ``groups_per_label``: the same group name under two labels means two groups (images are numbered per
    class).
    """
    try:
        with open(manifest, newline="", encoding="utf-8-sig") as f:  # spreadsheets begin a CSV with a mark
            reader = csv.DictReader(f)
            lines = [(reader.line_num, row) for row in reader]
    except OSError as e:
        raise CorpusError(f"cannot read the manifest {manifest}: {e.strerror}") from e
    except (UnicodeDecodeError, csv.Error) as e:
        raise CorpusError(f"the manifest {manifest} is no CSV in UTF-8: {e}") from e
    if not lines:
        raise CorpusError(f"the manifest {manifest} has no rows")
    missing = set(COLUMNS) - set(reader.fieldnames or ())
    if missing:
        raise CorpusError(f"the manifest {manifest} lacks the columns {', '.join(sorted(missing))}")
    wrong = [f"line {number}: {problem}" for number, row in lines if (problem := malformed(row))]
    if wrong:
        raise CorpusError(
            f"the manifest {manifest} has {len(wrong)} malformed "
            f"row{'s' if len(wrong) > 1 else ''}: {'; '.join(wrong)}"
        )
    rows = [row for _, row in lines]
    split_of: dict[str, str] = {}
    for row in rows:
        group = f"{row['label']}/{row['group']}" if groups_per_label else row["group"]
        if split_of.setdefault(group, row["split"]) != row["split"]:
            raise CorpusError(
                f"group {row['group']!r} stands in two splits; recordings must not be shared between them"
            )
    return rows


def malformed(row: dict[str | None, Any]) -> str:
    """What is wrong with a manifest's row, "" for nothing; ``csv.DictReader`` has None where fields are
    missing, and as a name for more.
    """
    if None in row or None in row.values():
        return f"{'more' if None in row else 'fewer'} fields than the header has"
    if empty := [name for name in COLUMNS if not row[name].strip()]:
        return f"{' and '.join(empty)} empty"
    if row["split"] not in SPLITS:
        return f"split is {row['split']!r}, not one of {', '.join(SPLITS)}"
    rate = row.get("source_sample_rate") or "0"
    return "" if rate.isdecimal() else f"source_sample_rate is {rate!r}"


def decode_clip(path: Path) -> npt.NDArray[np.int16]:
    """Decode one file to mono 48 kHz int16, shape [samples].

    Raises:
        AudioFileError, soundfile.LibsndfileError, OSError: It cannot be read to its end.
    """
    with open_source(path, any_rate=True) as source:
        rate, blocks = source.samplerate, [source.read(BLOCK)]
        while len(blocks[-1]) == BLOCK:
            blocks.append(source.read(BLOCK))
    mono = np.concatenate(blocks).mean(axis=1)
    if rate != SAMPLE_RATE:
        mono = soxr.resample(mono, rate, SAMPLE_RATE, "HQ")
    peak = float(np.abs(mono).max(initial=0.0))
    if peak > 1.0:
        mono = mono / peak
    return np.clip(np.round(mono * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def why_unreadable(path: Path, error: Exception) -> str:
    """Why a file could not be decoded, in few words without its name."""
    return str(error).removeprefix(f"{path}: ") if isinstance(error, AudioFileError) else reason(error)


def decode(manifest: Path, folder: Path) -> Iterator[tuple[int, int]]:
    """Decode every clip of ``manifest`` into ``folder`` (``audio.i16``, ``index.json``), yielding (done,
    total) as it goes.

    Written beside and renamed: an interrupted decode leaves no index. Unreadable clips are left out and
    listed in the index; raises CorpusError when they are more than MOST_UNREADABLE of all.
    """
    rows = read_manifest(manifest)
    folder.mkdir(parents=True, exist_ok=True)
    clips: list[Clip] = []
    unreadable: list[str] = []
    offset = 0
    with open(folder / "audio.i16.part", "wb") as out:
        for i, row in enumerate(rows):
            try:
                samples = decode_clip(manifest.parent / row["path"])
            except (AudioFileError, soundfile.LibsndfileError, OSError) as e:
                unreadable.append(f"{row['path']} ({why_unreadable(manifest.parent / row['path'], e)})")
                yield i + 1, len(rows)
                continue
            out.write(samples.tobytes())
            clips.append(
                Clip(
                    path=row["path"],
                    label=row["label"],
                    split=row["split"],
                    group=row["group"],
                    start=offset,
                    length=len(samples),
                    source_sample_rate=int(row.get("source_sample_rate") or SAMPLE_RATE),
                    licence=row.get("licence", ""),
                    attribution=row.get("attribution", ""),
                )
            )
            offset += len(samples)
            yield i + 1, len(rows)
    if len(unreadable) > MOST_UNREADABLE * len(rows):
        (folder / "audio.i16.part").unlink()
        raise CorpusError(
            f"{len(unreadable)} of the {len(rows)} clips of {manifest} cannot be decoded, "
            f"more than {MOST_UNREADABLE:.0%}: {first_few(unreadable)}"
        )
    index = {
        "format": FORMAT,
        "unreadable": unreadable,
        "sample_rate": SAMPLE_RATE,
        "samples": offset,
        "manifest_sha256": hashlib.sha256(manifest.read_bytes()).hexdigest(),
        "clips": [asdict(c) for c in clips],
    }
    (folder / "index.json.part").write_text(json.dumps(index), encoding="utf-8")
    os.replace(folder / "audio.i16.part", folder / "audio.i16")
    os.replace(folder / "index.json.part", folder / "index.json")


class Corpus:
    """A decoded corpus: clips and their samples, shared between processes through the page cache."""

    def __init__(self, folder: Path) -> None:
        try:
            index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        except OSError as e:
            raise CorpusError(
                f"{folder} holds no decoded corpus; make one with: marssep train corpus "
                f"MANIFEST.csv -o {folder}"
            ) from e
        if index.get("format") != FORMAT:
            raise CorpusError(f"{folder} was decoded by another version; decode it again")
        self.folder = folder
        self.clips = [Clip(**c) for c in index["clips"]]
        self.manifest_sha256: str = index["manifest_sha256"]
        self.unreadable: list[str] = index.get("unreadable", [])
        self._samples: npt.NDArray[np.int16] | None = None

    def __getstate__(self) -> dict[str, object]:
        return {
            **self.__dict__,
            "_samples": None,
        }  # worker processes map the file again instead of copying it

    def audio(self, clip: Clip) -> npt.NDArray[np.int16]:
        """The clip's samples, int16 [length], a view of the mapped file."""
        if self._samples is None:
            self._samples = np.memmap(self.folder / "audio.i16", dtype=np.int16, mode="r")
        return self._samples[clip.start : clip.start + clip.length]

    def samples(self, clip: Clip, first: int = 0, count: int | None = None) -> npt.NDArray[np.float32]:
        """A clip, or ``count`` samples of it from ``first``, float32 [length] with full scale 1.0."""
        last = clip.length if count is None else first + count
        return self.audio(clip)[first:last].astype(np.float32) / np.float32(FULL_SCALE)

    def by_label(self, split: str) -> dict[str, list[Clip]]:
        """Clips of a split, grouped by label, labels in alphabetical order."""
        groups: dict[str, list[Clip]] = defaultdict(list)
        for clip in self.clips:
            if clip.split == split:
                groups[clip.label].append(clip)
        return dict(sorted(groups.items()))

    def labels(self) -> list[str]:
        """All labels, alphabetical."""
        return sorted({c.label for c in self.clips})

    def lone_labels(self) -> list[str]:
        """Labels whose training clips are all of one recording: there is no other to ask for them with."""
        groups: dict[str, set[str]] = defaultdict(set)
        for clip in self.clips:
            if clip.split == "train":
                groups[clip.label].add(clip.group)
        return sorted(label for label, names in groups.items() if len(names) == 1)

    def common_labels(self, least: int) -> list[str]:
        """Labels with at least ``least`` training clips, alphabetical."""
        counts = Counter(c.label for c in self.clips if c.split == "train")
        return sorted(label for label, n in counts.items() if n >= least)


class Attributed(Protocol):
    """A clip or an image."""

    @property
    def split(self) -> str: ...

    @property
    def licence(self) -> str: ...

    @property
    def attribution(self) -> str: ...


def attributions(
    clips: Iterable[Attributed], splits: Sequence[str] = ("train",)
) -> list[tuple[str, str, int]]:
    """(licence, attribution, number of items) of the splits that a model was trained on, sorted: the lines of
    NOTICE.
    """
    counts = Counter((c.licence, c.attribution) for c in clips if c.split in splits)
    return [(licence, who, n) for (licence, who), n in sorted(counts.items())]
