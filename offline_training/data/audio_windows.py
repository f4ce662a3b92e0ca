"""The windows in which a recording is heard as a query."""

from __future__ import annotations

import numpy as np

from marssep_rt.errors import SoundError
from marssep_rt.query.audio_input import loud, starts, windows_of
from offline_training.data.corpus import SAMPLE_RATE


def windows(audio: np.ndarray) -> list[np.ndarray]:
    """A signal at 48 kHz as an audio query is heard: windows of up to 4 s that are not far below the loudest;
    silence gives one of it.
    """
    length = 4 * SAMPLE_RATE
    pieces = windows_of([audio[at : at + length] for at in starts(len(audio), length)], SAMPLE_RATE)
    try:
        return loud(pieces, "audio")
    except SoundError:
        return pieces[:1]
