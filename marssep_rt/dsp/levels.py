"""Peak levels in decibels."""

from __future__ import annotations

import math

FLOOR_DB = -60.0


def decibels(peak: float) -> float:
    """A peak (full scale 1.0) in dBFS, at least FLOOR_DB."""
    return max(FLOOR_DB, 20 * math.log10(max(peak, 1e-9)))
