"""A lock on the name of a file that is going to be written, between all processes of a user on a machine."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: unique temporary names alone keep finished files whole there
    fcntl = None  # type: ignore[assignment]

IS_AVAILABLE = fcntl is not None


class FileLock:
    """Held until ``release``, or until the process ends.

    The lock is an empty file in the system's folder of temporary files, so that output folders stay clean.
    """

    def __init__(self, path: Path) -> None:
        user = os.getuid() if hasattr(os, "getuid") else 0
        name = hashlib.sha256(os.fsencode(os.path.realpath(path))).hexdigest()[:32]
        self.path = Path(tempfile.gettempdir()) / f"marssep-locks-{user}" / name
        self.handle: int | None = None

    def acquire(self) -> bool:
        """Take the lock without waiting.

        Returns:
            False if somebody else holds it. True if it was taken, or if locks do not work on this machine.
        """
        if fcntl is None:
            return True
        try:
            self.path.parent.mkdir(mode=0o700, exist_ok=True)
            while True:
                handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if self._is_current(handle):
                        self.handle = handle
                        return True
                except BlockingIOError:
                    os.close(handle)
                    return False
                os.close(handle)  # its holder deleted it between our open and our lock
        except OSError:
            return True

    def _is_current(self, handle: int) -> bool:
        try:
            return os.path.samestat(os.fstat(handle), os.stat(self.path))
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Give the lock back."""
        if self.handle is not None:
            with contextlib.suppress(OSError):
                self.path.unlink()
            os.close(self.handle)
            self.handle = None
