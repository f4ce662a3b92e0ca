"""Audio files for writing: they appear under their name only when they are complete."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

import soundfile

from marssep_rt.arrays import Array
from marssep_rt.audio_io.reader import reason
from marssep_rt.errors import AudioFileError, UsageError
from marssep_rt.utils.atomic_io import partial_path

SUBTYPES = {"WAV": "FLOAT", "RF64": "FLOAT", "FLAC": "PCM_24"}
BYTES_PER_SAMPLE = {"WAV": 4, "RF64": 4, "FLAC": 2}  # an estimate for FLAC
MAX_WAV_BYTES = 4_000_000_000


def sound_format(path: Path) -> str:
    """libsndfile's name of the format that a file name stands for.

    Raises:
        UsageError: The name ends neither in .wav nor in .flac.
    """
    kind = {".wav": "WAV", ".flac": "FLAC"}.get(path.suffix.lower())
    if kind is None:
        raise UsageError(f"{path.name}: recordings are .wav or .flac files")
    return kind


def allow_downgrade(file: soundfile.SoundFile) -> None:
    """Let libsndfile turn an RF64 file of less than 4 GB into a plain WAV file on close.

    The command is SFC_RF64_AUTO_DOWNGRADE, which soundfile does not wrap.
    """
    with contextlib.suppress(AttributeError, TypeError):
        soundfile._snd.sf_command(file._file, 0x1210, soundfile._ffi.NULL, 1)


def write_error(path: Path, error: BaseException) -> str:
    """Why a file could not be written, in few words."""
    if not path.parent.is_dir():
        return f"there is no folder {path.parent}"
    if isinstance(error, soundfile.LibsndfileError) and not os.access(path.parent, os.W_OK):
        return "the folder is not writable"
    return "no space left, or the disk failed" if "system error" in reason(error) else reason(error)


class AtomicAudioWriter:
    """An audio file, float WAV or 24-bit FLAC by its name, that appears under its name when it is complete.

    Until ``finish`` the samples are in ``path``.part.

    Args:
        path: The file to write.
        sample_rate: In Hz.
        channels: 1 or 2.
        frames: The length in frames. The folder is then created, and the disk must have enough space.
            None: The length is unknown, and the file may grow beyond 4 GB.

    Raises:
        AudioFileError: The file cannot be created.
    """

    def __init__(self, path: Path, sample_rate: int, channels: int, frames: int | None = None) -> None:
        self.path, self.beside = path, partial_path(path)
        kind = "FLAC" if path.suffix.lower() == ".flac" else "WAV"
        need = 0 if frames is None else frames * channels * BYTES_PER_SAMPLE[kind]
        if kind == "WAV" and (frames is None or need > MAX_WAV_BYTES):
            kind = "RF64"
        try:
            if frames is not None:
                self._reserve(need)
            self.file = soundfile.SoundFile(
                self.beside, "w", sample_rate, channels, subtype=SUBTYPES[kind], format=kind
            )
        except (soundfile.LibsndfileError, OSError) as e:
            raise AudioFileError(f"{path}: cannot be written ({write_error(path, e)})") from e
        if kind == "RF64":
            allow_downgrade(self.file)

    def _reserve(self, need: int) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.path.parent).free
        if free < need:
            raise AudioFileError(
                f"{self.path}: needs about {need / 1e6:.0f} MB, but only {free / 1e6:.0f} MB are free there"
            )

    def write(self, x: Array) -> None:
        """Append float32 [C, n].

        Raises:
            AudioFileError: The disk is full or has failed.
        """
        try:
            self.file.write(x.T)
        except (soundfile.LibsndfileError, OSError) as e:
            raise AudioFileError(f"{self.path}: writing failed ({write_error(self.path, e)})") from e

    def finish(self) -> None:
        """Close the file and give it its name.

        Raises:
            AudioFileError: The file cannot be closed or renamed.
        """
        try:
            self.file.close()
            os.replace(self.beside, self.path)
        except (soundfile.LibsndfileError, OSError) as e:
            raise AudioFileError(f"{self.path}: could not be finished ({write_error(self.path, e)})") from e

    def discard(self) -> None:
        """Close and delete the unfinished file; nothing happens after ``finish``."""
        self.file.close()
        self.beside.unlink(missing_ok=True)
