"""The rows of the field's lists, with errors in words."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from offline_training.data.corpus import CorpusError


def read_rows(path: Path) -> list[tuple[int, list[str]]]:
    """The rows of a CSV that are not empty, each with the number of its line.

    Raises:
        CorpusError: The file cannot be read, or is no CSV in UTF-8.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as f:
            reader = csv.reader(f)
            return [(reader.line_num, row) for row in reader if row]
    except OSError as e:
        raise CorpusError(f"cannot read the list {path}: {e.strerror}") from e
    except (UnicodeDecodeError, csv.Error) as e:
        raise CorpusError(f"the list {path} is no CSV in UTF-8: {e}") from e


def refuse(path: Path, wrong: Sequence[str]) -> None:
    """Raise CorpusError if there are malformed rows, told one by one."""
    if wrong:
        rows = f"{len(wrong)} malformed row{'s' if len(wrong) > 1 else ''}"
        raise CorpusError(f"the list {path} has {rows}: {'; '.join(wrong)}")
