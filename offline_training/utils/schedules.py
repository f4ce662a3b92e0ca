"""Learning rates over a run, as factors of the highest one."""

from __future__ import annotations

import math


def rise(step: int, warmup: int) -> float:
    """A line from zero to 1 in ``warmup`` steps; the first step already learns."""
    return min(1.0, (step + 1) / max(1, warmup))


def trapezoid(step: int, steps: int, warmup: int, decay: float) -> float:
    """Rise, a constant part, and a line down to zero over the last ``decay`` of ``steps``.

    A run can be prolonged from its constant part, and finished whenever the time is up.
    """
    down = min(1.0, (steps - step) / max(1, decay))
    return rise(step, warmup) * max(0.0, down)


def half_cosine(step: int, steps: int, warmup: int) -> float:
    """Rise, and half a cosine from 1 to zero over ``steps``."""
    return rise(step, warmup) * 0.5 * (1 + math.cos(math.pi * step / steps))
