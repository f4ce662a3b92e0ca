"""Whole audio files, mono at any sample rate, as the field's evaluations load them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from offline_training.data.corpus import CorpusError


def read_mono(path: Path, rate: int) -> npt.NDArray[np.float32]:
    """Read a whole file as float32 [samples], the mean of its channels, resampled by SoX's "HQ".

    Raises:
        CorpusError: It cannot be decoded, holds no sound, or samples that are no numbers.
    """
    try:
        audio, own_rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as e:
        raise CorpusError(f"cannot decode {path}: {e}") from e
    mono = np.asarray(audio.mean(axis=1), np.float32)
    if own_rate != rate:
        mono = np.asarray(soxr.resample(mono, own_rate, rate, "HQ"), np.float32)
    if not len(mono):
        raise CorpusError(f"{path} holds no sound")
    if not np.isfinite(mono).all():
        raise CorpusError(f"{path} holds samples that are no numbers")
    return mono
