"""Counters and times of a live run, for the display and ``--stats``."""

from __future__ import annotations

from typing import Any

import numpy as np

BINS_PER_DECADE = 200
LOWEST_MS = 1e-3


class HopTimes:
    """A histogram of hop times in milliseconds with 1.2 % resolution: bounded memory however long the run."""

    def __init__(self) -> None:
        self.counts = np.zeros(7 * BINS_PER_DECADE, np.int64)
        self.count = 0
        self.worst = 0.0

    def add(self, ms: float) -> None:
        index = int(BINS_PER_DECADE * np.log10(max(ms, LOWEST_MS) / LOWEST_MS))
        self.counts[min(index, len(self.counts) - 1)] += 1
        self.count += 1
        if ms > self.worst:
            self.worst = ms

    def quantile(self, q: float) -> float:
        """Upper edge of the bin that holds the quantile, in ms; 0 before the first hop."""
        if self.count == 0:
            return 0.0
        index = int(np.searchsorted(np.cumsum(self.counts), q * self.count))
        return min(self.worst, LOWEST_MS * 10 ** ((index + 1) / BINS_PER_DECADE))

    def summary(self) -> dict[str, float]:
        """Quantiles in ms, as ``--stats`` writes them."""
        quantiles = {"p50": 0.5, "p99": 0.99, "p999": 0.999}
        return {name: round(self.quantile(q), 4) for name, q in quantiles.items()} | {
            "worst": round(self.worst, 4)
        }


class EngineStats:
    """Counters of one run. Each field has one writer: the callback or the worker."""

    def __init__(self) -> None:
        self.callbacks = 0
        self.underruns = 0
        self.missing_samples = 0
        self.overflows = 0
        self.frames = 0
        self.peak_in = 0.0
        self.peak_out = 0.0
        self.level_in = 0.0
        self.level_out = 0.0
        self.hops = 0
        self.misses = 0
        self.nan_samples = 0
        self.hop_times = HopTimes()
        self.real_time = False  # whether the system runs the worker before ordinary threads

    def count_hop(self, seconds: float, limit: float, peak_in: float, peak_out: float) -> None:
        """Count one hop that took ``seconds`` and has ``limit`` seconds; peaks at full scale 1.0."""
        self.hops += 1
        self.hop_times.add(seconds * 1e3)
        self.misses += seconds > limit
        self.peak_in, self.peak_out = max(self.peak_in, peak_in), max(self.peak_out, peak_out)
        self.level_in, self.level_out = max(peak_in, 0.9 * self.level_in), max(peak_out, 0.9 * self.level_out)

    def counters(self) -> dict[str, Any]:
        """The counting part of the ``--stats`` file."""
        return {
            "hops": self.hops,
            "hop_ms": self.hop_times.summary(),
            "misses": self.misses,
            "real_time_priority": self.real_time,
            "underruns": self.underruns,
            "overflows": self.overflows,
            "nan_samples": self.nan_samples,
            "peak_in": round(float(self.peak_in), 6),
            "peak_out": round(float(self.peak_out), 6),
        }
