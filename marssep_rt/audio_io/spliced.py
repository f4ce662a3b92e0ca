"""A read-only file of bytes in front and stretches of another file: how a header is mended without a copy."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


class Buffered(Protocol):
    """What the functions that look at containers need of an open file."""

    def read(self, size: int = ..., /) -> bytes:
        """The next bytes."""
        ...

    def seek(self, offset: int, whence: int = ..., /) -> int:
        """Move to a byte."""
        ...


@dataclass(frozen=True)
class Part:
    """One complete sound file inside another.

    Attributes:
        start: Its first byte.
        end: The byte behind its last.
        head: Bytes that stand in front of them, and in the place of nothing.
    """

    start: int
    end: int
    head: bytes = b""


@dataclass(frozen=True)
class Layout:
    """How the sound lies in a file.

    Attributes:
        parts: Complete files that follow each other; most files are one part.
        notes: What was lost or mended, in sentences without the file's name.
    """

    parts: Sequence[Part]
    notes: tuple[str, ...] = ()


class SplicedFile(io.RawIOBase):
    """``head``, then the bytes from ``start`` to ``end`` of a file, as a file that can be read and sought."""

    def __init__(self, path: Path, part: Part) -> None:
        self.file = open(path, "rb", buffering=1 << 16)  # noqa: SIM115 - closed in close()
        self.part = part
        self.length = len(part.head) + part.end - part.start
        self.position = 0

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer from the present position; returns the number of bytes."""
        view = memoryview(buffer).cast("B")
        want = min(len(view), max(0, self.length - self.position))
        front = self.part.head[self.position : self.position + want]
        view[: len(front)] = front
        done = len(front)
        if done < want:
            self.file.seek(self.part.start + self.position + done - len(self.part.head))
            rest = self.file.read(want - done)
            view[done : done + len(rest)] = rest
            done += len(rest)
        self.position += done
        return done

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a byte and return it."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: self.length}[whence]
        self.position = max(0, base + offset)
        return self.position

    def tell(self) -> int:
        """The present position."""
        return self.position

    def close(self) -> None:
        """Close the file behind it."""
        self.file.close()
        super().close()


def behind_tags(file: Buffered) -> int:
    """The first byte behind the ID3 tags at the start of a file; 0 where there are none."""
    position = 0
    file.seek(0)
    head = file.read(10)
    while head[:3] == b"ID3" and len(head) == 10:
        length = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        position += 10 + length + (10 if head[5] & 16 else 0)
        file.seek(position)
        head = file.read(10)
    return position
