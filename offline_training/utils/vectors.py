"""Unit vectors in numpy; ``models.vectors`` has them in torch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def unit(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Vectors along the last axis at length one, float32; zeros stay zeros."""
    return np.asarray(x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-9), np.float32)
