"""Atomic writes: a file or a folder is written under a temporary name and renamed when it is complete."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from marssep_rt.errors import MarssepError, UsageError

MAX_NAME = 255  # bytes, on all common file systems
TAG_BYTES = 4  # of hexadecimal digits for the machine, and as many for the file


def partial_path(path: Path) -> Path:
    """A temporary name for a file that is being written, which nobody else uses: NAME.0123abcd.part."""
    end = f".{_machine()}{secrets.token_hex(TAG_BYTES // 2)}.part"
    name = path.name
    while len(os.fsencode(name)) + len(end) > MAX_NAME:
        name = name[:-1]
    return path.with_name(name + end)


def remove_stale_parts(path: Path) -> None:
    """Delete what killed runs on this machine left of a file; nobody may be writing it meanwhile."""
    pattern = re.compile(re.escape(path.name) + rf"\.{_machine()}[0-9a-f]{{{TAG_BYTES}}}\.part")
    with contextlib.suppress(OSError):
        for name in os.listdir(path.parent):
            if pattern.fullmatch(name):
                path.with_name(name).unlink()


def _machine() -> str:
    """Four digits for this machine, so that machines that share a folder keep off each other's files."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:TAG_BYTES]


@contextlib.contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """Write a file atomically.

    Args:
        path: The file to write.

    Yields:
        The temporary path to write to. It is renamed to ``path`` when the body ends. After an exception it
        is deleted, and ``path`` stays as it was.

    Raises:
        OSError: The file cannot be renamed.
    """
    beside = partial_path(path)
    try:
        yield beside
        os.replace(beside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file atomically, text as UTF-8.

    Raises:
        MarssepError: The file cannot be written.
    """
    try:
        with written_beside(path) as beside:
            beside.write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as e:
        raise MarssepError(f"cannot write {path}: {e.strerror or e}") from e


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raise UsageError if ``path`` exists and must not be replaced."""
    if path.exists() and not overwrite:
        raise UsageError(f"{path} exists; add --overwrite to replace it")


def replace_folder(made: Path, path: Path) -> None:
    """Rename a complete folder to ``path``, then delete an old folder there. Raises OSError."""
    if path.exists():
        old = path.with_name(path.name + ".old")
        shutil.rmtree(old, ignore_errors=True)
        os.replace(path, old)
        os.replace(made, path)
        shutil.rmtree(old)
    else:
        os.replace(made, path)


@contextlib.contextmanager
def workplace(parent: Path, what: str) -> Iterator[Path]:
    """A temporary folder inside ``parent``.

    Args:
        parent: The folder that will hold the result. It is created if necessary, so that the final rename
            stays on one disk.
        what: The thing that is being written, for the error message.

    Raises:
        MarssepError: The folder cannot be created, or the body raised OSError.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".marssep-", dir=parent) as place:
            yield Path(place)
    except OSError as e:
        raise MarssepError(f"cannot write {what}: {(e.strerror or str(e)).lower()}") from e


@contextlib.contextmanager
def whole_folder(output: Path, overwrite: bool) -> Iterator[Path]:
    """Write a folder atomically.

    Args:
        output: The folder to write.
        overwrite: Whether an existing folder is replaced.

    Yields:
        An empty folder to fill. It is renamed to ``output`` when the body ends and deleted after an
        exception.

    Raises:
        UsageError: The folder exists, and ``overwrite`` is false.
        MarssepError: The folder cannot be written.
    """
    refuse_existing(output, overwrite)
    with workplace(output.absolute().parent, str(output)) as place:
        made = place / "made"
        made.mkdir()
        yield made
        replace_folder(made, output)
