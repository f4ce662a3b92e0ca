"""Audio files for writing: they appear under their name only when they are complete."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from marssep_rt.arrays import Array
from marssep_rt.audio_io.destination import Destination
from marssep_rt.audio_io.formats import FORMATS, OWN, OutputFormat, check_channels, rate_for
from marssep_rt.audio_io.metadata import Metadata, write_metadata
from marssep_rt.audio_io.reader import reason
from marssep_rt.audio_io.streams import STANDARD
from marssep_rt.errors import AudioFileError, UsageError

MAX_WAV_BYTES = 4_000_000_000
RF64_DOWNGRADE = 0x1210  # SFC_RF64_AUTO_DOWNGRADE, which soundfile does not wrap
FULL_SCALE = {"PCM_16": 1 << 15, "PCM_24": 1 << 23, "PCM_32": 1 << 31}
BYTES_PER_SAMPLE = {"PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4}
NO_METADATA = Metadata()
ENCODER_BLOCK = 1 << 14  # libsndfile's Vorbis encoder overflows its stack with long blocks


def sound_format(path: Path) -> str:
    """libsndfile's name of the format that a recording's name stands for.

    Raises:
        UsageError: The name ends neither in .wav nor in .flac.
    """
    kind = {".wav": "WAV", ".flac": "FLAC"}.get(path.suffix.lower())
    if kind is None:
        raise UsageError(f"{path.name}: recordings are .wav or .flac files")
    return kind


@dataclass(frozen=True)
class SoundShape:
    """The sound that a writer gets.

    Attributes:
        sample_rate: In Hz.
        channels: 1 or more.
        frames: The length, or None where it is not known; the file may then grow beyond 4 GB.
        subtype: The sample format of the input, for outputs that keep it.
        metadata: The input's tags.
    """

    sample_rate: int
    channels: int
    frames: int | None = None
    subtype: str = "FLOAT"
    metadata: Metadata = NO_METADATA


class PartFile:
    """A file that libsndfile writes through; it keeps the first error, whose reason libsndfile loses."""

    def __init__(self, path: Path) -> None:
        self.file = open(path, "wb+", buffering=1 << 16)  # noqa: SIM115 - closed in close()
        self.error: OSError | None = None

    def _guarded(self, action: Callable[..., Any], *args: Any) -> Any:
        try:
            return action(*args)
        except OSError as e:
            self.error = self.error or e
            return 0

    def write(self, data: bytes) -> int:
        """Returns 0 after an error."""
        return int(self._guarded(self.file.write, data))

    def read(self, size: int) -> bytes:
        """What was written; encoders read their headers again."""
        return self._guarded(self.file.read, size) or b""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a byte."""
        return int(self._guarded(self.file.seek, offset, whence))

    def tell(self) -> int:
        """The present position."""
        return int(self._guarded(self.file.tell))

    def flush(self) -> None:
        """Hand everything to the system."""
        self._guarded(self.file.flush)

    def close(self) -> None:
        """Close it; the error of a last write that fails is kept, too."""
        self._guarded(self.file.close)

    def check(self) -> None:
        """Raise the first error."""
        if self.error is not None:
            raise self.error


class AudioWriter:
    """A sound file that appears under its name when it is complete.

    Args:
        path: The file to write, or ``-`` for standard output, or a fifo.
        shape: The sound that comes.
        kind: The format.

    Attributes:
        samples: Samples so far, of all channels.
        clipped: Those beyond full scale, which the format cannot hold.
        peak: The largest magnitude so far, full scale 1.0.
        note: What the format changed, in a sentence; "" for nothing.

    Raises:
        AudioFileError: The file cannot be created.
    """

    def __init__(self, path: Path, shape: SoundShape, kind: OutputFormat) -> None:
        check_channels(path, kind, shape.channels)
        self.path, self.kind = path, kind
        self.subtype = shape.subtype if kind.subtype == OWN else kind.subtype
        self.rate = rate_for(kind, shape.sample_rate)
        self.samples, self.clipped, self.peak, self.note = 0, 0, 0.0, ""
        self.resampler: soxr.ResampleStream | None = None
        if self.rate != shape.sample_rate:
            self.resampler = soxr.ResampleStream(shape.sample_rate, self.rate, shape.channels)
            self.note = (
                f"{kind.name.upper()} has no sample rate of {shape.sample_rate} Hz; "
                f"{said(path)} is written at {self.rate} Hz"
            )
        try:
            self.destination = Destination(path)
            try:
                self._check_space(shape)
                self._create(shape)
            except BaseException:
                self.destination.discard()
                raise
        except (soundfile.LibsndfileError, OSError) as e:
            raise AudioFileError(f"{path}: cannot be written ({write_error(path, e)})") from e

    def _check_space(self, shape: SoundShape) -> None:
        """Refuse what does not fit on the disk; nobody knows the size of a compressed file before."""
        if self.kind.container != "WAV":
            return
        need = (shape.frames or 0) * shape.channels * BYTES_PER_SAMPLE[self.subtype]
        folder = self.destination.part.parent
        free = shutil.disk_usage(folder).free
        if free < need:
            raise AudioFileError(
                f"{self.path}: needs {size_in_words(need)}, but only {size_in_words(free)} are free in "
                f"{folder}; make room there, or choose another place with -o"
            )

    def _create(self, shape: SoundShape) -> None:
        container = self.kind.container
        if container == "WAV":
            bytes_in_all = (shape.frames or 0) * shape.channels * BYTES_PER_SAMPLE[self.subtype]
            if shape.frames is None or bytes_in_all > MAX_WAV_BYTES:
                container = "RF64"
            elif shape.channels > 2:
                container = "WAVEX"  # it names the channels' positions
        self.part = PartFile(self.destination.part)
        try:
            self.file = soundfile.SoundFile(
                self.part, "w", self.rate, shape.channels, subtype=self.subtype, format=container
            )
        except BaseException:
            self.part.close()
            raise
        if container == "RF64":
            allow_downgrade(self.file)
        write_metadata(self.file, shape.metadata)

    def write(self, x: Array) -> None:
        """Append float32 [C, n].

        Raises:
            AudioFileError: The disk is full or has failed.
        """
        if self.resampler is not None:
            x = resampled(self.resampler, x, last=False)
        self._write(x)

    def _write(self, x: Array) -> None:
        if not x.size:
            return
        self.samples += x.size
        peak = float(np.abs(x).max())
        self.peak = max(self.peak, peak)
        if self.subtype != "FLOAT" and peak > 1.0:
            self.clipped += int(np.count_nonzero(np.abs(x) > 1.0))
            x = np.clip(x, -1.0, 1.0)
        try:
            self._put(x)
        except (soundfile.LibsndfileError, OSError) as e:
            raise AudioFileError(f"{self.path}: writing failed ({write_error(self.path, e)})") from e

    def _put(self, x: Array) -> None:
        samples = quantised(x.T, self.subtype) if self.subtype in FULL_SCALE else np.ascontiguousarray(x.T)
        try:
            for start in range(0, len(samples), ENCODER_BLOCK):
                self.file.write(samples[start : start + ENCODER_BLOCK])
        finally:
            self.part.check()  # its error says more than libsndfile's

    def finish(self) -> None:
        """Close the file and give it its name.

        Raises:
            AudioFileError: The file cannot be closed or renamed.
        """
        if self.resampler is not None:
            self._write(resampled(self.resampler, np.zeros((self._channels(), 0), np.float32), last=True))
        try:
            self._close()
            self.destination.commit()
        except BrokenPipeError:
            raise
        except (soundfile.LibsndfileError, OSError) as e:
            raise AudioFileError(f"{self.path}: could not be finished ({write_error(self.path, e)})") from e

    def _channels(self) -> int:
        return int(self.file.channels)

    def _close(self) -> None:
        try:
            self.file.close()
        finally:
            self.part.close()
            self.part.check()

    def discard(self) -> None:
        """Close and delete the unfinished file; nothing happens after ``finish``."""
        with contextlib.suppress(soundfile.LibsndfileError):
            self.file.close()
        self.part.close()
        self.destination.discard()


class AtomicAudioWriter(AudioWriter):
    """A recording, 32-bit float WAV or 24-bit FLAC by its name, that appears when it is complete.

    Args:
        path: The file to write.
        sample_rate: In Hz.
        channels: 1 or more.

    Raises:
        AudioFileError: The file cannot be created.
    """

    def __init__(self, path: Path, sample_rate: int, channels: int) -> None:
        kind = FORMATS["flac" if sound_format(path) == "FLAC" else "wav32"]
        super().__init__(path, SoundShape(sample_rate, channels), kind)


def quantised(samples: Array, subtype: str) -> npt.NDArray[Any]:
    """Floats of full scale 1.0 as the integers that libsndfile takes for a sample format.

    libsndfile itself scales by one step less than it reads with, so that loud samples would change.
    """
    scale = FULL_SCALE[subtype]
    whole = np.clip(np.rint(samples.astype(np.float64) * scale), -scale, scale - 1)
    if subtype == "PCM_16":
        return whole.astype(np.int16)
    return np.left_shift(whole.astype(np.int32), 8) if subtype == "PCM_24" else whole.astype(np.int32)


def size_in_words(size: float) -> str:
    """A number of bytes as people read it: 4 kB, 3.4 MB, 12 GB."""
    unit = "kB"
    size /= 1000
    for larger in ("MB", "GB", "TB"):
        if size < 999.5:
            break
        size, unit = size / 1000, larger
    return f"{size:.1f} {unit}" if unit != "kB" and size < 9.95 else f"{size:.0f} {unit}"


def said(path: Path) -> str:
    """What sentences call an output."""
    return "the output" if path == STANDARD else str(path)


def resampled(resampler: soxr.ResampleStream, x: Array, last: bool) -> Array:
    """[C, n] through a soxr stream, which wants [n, C], and for one channel too."""
    return np.atleast_2d(resampler.resample_chunk(np.ascontiguousarray(x.T), last=last).T)


def allow_downgrade(file: soundfile.SoundFile) -> None:
    """Let libsndfile turn an RF64 file of less than 4 GB into a plain WAV file on close."""
    with contextlib.suppress(AttributeError, TypeError):
        soundfile._snd.sf_command(file._file, RF64_DOWNGRADE, soundfile._ffi.NULL, 1)


def write_error(path: Path, error: BaseException) -> str:
    """Why a file could not be written, in few words."""
    if isinstance(error, OSError) and error.errno != errno.ENOENT and error.strerror:
        hint = "; use fewer --jobs" if error.errno in (errno.EMFILE, errno.ENFILE) else ""
        return reason(error) + hint
    if not path.parent.is_dir():
        return f"there is no folder {path.parent}"
    return reason(error)
