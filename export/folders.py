"""Folders that appear under their name only when they are whole."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from marssep_rt.bundle import replace_folder
from marssep_rt.errors import MarssepError, UsageError


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raises UsageError for what is there already, unless it may be replaced."""
    if path.exists() and not overwrite:
        raise UsageError(f"{path} exists; add --overwrite to replace it")


@contextmanager
def workplace(parent: Path, what: str) -> Iterator[Path]:
    """A folder in ``parent``, which is made, for as long as the body runs; the body's OSErrors are MarssepErrors about ``what``."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".marssep-", dir=parent) as place:
            yield Path(place)
    except OSError as e:
        raise MarssepError(f"cannot write {what}: {(e.strerror or str(e)).lower()}") from e


@contextmanager
def whole_folder(output: Path, overwrite: bool) -> Iterator[Path]:
    """A folder to fill, which stands at ``output`` when the body is done and nowhere when it fails; raises as the two above."""
    refuse_existing(output, overwrite)
    with workplace(output.absolute().parent, str(output)) as place:
        made = place / "made"
        made.mkdir()
        yield made
        replace_folder(made, output)
