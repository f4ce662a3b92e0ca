"""``marssep file --list-sounds``: what can be heard in a file, without separating it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soxr

from marssep_rt.arrays import Array
from marssep_rt.audio_io.reader import open_source
from marssep_rt.errors import QueryError
from marssep_rt.model.bundle import Bundle
from marssep_rt.query.audible import WINDOW_SECONDS, AudibleSound, audible_sounds
from marssep_rt.query.encoders import audio_encoder
from marssep_rt.query.vocabulary import Vocabulary


def list_sounds(path: Path, bundle: Bundle) -> list[AudibleSound]:
    """The labels that can be heard in a file of any length.

    Raises:
        QueryError: The bundle has no audio encoder or no vocabulary.
        AudioFileError: The file cannot be read.
    """
    encoder, known = audio_encoder(bundle.path), Vocabulary.of(bundle)
    if known is None:
        raise QueryError(f"the bundle {bundle.name} has no vocabulary; sounds cannot be listed")
    return audible_sounds(_windows(path, encoder.sample_rate), encoder.sample_rate, encoder, known)


def _windows(path: Path, rate: int) -> Iterator[Array]:
    """Mono windows of the file at ``rate``; the last one ends with silence."""
    size = round(WINDOW_SECONDS * rate)
    with open_source(path) as source:
        chunk = round(WINDOW_SECONDS * source.samplerate)
        while len(block := source.read(chunk)):
            mono = np.nan_to_num(block, nan=0.0, posinf=0.0, neginf=0.0).mean(axis=1)
            at_rate = (
                mono if source.samplerate == rate else soxr.resample(mono, source.samplerate, rate, "HQ")
            )
            yield np.pad(at_rate[:size], (0, max(0, size - len(at_rate)))).astype(np.float32)
