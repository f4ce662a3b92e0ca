"""Files that are whole or not there: written beside their place, then renamed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from marssep_rt.errors import MarssepError


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
