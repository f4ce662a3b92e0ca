"""Whether this machine computes a hop in the time that it lasts, known before the audio begins."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from marssep_rt.contract import LATENCY
from marssep_rt.errors import UsageError

HOP_SHARE = LATENCY.hop_share


class HopSeconds(NamedTuple):
    """How long hops took.

    Attributes:
        took: Seconds of each hop, waiting for other programs included.
        computed: Seconds of the processor for a hop, on average.
    """

    took: list[float]
    computed: float


def check_capacity(hops: HopSeconds, lasts: float, sounds: int) -> str:
    """Compare the times of some hops with the time that a hop lasts.

    Args:
        hops: The times.
        lasts: Seconds that a hop lasts.
        sounds: How many masks are computed at once.

    Returns:
        A warning where it is close; else nothing.

    Raises:
        UsageError: The processor needs more time than a hop lasts, whatever else runs.
    """
    usual = float(np.median(hops.took))
    if max(hops.computed, usual / HOP_SHARE) <= lasts:
        return ""
    what = "one sound takes" if sounds == 1 else f"{sounds} sounds at once take"
    fewer = "name fewer, " if sounds > 1 else ""
    if hops.computed > lasts:
        fit = max(1, int(HOP_SHARE * lasts / hops.computed * sounds))
        fewer = f"name fewer (about {fit} would do), or " if fewer else ""
        raise UsageError(
            f"{what} {1e3 * hops.computed:.0f} ms on this machine, and a hop lasts {1e3 * lasts:.0f} ms; "
            f"{fewer}use marssep file, which has no deadline"
        )
    return (
        f"{what} {1e3 * usual:.0f} ms on this machine now, and a hop lasts {1e3 * lasts:.0f} ms: "
        f"expect drop-outs; {fewer}close other programs"
    )
