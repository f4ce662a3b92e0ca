"""M4A files and videos: ffmpeg encodes the sound, and copies the picture of the input."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import numpy as np

from marssep_rt.arrays import Array
from marssep_rt.audio_io import ffmpeg
from marssep_rt.audio_io.formats import OutputFormat
from marssep_rt.audio_io.writer import AudioWriter, SoundShape
from marssep_rt.errors import AudioFileError

BIT_RATE = "192k"  # of two channels


class FfmpegWriter(AudioWriter):
    """A sound file, or a video with another sound, that ffmpeg writes.

    Args:
        path: The file to write.
        shape: The sound that comes.
        kind: The format.
        source: The input, whose tags are kept, and whose picture and subtitles are copied into a video.

    Raises:
        AudioFileError: ffmpeg is not installed, or a video was asked for and the input has no picture.
    """

    def __init__(self, path: Path, shape: SoundShape, kind: OutputFormat, source: Path) -> None:
        if not ffmpeg.is_installed():
            raise AudioFileError(
                f"{path}: {kind.name.upper()} is written through ffmpeg, which is not installed; "
                "install it or choose WAV, FLAC, MP3, Ogg or Opus"
            )
        self.source = source
        super().__init__(path, shape, kind)

    def _create(self, shape: SoundShape) -> None:
        self.count, self.found = shape.channels, ffmpeg.probe(self.source)
        if self.kind.has_picture and (self.found is None or not self.found.has_picture):
            raise AudioFileError(
                f"{self.source}: has no picture for a {self.kind.name.upper()} file; choose a sound format"
            )
        command = ["ffmpeg", "-nostdin", "-y", "-v", "error"]
        if self.found is not None:
            command += ["-i", ffmpeg.address(self.source), "-itsoffset", f"{self.found.offset:.6f}"]
        command += ["-f", "f32le", "-ar", str(self.rate), "-ac", str(shape.channels), "-i", "pipe:0"]
        sound = 0 if self.found is None else 1
        if self.kind.has_picture:
            command += ["-map", "0:v", "-c", "copy"]
            if self.source.suffix.lower() == self.path.suffix.lower():  # another container may not hold them
                command += ["-map", "0:s?"]
        command += ["-map", f"{sound}:a", "-c:a", self.kind.subtype, "-b:a", BIT_RATE]
        if self.found is not None:
            command += ["-map_metadata", "0"]
        command += ["-f", self.kind.container, ffmpeg.address(self.destination.part)]
        self.said = tempfile.TemporaryFile()  # noqa: SIM115 - closed in _end()
        try:
            self.process = ffmpeg.start(
                command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self.said
            )
        except BaseException:
            self.said.close()
            raise

    def _put(self, x: Array) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(np.ascontiguousarray(x.T, "<f4").tobytes())
        except BrokenPipeError as e:
            self.process.wait()
            raise OSError(None, ffmpeg.said_last(self.said)) from e

    def _channels(self) -> int:
        return self.count

    def _close(self) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.close()
        except BrokenPipeError as e:
            raise OSError(None, ffmpeg.said_last(self.said)) from e
        if self.process.wait() != 0:
            raise OSError(None, ffmpeg.said_last(self.said))

    def discard(self) -> None:
        """See ``AudioWriter.discard``."""
        ffmpeg.stop(self.process)
        self.said.close()
        self.destination.discard()


def open_writer(path: Path, shape: SoundShape, kind: OutputFormat, source: Path) -> AudioWriter:
    """The writer of a format. Raises AudioFileError."""
    return FfmpegWriter(path, shape, kind, source) if kind.by_ffmpeg else AudioWriter(path, shape, kind)
