"""Audio files for reading: opened and checked, with errors in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import soundfile

from marssep_rt.audio_io import caf, chained, ffmpeg, mp3_frames, riff
from marssep_rt.audio_io.source import AudioSource, SoundfileSource
from marssep_rt.audio_io.spliced import Layout, Part
from marssep_rt.audio_io.streams import is_stream, spooled
from marssep_rt.errors import AudioFileError

# names of files that libsndfile reads
SUFFIXES = frozenset(
    {
        ".wav",
        ".wave",
        ".bwf",
        ".rf64",
        ".bw64",
        ".w64",
        ".flac",
        ".ogg",
        ".oga",
        ".opus",
        ".mp3",
        ".aif",
        ".aiff",
        ".aifc",
        ".au",
        ".snd",
        ".caf",
    }
)
MIN_RATE, MAX_RATE = 8_000, 192_000
EXAMINERS = (riff.examine, caf.examine, chained.examine_ogg, chained.examine_flac, mp3_frames.examine)


def readable_suffixes() -> frozenset[str]:
    """The suffixes of files that can be read here, through ffmpeg where it is installed."""
    return SUFFIXES | (ffmpeg.SUFFIXES if ffmpeg.is_installed() else frozenset())


def open_source(
    path: Path, waiting: Callable[[], None] = lambda: None, any_rate: bool = False
) -> AudioSource:
    """Open a sound file, ``-`` for standard input, or a pipe.

    Args:
        path: What libsndfile reads, and what ffmpeg reads where it is installed.
        waiting: Called now and then while a stream has nothing to read; what it raises ends the wait.
        any_rate: Whether sample rates are taken that the separator cannot work at.

    Returns:
        The open sound; its ``notes`` say what was lost.

    Raises:
        AudioFileError: It cannot be read; the message says why, and what to do.
    """
    if not is_stream(path):
        return _checked(path, _opened(path, path), any_rate)
    copy = spooled(path, waiting)
    try:
        source = _checked(path, _opened(copy, path), any_rate)
    except BaseException:
        copy.unlink()
        raise
    source.temporary = copy
    return source


def layout_of(path: Path) -> Layout:
    """Where the sound lies in a file, its header mended. Raises OSError."""
    with open(path, "rb") as file:
        size = riff.file_size(file)
        for examine in EXAMINERS:
            if (layout := examine(file, size)) is not None:
                return layout
    return Layout([Part(0, size)])


def _opened(path: Path, name: Path) -> AudioSource:
    """Open by libsndfile, else by ffmpeg; ``name`` is what messages call the file."""
    try:
        if not path.exists():
            raise AudioFileError(f"{name}: no such file")
        if path.is_dir():
            raise AudioFileError(f"{name}: is a folder")
        if path.stat().st_size == 0:
            raise AudioFileError(f"{name}: the file is empty")
        return SoundfileSource(path, layout_of(path))
    except OSError as e:
        raise AudioFileError(f"{name}: cannot be read ({reason(e)})") from e
    except (soundfile.LibsndfileError, TypeError) as e:
        why = reason(e)
    try:
        return _opened_by_ffmpeg(path, name, why)
    except OSError as e:
        raise AudioFileError(f"{name}: cannot be read ({reason(e)})") from e


def _opened_by_ffmpeg(path: Path, name: Path, why: str) -> AudioSource:
    expected = name.suffix.lower() in ffmpeg.SUFFIXES
    if not ffmpeg.is_installed():
        if expected:
            raise AudioFileError(
                f"{name}: {name.suffix.lower()} files are read through ffmpeg, which is not installed; "
                f"{ffmpeg.INSTALL}"
            )
        raise AudioFileError(f"{name}: not a sound file that can be read ({why})")
    found = ffmpeg.probe(path)
    if found is not None and found.sound is not None:
        return ffmpeg.FfmpegSource(path, found)
    if expected and found is not None:
        raise AudioFileError(f"{name}: holds no sound")
    raise AudioFileError(f"{name}: not a sound file that can be read ({why})")


def _checked(path: Path, source: AudioSource, any_rate: bool) -> AudioSource:
    """The same source; raises AudioFileError where the model cannot take it."""
    problem = ""
    if not any_rate and not MIN_RATE <= source.samplerate <= MAX_RATE:
        problem = f"a sample rate of {source.samplerate} Hz; 8 to 192 kHz work"
    elif source.frames == 0:
        problem = "holds no samples"
    if problem:
        source.close()
        raise AudioFileError(f"{path}: {problem}")
    return source


def damaged(path: Path, source: AudioSource, error: BaseException) -> AudioFileError:
    """What to say of a file that cannot be read to its end."""
    after = source.position / source.samplerate
    return AudioFileError(f"{path}: damaged after {after:.1f} s ({reason(error)})")


def reason(error: BaseException) -> str:
    """A library's error in few words."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    text = getattr(error, "error_string", "") or str(error)
    return str(text).strip().rstrip(".").removeprefix("Error : ").lower()
