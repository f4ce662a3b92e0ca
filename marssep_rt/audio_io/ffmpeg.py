"""The ffmpeg program, where it is installed: it reads what libsndfile does not, AAC, WMA, videos."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from marssep_rt.arrays import Array
from marssep_rt.audio_io.metadata import TAGS, Metadata
from marssep_rt.audio_io.source import AudioSource
from marssep_rt.errors import AudioFileError

INSTALL = (
    "install it (apt install ffmpeg, brew install ffmpeg, winget install ffmpeg) or convert the file to WAV"
)
SOUND_SUFFIXES = frozenset(
    {
        ".m4a",
        ".m4b",
        ".aac",
        ".adts",
        ".wma",
        ".mka",
        ".weba",
        ".amr",
        ".awb",
        ".3ga",
        ".ac3",
        ".eac3",
        ".dts",
        ".ape",
        ".wv",
        ".tta",
        ".mpc",
        ".alac",
        ".ra",
        ".mp2",
        ".spx",
    }
)
VIDEO_SUFFIXES = frozenset(
    {
        ".mp4",
        ".m4v",
        ".mov",
        ".mkv",
        ".webm",
        ".avi",
        ".wmv",
        ".asf",
        ".mpg",
        ".mpeg",
        ".mts",
        ".m2ts",
        ".flv",
        ".3gp",
        ".3g2",
        ".ogv",
        ".vob",
        ".mxf",
    }
)
SUFFIXES = SOUND_SUFFIXES | VIDEO_SUFFIXES
LOSSLESS = {"alac", "flac", "ape", "wavpack", "tta"}
CUT_SECONDS = 0.5  # containers give lengths of video frames and rounded ones
PROBE_SECONDS = 60


def is_installed() -> bool:
    """Whether ffmpeg and ffprobe can be started."""
    return shutil.which("ffmpeg") is not None and shutil.which("ffprobe") is not None


def address(path: Path) -> str:
    """A path as ffmpeg takes it: a colon or a dash in a name means something else to it."""
    return f"file:{path}"


@dataclass(frozen=True)
class Probe:
    """What ffprobe says of a file.

    Attributes:
        sound: The stream that is read, as ffprobe describes it; None where a file holds no sound.
        sounds: The number of sound tracks.
        has_picture: Whether it holds moving pictures, and not a cover alone.
        seconds: The length of the sound by the container, or None.
        offset: Seconds by which the sound begins after the file does.
        tags: Title, artist and so on, by the names of ``metadata.TAGS``.
    """

    sound: dict[str, Any] | None
    sounds: int
    has_picture: bool
    seconds: float | None
    offset: float
    tags: dict[str, str]


def probe(path: Path) -> Probe | None:
    """Ask ffprobe; None where it does not know the format. Raises OSError where it cannot be started."""
    command = ["ffprobe", "-v", "error", "-show_streams", "-show_format", "-of", "json", address(path)]
    try:
        done = subprocess.run(
            command, capture_output=True, stdin=subprocess.DEVNULL, timeout=PROBE_SECONDS, check=False
        )
        found = json.loads(done.stdout or b"{}") if done.returncode == 0 else {}
    except (ValueError, subprocess.TimeoutExpired):
        found = {}
    if not found.get("streams"):
        return None
    streams, container = found["streams"], found.get("format", {})
    sounds = [s for s in streams if s.get("codec_type") == "audio" and s.get("channels")]
    first = next(
        (s for s in sounds if s.get("disposition", {}).get("default")), sounds[0] if sounds else None
    )
    pictures = [
        s
        for s in streams
        if s.get("codec_type") == "video" and not s.get("disposition", {}).get("attached_pic")
    ]
    tags = {k.lower(): str(v) for k, v in container.get("tags", {}).items()}
    tags["tracknumber"] = tags.get("track", "")
    begin = _number(container.get("start_time")) or 0.0
    return Probe(
        first,
        len(sounds),
        bool(pictures),
        first and (_number(first.get("duration")) or _number(container.get("duration"))),
        ((first and _number(first.get("start_time"))) or begin) - begin,
        {name: tags[name] for name in TAGS if tags.get(name)},
    )


def _number(text: Any) -> float | None:
    try:
        return float(text)
    except (TypeError, ValueError):
        return None


def subtype_of(stream: dict[str, Any]) -> str:
    """The sample format that keeps everything of a stream."""
    codec = str(stream.get("codec_name", ""))
    if codec not in LOSSLESS and not codec.startswith("pcm_"):
        return "FLOAT"
    if codec.startswith(("pcm_f", "pcm_blu")):
        return "FLOAT"
    bits = int(stream.get("bits_per_raw_sample") or stream.get("bits_per_sample") or 24)
    return "PCM_16" if bits <= 16 else "PCM_24" if bits <= 24 else "PCM_32"


class FfmpegSource(AudioSource):
    """The sound of a file as ffmpeg decodes it.

    Args:
        path: The file.
        found: What ffprobe says of it; it has a sound track.

    Raises:
        OSError: ffmpeg cannot be started.
    """

    def __init__(self, path: Path, found: Probe) -> None:
        assert found.sound is not None
        self.path, self.position, self.notes = path, 0, []
        self.samplerate, self.channels = int(found.sound["sample_rate"]), int(found.sound["channels"])
        self.subtype, self.metadata = subtype_of(found.sound), Metadata(found.tags)
        self.frames, self.seconds = None, found.seconds
        if found.sounds > 1:
            self.notes.append(f"it has {found.sounds} sound tracks; only the default one is read")
        self.said = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        command = [
            "ffmpeg",
            "-nostdin",
            "-v",
            "error",
            "-i",
            address(path),
            "-map",
            f"0:{found.sound['index']}",
        ]
        command += ["-ar", str(self.samplerate), "-ac", str(self.channels), "-f", "f32le", "pipe:1"]
        try:
            self.process = start(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.said)
        except BaseException:
            self.said.close()
            raise

    def read(self, frames: int) -> Array:
        """See ``AudioSource.read``."""
        assert self.process.stdout is not None
        width = 4 * self.channels
        data = self.process.stdout.read(frames * width)
        block = np.frombuffer(data[: len(data) // width * width], "<f4").reshape(-1, self.channels).copy()
        self.position += len(block)
        if len(block) < frames:
            self._end()
        return block

    def _end(self) -> None:
        """At the end: raise or note what went wrong."""
        seconds = self.position / self.samplerate
        if self.process.wait() != 0:
            raise AudioFileError(f"{self.path}: damaged after {seconds:.1f} s ({said_last(self.said)})")
        if self.seconds is not None and self.seconds - seconds > max(CUT_SECONDS, 0.005 * self.seconds):
            self.notes.append(
                f"the file is cut off: its sound ends after {seconds:.1f} of {self.seconds:.1f} s"
            )
        elif complaint := said_last(self.said, ""):
            self.notes.append(f"some of it may be damaged (ffmpeg: {complaint})")

    def close(self) -> None:
        """See ``AudioSource.close``."""
        stop(self.process)
        self.said.close()


def start(command: list[str], **streams: Any) -> subprocess.Popen[bytes]:
    """Start ffmpeg, out of reach of the terminal's Ctrl-C, which is ours to answer. Raises OSError."""
    return subprocess.Popen(command, process_group=0 if os.name == "posix" else None, **streams)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End ffmpeg if it still runs."""
    if process.poll() is None:
        process.kill()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            try:
                stream.close()
            except OSError:
                continue  # what was still buffered has nobody to read it
    process.wait()


def said_last(messages: Any, otherwise: str = "ffmpeg says no reason") -> str:
    """The last line that ffmpeg wrote."""
    messages.seek(0)
    lines = messages.read().decode(errors="replace").strip().splitlines()
    return lines[-1].strip().rstrip(".") if lines else otherwise
