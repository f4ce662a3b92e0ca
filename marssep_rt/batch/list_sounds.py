"""``marssep file --list-sounds``: what can be heard in a file, without separating it."""

from __future__ import annotations

from pathlib import Path

from marssep_rt.audio_io.reader import open_source
from marssep_rt.errors import QueryError
from marssep_rt.model.bundle import Bundle
from marssep_rt.query.audible import WINDOW_SECONDS, AudibleSound, audible_sounds
from marssep_rt.query.encoders import audio_encoder
from marssep_rt.query.source_windows import source_windows
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
    with open_source(path) as source:
        windows = source_windows(source, encoder.sample_rate, WINDOW_SECONDS)
        return audible_sounds(windows, encoder.sample_rate, encoder, known)
