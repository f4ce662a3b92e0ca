"""A manifest out of a folder of recordings: every sub-folder is a label, every file a recording of
its own."""

from __future__ import annotations

import csv
import hashlib
import io
from pathlib import Path

from marssep_rt.utils.atomic_io import write_whole
from offline_training.data.corpus import COLUMNS, CorpusError

SUFFIXES = frozenset({".aif", ".aiff", ".caf", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".w64", ".wav"})
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


def from_folder(folder: Path, output: Path) -> tuple[str, dict[str, int], int]:
    """The manifest of a folder as CSV, with paths as seen from ``output``'s folder.

    Returns:
        The text, the number of files of every label, and how many files were no recordings.

    Raises:
        CorpusError: There is no such folder, or no recording in any sub-folder.
    """
    if not folder.is_dir():
        raise CorpusError(f"there is no folder {folder}")
    counts: dict[str, int] = {}
    skipped = 0
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for sub in sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")):
        files = sorted(p for p in sub.rglob("*") if p.is_file() and not p.name.startswith("."))
        recordings = {p.relative_to(sub).as_posix(): p for p in files if p.suffix.lower() in SUFFIXES}
        skipped += len(files) - len(recordings)
        label = " ".join(sub.name.replace("_", " ").split())
        for name, split in sorted(splits_of(list(recordings)).items()):
            path = recordings[name].resolve()
            base = output.parent.resolve()
            shown = path.relative_to(base) if path.is_relative_to(base) else path
            writer.writerow([shown.as_posix(), label, split, f"{label}/{name}"])
        if recordings:
            counts[label] = counts.get(label, 0) + len(recordings)
    if not counts:
        raise CorpusError(
            f"{folder} has no sub-folders with recordings; put those of each label in a folder of its name"
        )
    return out.getvalue(), counts, skipped


def written_beside_corpus(folder: Path, corpus: Path) -> tuple[Path, str]:
    """Make the manifest of a folder for a corpus, ``manifest.csv`` in the corpus's folder.

    Returns:
        The manifest, and a sentence about labels that cannot be validated ("" where there are none).

    Raises:
        CorpusError: There is no recording in any sub-folder, or too few labels have enough of them to be
            trained and validated.
    """
    path = corpus / "manifest.csv"
    text, counts, _ = from_folder(folder, path)
    thin = sorted(label for label, count in counts.items() if count < LEAST_RECORDINGS)
    if len(counts) - len(thin) < LEAST_LABELS:
        raise CorpusError(
            f"{folder} has {len(counts) - len(thin)} labels with at least {LEAST_RECORDINGS} recordings; "
            f"a training with its validation needs {LEAST_LABELS} such labels"
        )
    corpus.mkdir(parents=True, exist_ok=True)
    write_whole(path, text)
    problem = (
        f"labels with fewer than {LEAST_RECORDINGS} recordings, which are trained but not validated: "
        f"{', '.join(thin)}"
    )
    return path, problem if thin else ""
