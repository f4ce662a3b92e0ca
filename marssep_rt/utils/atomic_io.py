"""Atomic writes: a file or a folder is written under a temporary name and renamed when it is complete."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from marssep_rt.errors import MarssepError, UsageError


@contextlib.contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """Gives ``path``.part to write to, which becomes ``path`` at the end. After any exception it is gone, and what stood at ``path``
    stays; raises OSError where it cannot be renamed."""
    beside = path.with_name(f"{path.name}.part")
    try:
        yield beside
        os.replace(beside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise


def write_whole(path: Path, content: str | bytes) -> None:
    """Text becomes UTF-8; raises MarssepError where it cannot be written."""
    try:
        with written_beside(path) as beside:
            beside.write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as e:
        raise MarssepError(f"cannot write {path}: {e.strerror or e}") from e


def replace_folder(made: Path, path: Path) -> None:
    """Put a finished folder at ``path``; what stood there is gone only when the new one stands. Raises OSError."""
    if path.exists():
        old = path.with_name(path.name + ".old")
        shutil.rmtree(old, ignore_errors=True)
        os.replace(path, old)
        os.replace(made, path)
        shutil.rmtree(old)
    else:
        os.replace(made, path)


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raises UsageError for what is there already, unless it may be replaced."""
    if path.exists() and not overwrite:
        raise UsageError(f"{path} exists; add --overwrite to replace it")


@contextlib.contextmanager
def workplace(parent: Path, what: str) -> Iterator[Path]:
    """A folder in ``parent``, which is made, for as long as the body runs; the body's OSErrors are MarssepErrors about ``what``."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".marssep-", dir=parent) as place:
            yield Path(place)
    except OSError as e:
        raise MarssepError(f"cannot write {what}: {(e.strerror or str(e)).lower()}") from e


@contextlib.contextmanager
def whole_folder(output: Path, overwrite: bool) -> Iterator[Path]:
    """A folder to fill, which stands at ``output`` when the body is done and nowhere when it fails; raises as the two above."""
    refuse_existing(output, overwrite)
    with workplace(output.absolute().parent, str(output)) as place:
        made = place / "made"
        made.mkdir()
        yield made
        replace_folder(made, output)
