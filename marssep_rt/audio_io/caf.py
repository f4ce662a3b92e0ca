"""Core Audio files from a pipe: the size of their sound is -1, which means all of the rest."""

from __future__ import annotations

import struct

from marssep_rt.audio_io.spliced import Buffered, Layout, Part

MAX_HEAD = 1 << 20


def examine(file: Buffered, size: int) -> Layout | None:
    """The layout of a CAF file, its size mended; None for other files."""
    file.seek(0)
    if file.read(4) != b"caff":
        return None
    position = 8
    while position + 12 <= min(size, MAX_HEAD):
        file.seek(position)
        name, length = struct.unpack(">4sq", file.read(12))
        if name == b"data":
            if length >= 0:
                break
            file.seek(0)
            head = file.read(position) + struct.pack(">4sq", b"data", size - position - 12)
            return Layout([Part(position + 12, size, head)])
        if length < 0:
            break
        position += 12 + length
    return Layout([Part(0, size)])
