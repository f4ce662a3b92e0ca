"""The true length of an MP3 file, by its frames.

libsndfile believes the length in the first frame (the Xing header), or guesses one by the first bit
rate. Both are wrong for variable rates without that header, for files that were cut off, and for files that
were put together.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from marssep_rt.audio_io.spliced import Buffered, Layout, Part, behind_tags

RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
KBPS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
KBPS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
MAX_JUNK = 1 << 18  # bytes between two frames: pictures and tags in the middle
ROOMY_1, ROOMY_2 = 9, 8  # bit rates, 128 and 64 kbit/s, whose frame holds a Xing header
LAME_DELAYS = 141  # bytes from "Xing" to the encoder's delay and padding, where it is a LAME header


@dataclass(frozen=True)
class Frame:
    """The header of a frame of Layer III; ``size`` in bytes, ``samples`` for each channel."""

    word: int
    size: int
    samples: int
    rate: int
    side: int  # bytes of header and side information

    def follows(self, other: Frame) -> bool:
        """Whether both can be of one stream: the same version, layer and sample rate."""
        return (self.word ^ other.word) & 0xFFFE_0C00 == 0


def frame_of(data: bytes) -> Frame | None:
    """Read a frame's header from four bytes; None where there is none of Layer III."""
    if len(data) < 4:
        return None
    word = struct.unpack(">I", data[:4])[0]
    version, layer, bits, rate_index = word >> 19 & 3, word >> 17 & 3, word >> 12 & 15, word >> 10 & 3
    if word >> 21 != 0x7FF or version == 1 or layer != 1 or bits in (0, 15) or rate_index == 3:
        return None
    rate, full = RATES[version][rate_index], version == 3
    kbps = (KBPS_1 if full else KBPS_2)[bits]
    size = (144 if full else 72) * kbps * 1000 // rate + (word >> 9 & 1)
    mono = word >> 6 & 3 == 3
    side = 4 + ((17 if mono else 32) if full else (9 if mono else 17))
    return Frame(word, size, 1152 if full else 576, rate, side)


def examine(file: Buffered, size: int) -> Layout | None:
    """The layout of an MP3 file with its true length in front; None for other files."""
    start = _first_frame(file, size)
    if start is None:
        return None
    file.seek(start)
    frame = frame_of(file.read(4))
    assert frame is not None
    file.seek(start)
    content = file.read(frame.size)
    declared = _declared(content, frame)
    if declared is None:
        begin = start + frame.size if content[36:40] == b"VBRI" else start
        frames, end = _count(file, begin, size, frame)
        notes = _rest(file, end, size, frames * frame.samples / frame.rate)
        return Layout([Part(begin, end, _xing(frame, frames))], notes)
    begin = start + frame.size
    frames, end = _count(file, begin, size, frame)
    notes = _rest(file, end, size, frames * frame.samples / frame.rate)
    if declared - frames > 1:
        whole, there = (n * frame.samples / frame.rate for n in (declared, frames))
        notes = (f"the file is cut off: it ends after {there:.1f} of {whole:.1f} s",)
    elif frames == declared or frames + 1 == declared:
        return Layout([Part(0, size)], notes)
    return Layout([Part(begin, end, _patched(content, frame, frames, end - start))], notes)


def _rest(file: Buffered, end: int, size: int, seconds: float) -> tuple[str, ...]:
    """What to say of frames of another kind behind the last one."""
    if end >= size or _next_frame(file, end, size, None) is None:
        return ()
    return (f"what follows after {seconds:.1f} s has another sample rate and was left out",)


def _first_frame(file: Buffered, size: int) -> int | None:
    """Where the first of two frames in a row is, behind ID3 tags; None where there are none."""
    position = behind_tags(file)
    file.seek(position)
    if position == 0 and frame_of(file.read(4)) is None:
        return None  # without a tag it begins with a frame, or it is another format
    return _next_frame(file, position, size, None)


def _next_frame(file: Buffered, position: int, size: int, like: Frame | None) -> int | None:
    """The next frame from ``position`` on that is followed by another one or by the end of the file."""
    file.seek(position)
    window = file.read(MAX_JUNK)
    at = window.find(b"\xff")
    while at >= 0:
        frame = frame_of(window[at : at + 4])
        if frame is not None and (like is None or frame.follows(like)):
            file.seek(position + at + frame.size)
            second = frame_of(file.read(4))
            if (second is not None and second.follows(frame)) or position + at + frame.size == size:
                return position + at
        at = window.find(b"\xff", at + 1)
    return None


def _count(file: Buffered, position: int, size: int, first: Frame) -> tuple[int, int]:
    """The number of whole frames from ``position`` on, and where the last one ends."""
    frames, end = 0, position
    sizes: dict[bytes, int] = {}
    while position + 4 <= size:
        file.seek(position)
        data = file.read(4)
        length = sizes.get(data, 0)
        if not length:
            frame = frame_of(data)
            if frame is None or not frame.follows(first):
                found = _next_frame(file, position, size, first)
                if found is None:
                    break
                position = found
                continue
            length = sizes[data] = frame.size
        position += length
        if position > size:
            break
        frames, end = frames + 1, position
    return frames, end


def _declared(content: bytes, frame: Frame) -> int | None:
    """The number of frames that a Xing header gives; None where there is no such header."""
    at = frame.side
    if content[at : at + 4] not in (b"Xing", b"Info") or len(content) < at + 12 or not content[at + 7] & 1:
        return None
    return int(struct.unpack_from(">I", content, at + 8)[0])


def _xing(frame: Frame, frames: int) -> bytes:
    """A frame that holds nothing but a length."""
    roomy = ROOMY_1 if frame.samples == 1152 else ROOMY_2
    word = frame.word & ~0xF200 | 0x1_0000 | roomy << 12  # no padding, no checksum
    header = struct.pack(">I", word)
    made = frame_of(header)
    assert made is not None
    content = header + b"\0" * (made.side - 4) + b"Xing" + struct.pack(">II", 1, frames)
    return content + b"\0" * (made.size - len(content))


def _patched(content: bytes, frame: Frame, frames: int, size: int) -> bytes:
    """A file's own Xing header with another length; the encoder's delay at the start stays."""
    mended, at = bytearray(content), frame.side
    struct.pack_into(">I", mended, at + 8, frames)
    if mended[at + 7] & 2 and len(mended) >= at + 16:
        struct.pack_into(">I", mended, at + 12, min(size, 0xFFFF_FFFF))
    if len(mended) >= at + LAME_DELAYS + 3 and mended[at + 7] & 15 == 15:
        mended[at + LAME_DELAYS + 1] &= 0xF0  # the padding at the end is gone
        mended[at + LAME_DELAYS + 2] = 0
    return bytes(mended)
