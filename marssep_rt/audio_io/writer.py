"""Audio files for writing: they appear under their name only when they are complete."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

import soundfile

from marssep_rt.arrays import Array
from marssep_rt.audio_io.reader import reason
from marssep_rt.errors import FileError, UsageError

SUBTYPES = {"WAV": "FLOAT", "RF64": "FLOAT", "FLAC": "PCM_24"}


def sound_format(path: Path) -> str:
    """libsndfile's name of the format that a file name asks for; raises UsageError for names that are neither .wav nor .flac."""
    kind = {".wav": "WAV", ".flac": "FLAC"}.get(path.suffix.lower())
    if kind is None:
        raise UsageError(f"{path.name}: recordings are .wav or .flac files")
    return kind


def allow_downgrade(file: soundfile.SoundFile) -> None:
    """An RF64 file of less than 4 GB becomes a plain WAV on close (libsndfile's SFC_RF64_AUTO_DOWNGRADE; not wrapped by soundfile)."""
    with contextlib.suppress(AttributeError, TypeError):
        soundfile._snd.sf_command(file._file, 0x1210, soundfile._ffi.NULL, 1)


class Sink:
    """An output file that appears under its name only when it is whole."""

    def __init__(self, path: Path, rate: int, channels: int, frames: int) -> None:
        self.path = path
        self.beside = path.with_name(path.name + ".part")
        kind = "FLAC" if path.suffix.lower() == ".flac" else "WAV"
        if kind == "WAV" and frames * channels * 4 > 4_000_000_000:
            kind = "RF64"
        need = frames * channels * (4 if kind != "FLAC" else 2)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(path.parent).free
            if free < need:
                raise FileError(f"{path}: needs about {need / 1e6:.0f} MB, but only {free / 1e6:.0f} MB are free there")
            self.file = soundfile.SoundFile(self.beside, "w", rate, channels, subtype=SUBTYPES[kind], format=kind)
        except (soundfile.LibsndfileError, OSError) as e:
            raise FileError(f"{path}: cannot be written ({self._why(e)})") from e
        if kind == "RF64":
            allow_downgrade(self.file)

    def _why(self, error: BaseException) -> str:
        if isinstance(error, soundfile.LibsndfileError) and not os.access(self.path.parent, os.W_OK):
            return "the folder is not writable"
        return "no space left, or the disk failed" if "system error" in reason(error) else reason(error)

    def write(self, x: Array) -> None:
        """[C, n]; raises FileError when the disk is full."""
        try:
            self.file.write(x.T)
        except (soundfile.LibsndfileError, OSError) as e:
            raise FileError(f"{self.path}: writing failed ({self._why(e)})") from e

    def finish(self) -> None:
        try:
            self.file.close()
            os.replace(self.beside, self.path)
        except (soundfile.LibsndfileError, OSError) as e:
            raise FileError(f"{self.path}: could not be finished ({self._why(e)})") from e

    def discard(self) -> None:
        self.file.close()
        self.beside.unlink(missing_ok=True)
