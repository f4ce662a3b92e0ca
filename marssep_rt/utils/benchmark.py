"""Work that comes at a steady pace, and how long each piece took: real-time figures come from here."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Times = npt.NDArray[np.float64]


def paced(work: Callable[[], object], period: float, seconds: float) -> Times:
    """Call ``work`` every ``period`` seconds for ``seconds``; how long each call took, in ms.

    Waiting between calls matters: caches cool and the processor dozes, as they do beside a sound device. A
    call that comes late is followed at once by the next.
    """
    took = np.empty(max(1, round(seconds / period)))
    began = time.perf_counter()
    for i in range(len(took)):
        before = time.perf_counter()
        work()
        took[i] = 1e3 * (time.perf_counter() - before)
        time.sleep(max(0.0, began + (i + 1) * period - time.perf_counter()))
    return took


def quantiles(took: Times) -> dict[str, float]:
    """p50, p99, p99.9 and worst, in ms."""
    values = np.percentile(took, [50, 99, 99.9, 100])
    return {name: round(float(v), 4) for name, v in zip(("p50", "p99", "p999", "worst"), values, strict=True)}
