"""Arrays of samples as Python users bring them: any sample type, channels first."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from marssep_rt.arrays import Array
from marssep_rt.errors import UsageError

WIDEST = 4  # bytes of an integer sample: wider ones hold those of a narrower type, nobody knows which


def as_audio(x: npt.ArrayLike) -> Array:
    """Any array of samples as float32 with full scale 1.0.

    Args:
        x: [n] or [C, n] with one or two channels. Integers of up to 32 bits are scaled by their type, floats
            are taken as they are.

    Raises:
        UsageError: Something else; the message says what to give.
    """
    try:
        samples = np.asarray(x)
    except (TypeError, ValueError) as e:
        raise UsageError(f"audio must be an array of numbers, not {type(x).__name__}") from e
    if samples.dtype.kind in "iu" and samples.dtype.itemsize > WIDEST:
        raise UsageError(
            f"samples of {samples.dtype} have no full scale; give int16, int32 or floats up to 1.0"
        )
    if samples.dtype.kind in "iu":
        samples = _scaled(samples)
    elif samples.dtype.kind != "f":
        raise UsageError(f"audio must be an array of floats or integers, not of {samples.dtype}")
    if samples.ndim not in (1, 2) or samples.shape[-1] < 1:
        raise UsageError(f"audio must have shape [n] or [C, n] with n >= 1, not {samples.shape}")
    if samples.ndim == 2 and samples.shape[0] > 2:
        hint = "; channels come first, give x.T" if samples.shape[1] <= 2 else "; mono and stereo work"
        raise UsageError(f"audio of shape {samples.shape} has {samples.shape[0]} channels{hint}")
    return np.asarray(samples, np.float32)


def _scaled(samples: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Integer samples with full scale 1.0; unsigned ones have their zero in the middle, as in WAV files."""
    info = np.iinfo(samples.dtype)
    middle = 0.0 if info.min < 0 else (float(info.max) + 1) / 2
    full = float(info.max) + 1 if info.min < 0 else middle
    return np.asarray((samples.astype(np.float64) - middle) / full, np.float32)
