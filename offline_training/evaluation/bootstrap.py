"""Bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt


def interval(
    values: npt.NDArray[np.float64], statistic: Callable[..., Any], seed: int = 0, draws: int = 2000
) -> tuple[float, float]:
    """95 % percentile interval of a statistic of independent values."""
    rng = np.random.default_rng(seed)
    samples = values[rng.integers(0, len(values), (draws, len(values)))]
    low, high = np.percentile(statistic(samples, axis=1), [2.5, 97.5])
    return float(low), float(high)
