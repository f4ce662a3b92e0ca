"""The lists of two public evaluations of language-queried audio source separation (LASS): AudioSep's, and
that of DCASE 2024 Task 9. Their audio is the user's own.

AudioSep's lists name a target and a mixture in one of three ways: by number (ESC-50, AudioCaps, Clotho,
MUSIC), by the columns ``s0_wav`` and ``mix_wav`` (VGGSound), or by paths in ``src_wav`` and ``noise_wav``
(AudioSet, whose ``idx`` is the class). The list of DCASE names a source, a noise and their ratio.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from offline_training.data.corpus import CorpusError
from offline_training.data.csv_rows import read_rows, refuse

RATES = {"audiosep": 32_000, "dcase": 16_000}  # protocol -> Hz at which its figures are taken


@dataclass(frozen=True)
class ListedMixture:
    """One row of a list.

    Attributes:
        id: What the list calls it.
        query: The text that asks for the target.
        target: The file of the target.
        other: The file of the mixture; with ``snr_db`` that of the noise.
        snr_db: Source-to-noise power ratio at which a mixture is made of both; None: it is a file.
    """

    id: str
    query: str
    target: Path
    other: Path
    snr_db: float | None = None

    @property
    def missing(self) -> list[Path]:
        """Those of its two files that are not there."""
        return [path for path in (self.target, self.other) if not path.is_file()]


Fields = Mapping[str, str]
Place = Callable[[Fields, str, Path], ListedMixture]  # (a row, its query, the folder)


def read_mixtures(
    path: Path, folder: Path, protocol: str, query_column: str | None = None
) -> list[ListedMixture]:
    """Read a list.

    Args:
        path: The CSV with a header; blanks around names of columns do not count (DCASE's list has them).
        folder: Where the audio lies.
        protocol: One of RATES.
        query_column: The column of the query; None is ``caption``, or ``s0_text`` in VGGSound's list.

    Raises:
        CorpusError: The list cannot be read, lacks a column (those that are there are named), or has
            malformed rows.
    """
    numbered = read_rows(path)
    if len(numbered) < 2:
        raise CorpusError(f"the list {path} has no rows")
    columns = [name.strip() for name in numbered[0][1]]
    place, needed, caption = _layout(columns, protocol)
    asked = query_column or caption
    if lacking := [name for name in dict.fromkeys([*needed, asked]) if name not in columns]:
        raise CorpusError(
            f"the list {path} has no column {' and no column '.join(lacking)}, which --protocol {protocol} "
            f"needs; its columns are {', '.join(columns)}"
        )
    rows: list[ListedMixture] = []
    wrong: list[str] = []
    for line, row in numbered[1:]:
        fields = dict(zip(columns, (field.strip() for field in row), strict=False))
        if len(row) != len(columns):
            wrong.append(f"line {line}: {len(row)} fields for {len(columns)} columns")
        elif empty := [name for name in needed if not fields[name]]:
            wrong.append(f"line {line}: no {' and no '.join(empty)}")
        elif protocol == "dcase" and not _is_number(fields["snr"]):
            wrong.append(f"line {line}: the snr is {fields['snr']!r}")
        else:
            rows.append(place(fields, fields[asked], folder))
    refuse(path, wrong)
    return rows


def present(rows: Sequence[ListedMixture], path: Path) -> list[ListedMixture]:
    """Those rows whose files are there; raises CorpusError when that is none."""
    found = [row for row in rows if not row.missing]
    if not found:
        raise CorpusError(
            f"none of the {len(rows)} mixtures of {path} is there, the first lacks "
            f"{' and '.join(map(str, rows[0].missing))}; check --audio and --protocol"
        )
    return found


def _layout(columns: Sequence[str], protocol: str) -> tuple[Place, tuple[str, ...], str]:
    """How a list's rows name files: a function, the columns that it needs, the column of the query."""
    if protocol == "dcase":
        return _with_noise, ("source", "noise", "snr"), "caption"
    if "mix_wav" in columns:
        return _by_names, ("file_id", "mix_wav", "s0_wav"), "s0_text"
    return _by_number, ("idx",), "caption"


def _with_noise(row: Fields, query: str, folder: Path) -> ListedMixture:
    source, noise, snr = row["source"], row["noise"], row["snr"]
    name = f"{source} {noise} {snr}"
    return ListedMixture(name, query, folder / f"{source}.wav", folder / f"{noise}.wav", float(snr))


def _by_names(row: Fields, query: str, folder: Path) -> ListedMixture:
    return ListedMixture(row["file_id"], query, folder / row["s0_wav"], folder / row["mix_wav"])


def _by_number(row: Fields, query: str, folder: Path) -> ListedMixture:
    number, source, mixture = row["idx"], row.get("src_wav", ""), row.get("noise_wav", "")
    if source.endswith(",source.wav") and mixture.endswith(",mixture.wav"):
        return ListedMixture(Path(source).stem, query, folder / source, folder / mixture)
    return ListedMixture(number, query, folder / f"segment-{number}.wav", folder / f"mixture-{number}.wav")


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
