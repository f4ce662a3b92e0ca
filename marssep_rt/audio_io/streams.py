"""Standard input, pipes and other things that are no regular files: they are first copied into one."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from pathlib import Path
from typing import BinaryIO

from marssep_rt.errors import AudioFileError

STANDARD = Path("-")


def is_stream(path: Path) -> bool:
    """Whether a path is ``-``, a fifo, a device or a socket, which are read or written once, in order."""
    if path == STANDARD:
        return True
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def spooled(path: Path) -> Path:
    """Copy all of a stream into a temporary file, which the caller deletes.

    Raises:
        AudioFileError: The stream cannot be read, or there is no space.
    """
    handle, name = tempfile.mkstemp(prefix="marssep-")
    try:
        with os.fdopen(handle, "wb") as copy:
            if path == STANDARD:
                shutil.copyfileobj(sys.stdin.buffer, copy)
            else:
                with open(path, "rb") as stream:
                    shutil.copyfileobj(stream, copy)
    except OSError as e:
        os.unlink(name)
        raise AudioFileError(f"{path}: cannot be read ({(e.strerror or str(e)).lower()})") from e
    except BaseException:
        os.unlink(name)
        raise
    return Path(name)


def opened_for_writing(path: Path) -> BinaryIO:
    """A stream to write to; standard output stays open when it is closed. Raises OSError."""
    if path == STANDARD:
        return os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    return open(path, "wb")
