"""WAV, RF64 and BW64 files whose header is wrong: crashed recorders, pipes, more than 4 GB, unusual orders.

libsndfile reads them as soon as they have a right header, so this module writes one for them.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field

from marssep_rt.audio_io.spliced import Buffered, Layout, Part, behind_tags

PLACEHOLDER = 0x7FFF_F000  # writers that do not know the length write a size from here up
WRAP = 1 << 32
MAX_TRAILER = 1 << 20  # chunks behind the sound of a file beyond 4 GB
MAX_CHUNK = 1 << 24
KEPT = (b"bext", b"LIST")
NO_LENGTH = "its header gives no length, as if the recording had not been finished; it was read to its end"


@dataclass
class _Chunks:
    """What a walk over the chunks found; ``declared`` is the size of the sound by the header."""

    form: bytes
    fmt: bytes = b""
    kept: bytes = b""
    start: int = -1
    declared: int = 0
    fmt_is_late: bool = False
    ds64: bytes = field(default=b"")


def examine(file: Buffered, size: int) -> Layout | None:
    """The layout of a RIFF file, with a new header where its own misleads; None for other files."""
    begin = behind_tags(file)
    file.seek(begin)
    head = file.read(12)
    if head[:4] not in (b"RIFF", b"RF64", b"BW64") or head[8:] != b"WAVE":
        return None
    found = _walk(file, begin + 12, size, head[:4])
    if found.start < 0 or len(found.fmt) < 16:
        return Layout([Part(begin, size)])
    there = size - found.start
    length, notes = _true_length(file, found, size)
    per_second = max(1, struct.unpack_from("<I", found.fmt, 8)[0])
    if found.declared > there and found.declared < PLACEHOLDER:
        lost = (found.declared - there) / per_second
        whole = found.declared / per_second
        notes = (*notes, f"the file is cut off: the last {lost:.1f} of {whole:.1f} s are missing")
    unknown = found.declared >= PLACEHOLDER and found.declared > there
    wrong = found.form == b"BW64" or found.fmt_is_late or (length != found.declared and not unknown)
    if not wrong or length == 0:
        return Layout([Part(begin, size)], notes)
    length = min(length, there)
    return Layout([Part(found.start, found.start + length, _header(found, length))], notes)


def _walk(file: Buffered, position: int, size: int, form: bytes) -> _Chunks:
    """All chunks up to the sound, and behind it only while the format is still missing."""
    found = _Chunks(form)
    while position + 8 <= size:
        file.seek(position)
        name, length = struct.unpack("<4sI", file.read(8))
        body = position + 8
        if name == b"data":
            if length == WRAP - 1 and len(found.ds64) >= 16:
                length = struct.unpack_from("<Q", found.ds64, 8)[0]
            found.start, found.declared = body, length
            if found.fmt:
                break
            found.fmt_is_late = True
        elif name == b"fmt ":
            found.fmt = file.read(min(length, 64))
            if found.start >= 0:
                break
        elif name == b"ds64":
            found.ds64 = file.read(min(length, 24))
        elif name in KEPT and length < MAX_CHUNK:
            content = file.read(length)
            found.kept += struct.pack("<4sI", name, len(content)) + content + b"\0" * (len(content) % 2)
        position = body + length + length % 2
    return found


def _true_length(file: Buffered, found: _Chunks, size: int) -> tuple[int, tuple[str, ...]]:
    """The bytes of sound that are there, and what to say about it."""
    there = size - found.start
    if found.declared == 0 and there > 0 and not _are_chunks(file, found.start, size):
        return there, (NO_LENGTH,)
    beyond = (there - found.declared) // WRAP * WRAP
    if beyond > 0 and there - found.declared - beyond <= MAX_TRAILER:
        return found.declared + beyond, ()
    return (found.declared if found.declared <= there else there), ()


def _are_chunks(file: Buffered, position: int, size: int) -> bool:
    """Whether the rest of a file is chunks to its end: then its sound really is empty."""
    while position + 8 <= size:
        file.seek(position)
        name, length = struct.unpack("<4sI", file.read(8))
        if not all(0x20 <= c < 0x7F for c in name):
            return False
        position += 8 + length + length % 2
    return abs(size - position) <= 1


def _header(found: _Chunks, length: int) -> bytes:
    """An RF64 header, which serves every length."""
    align = max(1, struct.unpack_from("<H", found.fmt, 12)[0])
    fmt = struct.pack("<4sI", b"fmt ", len(found.fmt)) + found.fmt + b"\0" * (len(found.fmt) % 2)
    rest = fmt + found.kept + struct.pack("<4sI", b"data", WRAP - 1)
    whole = 4 + 36 + len(rest) + length
    ds64 = struct.pack("<4sIQQQI", b"ds64", 28, whole, length, length // align, 0)
    return struct.pack("<4sI4s", b"RF64", WRAP - 1, b"WAVE") + ds64 + rest


def file_size(file: Buffered) -> int:
    """The size of an open file in bytes."""
    return file.seek(0, os.SEEK_END)
