"""Tags, broadcast time and channel positions of a sound file, carried over to what is made of it."""

from __future__ import annotations

import contextlib
import struct
from dataclasses import dataclass, field

import soundfile

TAGS = ("title", "artist", "album", "date", "genre", "comment", "copyright", "license", "tracknumber")
# commands of libsndfile that soundfile does not wrap
GET_BROADCAST, SET_BROADCAST = 0x10F0, 0x10F1
GET_CHANNELS, SET_CHANNELS = 0x1100, 0x1101
BROADCAST_FIXED = 608  # bytes of SF_BROADCAST_INFO in front of the coding history
BROADCAST_SIZE = BROADCAST_FIXED + 16_384


@dataclass(frozen=True)
class Metadata:
    """What a sound file says of itself beside its sound.

    Attributes:
        tags: By the names of ``TAGS``.
        broadcast: The bext chunk (SF_BROADCAST_INFO of libsndfile), with its time reference; or nothing.
        positions: Where each channel stands (SF_CHANNEL_MAP of libsndfile), 4 bytes each; or nothing.
    """

    tags: dict[str, str] = field(default_factory=dict)
    broadcast: bytes = b""
    positions: bytes = b""


def read_metadata(file: soundfile.SoundFile) -> Metadata:
    """What an open file says of itself."""
    tags = {}
    for name in TAGS:
        with contextlib.suppress(UnicodeDecodeError):
            if value := getattr(file, name):
                tags[name] = value
    return Metadata(
        tags,
        _broadcast(file),
        _asked(file, GET_CHANNELS, 4 * file.channels),
    )


def write_metadata(file: soundfile.SoundFile, metadata: Metadata) -> None:
    """Set it all in a file that was just opened for writing; what its format cannot hold is left out."""
    for name, value in metadata.tags.items():
        with contextlib.suppress(soundfile.LibsndfileError, UnicodeEncodeError):
            setattr(file, name, value)
    if metadata.broadcast:
        _told(file, SET_BROADCAST, metadata.broadcast)
    if metadata.positions and file.channels > 2:
        _told(file, SET_CHANNELS, metadata.positions)


def _broadcast(file: soundfile.SoundFile) -> bytes:
    """The bext chunk with its coding history, and no byte more: libsndfile takes it back only so."""
    found = _asked(file, GET_BROADCAST, BROADCAST_SIZE)
    if not found:
        return b""
    history = struct.unpack_from("=I", found, BROADCAST_FIXED - 4)[0]
    return found[: BROADCAST_FIXED + min(history, BROADCAST_SIZE - BROADCAST_FIXED - 1)]


def _asked(file: soundfile.SoundFile, command: int, size: int) -> bytes:
    buffer = soundfile._ffi.new(f"char[{size}]")
    found = soundfile._snd.sf_command(file._file, command, buffer, size)
    return bytes(soundfile._ffi.buffer(buffer)) if found else b""


def _told(file: soundfile.SoundFile, command: int, content: bytes) -> None:
    soundfile._snd.sf_command(file._file, command, soundfile._ffi.from_buffer(content), len(content))
