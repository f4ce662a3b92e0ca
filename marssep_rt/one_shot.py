"""A whole recording at once: ``separate``."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import soundfile

from marssep_rt.arrays import Array
from marssep_rt.audio_io.array_source import ArraySource
from marssep_rt.audio_io.reader import damaged, open_source
from marssep_rt.audio_io.source import AudioSource
from marssep_rt.batch.output_stage import OutputStage
from marssep_rt.batch.second_pass import looks_twice
from marssep_rt.batch.separate import (
    HOPS_AT_ONCE,
    Steer,
    narrowed_to,
    no_steering,
    reading,
    second_pass,
    separate_source,
)
from marssep_rt.errors import AudioFileError, UsageError
from marssep_rt.query.encoders import audio_encoder_of
from marssep_rt.separator import Separator, checked_rate
from marssep_rt.utils.arguments import named_arguments
from marssep_rt.utils.audio_arrays import as_audio


class Separated(NamedTuple):
    """What ``separate`` returns.

    Attributes:
        audio: float32 in the shape of the input, aligned with it.
        sample_rate: In Hz, that of the input.
    """

    audio: Array
    sample_rate: int


@named_arguments
def separate(
    source: str | Path | npt.ArrayLike,
    query: Any = None,
    *,
    sample_rate: int | None = None,
    second_look: bool = True,
    **settings: Any,
) -> Separated:
    """Separate a whole recording at once.

    >>> target, rate = separate("meeting.wav", query="dog barking")
    >>> target, rate = separate(x, query="dog barking", sample_rate=44100)

    Args:
        source: An audio file, or an array [n] or [C, n] of one or two channels.
        query: As for ``Separator``.
        sample_rate: Of an array, in Hz; None is the model's. A file brings its own.
        second_look: Whether a recording of up to 30 s is separated twice for one sound: the second pass knows
            what the first one gave and left. It takes three to four times as long.
        settings: All other arguments of ``Separator``.

    Returns:
        The output in the shape of the input, aligned with it, and its sample rate. At every rate target and
        residual (``remove=True``) add up to the input.

    Raises:
        UsageError: An argument cannot be used.
        AudioFileError: The file cannot be read.
    """
    if not isinstance(source, (str, Path)):
        audio = as_audio(source)
        separator = Separator(query, **settings)
        rate = separator.sample_rate if sample_rate is None else checked_rate(sample_rate)

        def array() -> AudioSource:
            return ArraySource(np.atleast_2d(audio), rate)

        return Separated(_whole(separator, array(), array, second_look).reshape(audio.shape), rate)
    if sample_rate is not None:
        raise UsageError("sample_rate belongs to an array; a file brings its own")
    path, separator = Path(source), Separator(query, **settings)
    with open_source(path) as file:
        if file.channels > 2:
            raise AudioFileError(
                f"{path}: {file.channels} channels; mono and stereo work here, marssep file takes more"
            )
        try:
            out = _whole(
                separator, file, lambda: reading(path, open_source(file.temporary or path)), second_look
            )
        except (soundfile.LibsndfileError, OSError) as e:
            raise damaged(path, file, e) from e
        for note in file.notes:
            warnings.warn(f"{path}: {note}", stacklevel=2)
        return Separated(out[0] if len(out) == 1 else out, file.samplerate)


class _Collector:
    """Keeps the blocks of an output."""

    def __init__(self) -> None:
        self.blocks: list[Array] = []

    def write(self, x: Array) -> None:
        """Append float32 [C, n]."""
        self.blocks.append(x)


def _whole(
    separator: Separator,
    source: AudioSource,
    again: Callable[[], AbstractContextManager[AudioSource]],
    second_look: bool,
) -> Array:
    """A whole sound [C, n] through a separator's model, as marssep file does it; ``again`` opens it anew."""
    query = separator.query
    looks = second_look and looks_twice(query, source, separator.mixing)
    encoder = audio_encoder_of(separator.bundle) if query.narrowings or looks else None
    if encoder is not None and query.narrowings:
        with again() as first:
            separator.query = query = narrowed_to(query, first, encoder, encoder.sample_rate)
    model = separator.new_processor(source.channels, HOPS_AT_ONCE)
    steer: Steer = no_steering
    if encoder is not None and looks:
        with again() as first:
            steer = second_pass(first, model, query, encoder).steer
    collector = _Collector()
    mixes = [separator.mixing.coefficients()]
    output = OutputStage(model.info.sample_rate, source.samplerate, source.channels, mixes, [collector])
    separate_source(source, model, output, steer=steer)
    return np.ascontiguousarray(np.concatenate(collector.blocks, axis=1), np.float32)
