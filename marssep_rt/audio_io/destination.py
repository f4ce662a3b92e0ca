"""Where a finished file goes: under its name by a rename, or into a stream by a copy."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from marssep_rt.audio_io.streams import is_stream, opened_for_writing
from marssep_rt.errors import AudioFileError
from marssep_rt.utils.atomic_io import partial_path, remove_stale_parts
from marssep_rt.utils.file_lock import IS_AVAILABLE, FileLock


class Destination:
    """The place of an output; its content is written to ``part`` first.

    Args:
        path: The file, or ``-`` for standard output, or a fifo or device.

    Raises:
        AudioFileError: Another run is writing the same file.
        OSError: A temporary file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_stream = is_stream(path)
        self.lock: FileLock | None = None
        if self.is_stream:
            handle, name = tempfile.mkstemp(prefix="marssep-", suffix=".part")
            os.close(handle)
            self.part = Path(name)
            return
        lock = FileLock(path)
        if not lock.acquire():
            raise AudioFileError(
                f"{path}: another run is writing this file; wait for it, or choose another with -o"
            )
        self.lock = lock
        if IS_AVAILABLE:
            remove_stale_parts(path)
        self.part = partial_path(path)

    def commit(self) -> None:
        """Give the finished content its place. Raises OSError."""
        if self.is_stream:
            with open(self.part, "rb") as content, opened_for_writing(self.path) as stream:
                shutil.copyfileobj(content, stream)
            self.part.unlink()
        else:
            os.replace(self.part, self.path)
        self._unlock()

    def discard(self) -> None:
        """Delete the unfinished content; nothing happens after ``commit``."""
        with contextlib.suppress(OSError):
            self.part.unlink(missing_ok=True)
        self._unlock()

    def _unlock(self) -> None:
        if self.lock is not None:
            self.lock.release()
            self.lock = None
