"""Standard input, pipes and other things that are no regular files: they are first copied into one."""

from __future__ import annotations

import io
import os
import select
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from marssep_rt.errors import AudioFileError, MarssepError, UsageError

STANDARD = Path("-")
BLOCK = 1 << 16
POLL_MS = 200


def is_stream(path: Path) -> bool:
    """Whether a path is ``-``, a fifo, a device or a socket, which are read or written once, in order."""
    if path == STANDARD:
        return True
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def refuse_second_reader(paths: Sequence[Path]) -> None:
    """Raise UsageError where standard input is named more than once: it can be read only once."""
    if list(paths).count(STANDARD) > 1:
        raise UsageError("standard input (-) is named more than once, and it can be read only once")


@contextmanager
def readable_again(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """The same files for as long as the context lasts; of every stream a copy, which has its name.

    Raises:
        AudioFileError: A stream cannot be read, or there is no space.
    """
    with tempfile.TemporaryDirectory(prefix="marssep-") as folder:
        copies = [_copied(path, Path(folder, str(i))) for i, path in enumerate(paths)]
        try:
            yield copies
        except MarssepError as e:  # it speaks of the copy, which is no name to the user
            message = str(e)
            for copy, path in zip(copies, paths, strict=True):
                message = message.replace(str(copy), str(path))
            raise type(e)(message) from e


def _copied(path: Path, folder: Path) -> Path:
    """A copy of a stream in ``folder``, which is made; any other file itself."""
    if not is_stream(path):
        return path
    folder.mkdir()
    return spooled(path, lambda: None).rename(folder / path.name)


def spooled(path: Path, waiting: Callable[[], None]) -> Path:
    """Copy all of a stream into a temporary file, which the caller deletes.

    Args:
        path: A stream.
        waiting: Called every now and then; what it raises ends the copy.

    Raises:
        AudioFileError: The stream cannot be read, or there is no space.
    """
    handle, name = tempfile.mkstemp(prefix="marssep-")
    try:
        with os.fdopen(handle, "wb", buffering=0) as copy, _opened(path) as stream:
            for block in _blocks(stream, waiting):
                _put(copy, block, path)
    except OSError as e:
        os.unlink(name)
        raise AudioFileError(f"{path}: cannot be read ({(e.strerror or str(e)).lower()})") from e
    except BaseException:
        os.unlink(name)
        raise
    return Path(name)


def _put(copy: io.RawIOBase, block: bytes, path: Path) -> None:
    """Write a block of a stream into its copy; raises AudioFileError where there is no space for it."""
    left = memoryview(block)
    try:
        while left:
            left = left[copy.write(left) :]
    except OSError as e:
        raise AudioFileError(
            f"{path}: cannot be copied into {tempfile.gettempdir()} ({(e.strerror or str(e)).lower()}); make "
            "room there, or let TMPDIR name another folder"
        ) from e


def _opened(path: Path) -> BinaryIO:
    """A stream for reading. Raises OSError."""
    if path == STANDARD:
        return open(os.dup(sys.stdin.buffer.fileno()), "rb", buffering=0)
    if sys.platform == "linux":  # elsewhere poll() does not wait for the first writer of a fifo
        return open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0)
    return open(path, "rb", buffering=0)


def _blocks(stream: BinaryIO, waiting: Callable[[], None]) -> Iterator[bytes]:
    """The content of a stream, piece by piece. Raises OSError."""
    poll = select.poll() if hasattr(select, "poll") else None  # Windows polls sockets alone
    if poll is not None:
        poll.register(stream.fileno(), select.POLLIN | select.POLLHUP)
    while True:
        waiting()
        if poll is not None and not poll.poll(POLL_MS):
            continue
        if not (block := stream.read(BLOCK)):
            return
        yield block


def opened_for_writing(path: Path) -> BinaryIO:
    """A stream to write to; standard output stays open when it is closed. Raises OSError."""
    if path == STANDARD:
        return os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    return open(path, "wb")
