"""A whole recording at once: ``separate``."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import soxr

from marssep_rt.arrays import Array
from marssep_rt.audio_io.reader import open_source
from marssep_rt.errors import AudioFileError, UsageError
from marssep_rt.separator import Separator
from marssep_rt.utils.audio_arrays import as_audio

BLOCK = 1 << 20  # frames that are read at once


class Separated(NamedTuple):
    """What ``separate`` returns.

    Attributes:
        audio: float32 in the shape of the input, aligned with it.
        sample_rate: In Hz, that of the input.
    """

    audio: Array
    sample_rate: int


def separate(
    source: str | Path | npt.ArrayLike, query: Any = None, *, sample_rate: int | None = None, **settings: Any
) -> Separated:
    """Separate a whole recording at once.

    >>> target, rate = separate("meeting.wav", query="dog barking")
    >>> target, rate = separate(x, query="dog barking", sample_rate=44100)

    Args:
        source: An audio file, or an array [n] or [C, n] of one or two channels.
        query: As for ``Separator``.
        sample_rate: Of an array, in Hz; None is the model's. A file brings its own.
        settings: All other arguments of ``Separator``.

    Returns:
        The output in the shape of the input, aligned with it, and its sample rate.

    Raises:
        UsageError: An argument cannot be used.
        AudioFileError: The file cannot be read.
    """
    if isinstance(source, (str, Path)):
        if sample_rate is not None:
            raise UsageError("sample_rate belongs to an array; a file brings its own")
        audio, sample_rate = _read(Path(source))
    else:
        audio = as_audio(source)
    separator = Separator(query, **settings)
    rate = separator.sample_rate if sample_rate is None else int(sample_rate)
    if not 8_000 <= rate <= 192_000:
        raise UsageError(f"sample_rate is {rate} Hz; rates from 8000 to 192000 Hz work")
    if rate == separator.sample_rate:
        return Separated(_whole(separator, audio), rate)
    there = soxr.resample(np.ascontiguousarray(audio.T), rate, separator.sample_rate, "HQ").T
    back = soxr.resample(_whole(separator, there).T, separator.sample_rate, rate, "HQ").T
    n = audio.shape[-1]
    missing = max(0, n - back.shape[-1])
    padded = np.pad(back, [(0, 0)] * (back.ndim - 1) + [(0, missing)])
    return Separated(np.ascontiguousarray(padded[..., :n], np.float32), rate)


def _whole(separator: Separator, audio: Array) -> Array:
    """Everything through a separator, its latency taken off."""
    audio = np.ascontiguousarray(audio, np.float32)
    out = np.concatenate([separator.process(audio), separator.flush()], axis=-1)
    return np.ascontiguousarray(out[..., separator.latency : separator.latency + audio.shape[-1]])


def _read(path: Path) -> tuple[Array, int]:
    """A whole audio file, [n] or [2, n]; what was lost is a UserWarning. Raises AudioFileError."""
    with open_source(path) as source:
        if source.channels > 2:
            raise AudioFileError(
                f"{path}: {source.channels} channels; mono and stereo work here, marssep file takes more"
            )
        blocks = [source.read(BLOCK)]
        while len(blocks[-1]) == BLOCK:
            blocks.append(source.read(BLOCK))
        for note in source.notes:
            warnings.warn(f"{path}: {note}", stacklevel=3)
        audio = np.concatenate(blocks).T
    return (audio[0] if len(audio) == 1 else np.ascontiguousarray(audio)), source.samplerate
