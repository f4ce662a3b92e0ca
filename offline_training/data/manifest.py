"""A manifest out of a folder of recordings: every sub-folder is a label, every file a recording of
its own."""

from __future__ import annotations

import csv
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

from marssep_rt.audio_io import ffmpeg
from marssep_rt.audio_io.reader import readable_suffixes
from marssep_rt.utils.atomic_io import write_whole
from offline_training.data.corpus import COLUMNS, CorpusError
from offline_training.utils.wording import first_few

LEAST_RECORDINGS = 12  # of which eight are in train: what a validation asks of a label
LEAST_LABELS = 3  # a target, another sound and one that is not there
HELD_OUT = 0.15  # share of a label's files in val, and as many in test


def splits_of(names: list[str]) -> dict[str, str]:
    """A split for every file of a label: by its name, so that it stays where it is when others come.

    One file at least goes to val as soon as there are two, to test as soon as there are three.
    """
    order = sorted(
        names, key=lambda name: hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
    )
    held = max(1, round(HELD_OUT * len(order)))
    val = order[:held] if len(order) > 1 else []
    test = order[held : 2 * held] if len(order) > 2 else []
    return {name: "val" if name in val else "test" if name in test else "train" for name in order}


@dataclass(frozen=True)
class FolderManifest:
    """The manifest of a folder.

    Attributes:
        text: As CSV.
        counts: The number of recordings of every label.
        left_out: The files that are no recordings, each with the reason: "rain/notes.txt (...)".
    """

    text: str
    counts: dict[str, int]
    left_out: list[str]

    def left_out_sentence(self) -> str:
        """The first files that were left out and why; "" where there are none."""
        number = len(self.left_out)
        said = f"left out {number} {'file' if number == 1 else 'files'}: {first_few(self.left_out)}"
        return said if number else ""


def from_folder(folder: Path, output: Path) -> FolderManifest:
    """The manifest of a folder, with paths as seen from ``output``'s folder.

    Raises:
        CorpusError: There is no such folder, or no recording in any sub-folder.
    """
    if not folder.is_dir():
        raise CorpusError(f"there is no folder {folder}")
    counts: dict[str, int] = {}
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    readable = readable_suffixes()
    left_out = [f"{p.name} (it lies in no label's folder)" for p in files_of(folder)]
    for sub in sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")):
        recordings: dict[str, Path] = {}
        for path in files_of(sub, "**/*"):
            if path.suffix.lower() in readable:
                recordings[path.relative_to(sub).as_posix()] = path
            else:
                left_out.append(f"{path.relative_to(folder).as_posix()} ({why_not(path)})")
        label = " ".join(sub.name.replace("_", " ").split())
        for name, split in sorted(splits_of(list(recordings)).items()):
            path = recordings[name].resolve()
            base = output.parent.resolve()
            shown = path.relative_to(base) if path.is_relative_to(base) else path
            writer.writerow([shown.as_posix(), label, split, f"{label}/{name}"])
        if recordings:
            counts[label] = counts.get(label, 0) + len(recordings)
    made = FolderManifest(out.getvalue(), counts, left_out)
    if not counts:
        raise CorpusError(
            f"{folder} has no sub-folders with recordings; put those of each label in a folder of its name"
            + (f"; {made.left_out_sentence()}" if left_out else "")
        )
    return made


def files_of(folder: Path, pattern: str = "*") -> list[Path]:
    """The files of a folder that are not hidden, in the order of their paths."""
    return sorted(p for p in folder.glob(pattern) if p.is_file() and not p.name.startswith("."))


def why_not(path: Path) -> str:
    """Why a file is not taken for a recording."""
    if path.suffix.lower() in ffmpeg.SUFFIXES:
        return "it needs ffmpeg, which is not installed"
    return "no sound file by its name"


def written_beside_corpus(folder: Path, corpus: Path) -> tuple[Path, list[str]]:
    """Make the manifest of a folder for a corpus, ``manifest.csv`` in the corpus's folder.

    Returns:
        The manifest, and what is to be said of it: files that were left out, labels that cannot be validated.

    Raises:
        CorpusError: There is no recording in any sub-folder, or too few labels have enough of them to be
            trained and validated.
    """
    path = corpus / "manifest.csv"
    made = from_folder(folder, path)
    thin = sorted(label for label, count in made.counts.items() if count < LEAST_RECORDINGS)
    enough = len(made.counts) - len(thin)
    said = [made.left_out_sentence()] if made.left_out else []
    if enough < LEAST_LABELS:
        raise CorpusError(
            f"a training with its validation needs {LEAST_LABELS} labels with at least {LEAST_RECORDINGS} "
            f"recordings; {folder} has {enough}" + "".join(f"; {sentence}" for sentence in said)
        )
    corpus.mkdir(parents=True, exist_ok=True)
    write_whole(path, made.text)
    if thin:
        said.append(
            f"labels with fewer than {LEAST_RECORDINGS} recordings, which are trained but not validated: "
            f"{', '.join(thin)}"
        )
    return path, said
