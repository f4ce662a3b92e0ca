"""Ogg and FLAC files that are several in a row, as internet radio and ``cat`` make them."""

from __future__ import annotations

import struct

from marssep_rt.audio_io.spliced import Buffered, Layout, Part

FIRST_PAGE = 2
BLOCK = 1 << 20
FLAC_START = b"fLaC\x00\x00\x00\x22"  # the mark and the head of the first block, STREAMINFO of 34 bytes
FLAC_INFO = 42  # bytes up to the end of STREAMINFO


def examine_ogg(file: Buffered, size: int) -> Layout | None:
    """One part for every chain of an Ogg file; None for other files."""
    file.seek(0)
    if file.read(4) != b"OggS":
        return None
    starts: list[int] = []
    position, in_heads = 0, False
    while position + 27 <= size:
        file.seek(position)
        page = file.read(27)
        if page[:4] != b"OggS":
            break  # damaged: libsndfile looks for the next page by itself
        begins = bool(page[5] & FIRST_PAGE)
        if begins and not in_heads:  # several streams of one chain begin directly behind each other
            starts.append(position)
        in_heads = begins
        position += 27 + page[26] + sum(file.read(page[26]))
    return Layout([Part(a, b) for a, b in zip(starts, [*starts[1:], size], strict=True)])


def examine_flac(file: Buffered, size: int) -> Layout | None:
    """One part for every stream of a FLAC file; None for other files."""
    file.seek(0)
    if file.read(8) != FLAC_START:
        return None
    starts, position, tail = [0], 8, b""
    file.seek(position)
    while block := file.read(BLOCK):
        text = tail + block
        at = text.find(FLAC_START)
        while at >= 0:
            starts.append(position - len(tail) + at)
            at = text.find(FLAC_START, at + 1)
        position += len(block)
        tail = text[-(len(FLAC_START) - 1) :]
    starts = [s for s in starts if s == 0 or _is_stream(file, s)]
    return Layout([Part(a, b) for a, b in zip(starts, [*starts[1:], size], strict=True)])


def _is_stream(file: Buffered, start: int) -> bool:
    """Whether a STREAMINFO block stands there and not a picture's or a text's bytes that look like one."""
    file.seek(start)
    info = file.read(FLAC_INFO)
    if len(info) < FLAC_INFO:
        return False
    smallest, largest = struct.unpack_from(">HH", info, 8)
    return bool(16 <= smallest <= largest)
