"""A recording as a query: any sound file -> the stretches that an audio encoder listens to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from marssep_rt.arrays import Array
from marssep_rt.errors import AudioFileError, SoundError

if TYPE_CHECKING:
    from marssep_rt.audio_io.source import AudioSource

WINDOW_SECONDS = 4
LEAST_SECONDS = 1  # shorter sounds are followed by silence up to here
MOST_WINDOWS = 16
SILENCE_DBFS = -80.0
QUIET_DB = 30.0  # windows so far below the loudest say nothing about the sound


def read_windows(path: Path | str, rate: int = 48_000, hop: int = 480) -> list[Array]:
    """Read equally long windows of an audio file.

    A long file is not read completely if it tells its length: its windows are spread over it.

    Args:
        path: What ``audio_io.reader.open_source`` reads, of any length, sample rate and channel count.
        rate: Sample rate of the windows in Hz.
        hop: The windows' length is a multiple of it.

    Returns:
        Mono windows, float32 [T], between 1 and 4 s long.

    Raises:
        SoundError: The file is missing, empty, damaged, not an audio file, or silent (nowhere above -80
            dBFS).
    """
    import soundfile  # not before a recording is asked for: it takes longer to import than a query to embed

    from marssep_rt.audio_io.reader import damaged, open_source

    path = Path(path)
    try:
        with open_source(path, any_rate=True) as source:
            try:
                pieces = [mono(piece) for piece in _pieces(source, WINDOW_SECONDS * source.samplerate)]
            except (soundfile.LibsndfileError, OSError) as e:
                raise damaged(path, source, e) from e
            if not pieces:
                raise SoundError(f"{path}: holds no sound")
            return loud(windows_of(pieces, source.samplerate, rate, hop), str(path))
    except AudioFileError as e:
        raise SoundError(str(e)) from e


def _pieces(source: AudioSource, length: int) -> list[Array]:
    """Equally long stretches of a sound, float32 [n, C], MOST_WINDOWS at most, n <= ``length``."""
    if source.frames is None or source.frames <= MOST_WINDOWS * length:
        return _pieces_of_all(source, length)
    pieces = []
    for start in starts(source.frames, length):
        source.skip(start - source.position)
        pieces.append(source.read(length))
    return [piece for piece in pieces if len(piece) == length] or pieces[:1]  # a file that was cut off


def _pieces_of_all(source: AudioSource, length: int) -> list[Array]:
    """The same of a sound that is read to its end, because it is short or does not tell its length.

    Memory stays bounded: of a longer sound every second, fourth, ... stretch is kept.
    """
    kept: list[Array] = []
    step = number = 1
    while len(block := source.read(length)):
        if number % step == 0:
            kept.append(block)
        if len(kept) > 2 * MOST_WINDOWS:
            kept, step = kept[1::2], 2 * step
        number += 1
    if kept and step == 1:
        whole = np.concatenate(kept)
        return [whole[start : start + length] for start in starts(len(whole), length)]
    full = [block for block in kept if len(block) == length]
    return [full[int(i)] for i in np.linspace(0, len(full) - 1, min(MOST_WINDOWS, len(full)))]


def starts(frames: int, length: int) -> list[int]:
    """The first frames of windows of ``length``: evenly spread, as few as cover all, at most MOST_WINDOWS."""
    count = min(MOST_WINDOWS, -(-frames // length))
    return [0] if count <= 1 else [int(x) for x in np.linspace(0, frames - length, count)]


def mono(audio: Array) -> Array:
    """[frames, channels] -> [frames]: the mean, or the loudest channel if channels cancel each other.

    Samples that are not finite become silence.
    """
    audio = np.nan_to_num(audio, nan=0.0, posinf=0.0, neginf=0.0)
    mean: Array = audio.mean(axis=1, dtype=np.float32)
    power = np.mean(np.square(audio, dtype=np.float64), axis=0)
    if len(power) > 1 and float(np.mean(np.square(mean, dtype=np.float64))) < 0.05 * float(power.max()):
        return np.ascontiguousarray(audio[:, int(power.argmax())])
    return mean


def windows_of(pieces: list[Array], file_rate: int, rate: int = 48_000, hop: int = 480) -> list[Array]:
    """Equally long mono pieces at ``rate``, padded with silence to whole hops and to at least one second."""
    import soxr

    result = []
    for piece in pieces:
        audio = (
            np.asarray(soxr.resample(piece, file_rate, rate, "HQ"), np.float32)
            if rate != file_rate and len(piece)
            else piece
        )
        audio = audio[: WINDOW_SECONDS * rate]
        size = max(LEAST_SECONDS * rate, -(-len(audio) // hop) * hop)
        result.append(np.pad(audio, (0, size - len(audio))))
    return result


def loud(windows: list[Array], name: str) -> list[Array]:
    """The windows that are not far below the loudest; raises SoundError when all of them are silent."""
    level = np.array([10 * np.log10(float(np.mean(np.square(w, dtype=np.float64))) + 1e-20) for w in windows])
    if level.max() < SILENCE_DBFS:
        raise SoundError(f"{name} is silent; give a recording in which the sound can be heard")
    return [w for w, db in zip(windows, level, strict=True) if db > level.max() - QUIET_DB]
