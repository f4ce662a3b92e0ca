"""Whether this machine computes a hop in the time that it lasts, known before the audio begins."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from marssep_rt.errors import UsageError

HOP_SHARE = (
    0.8  # of a hop's duration that the model may take: callback, mixer and other programs need the rest
)


def check_capacity(took: Sequence[float], lasts: float, sounds: int) -> str:
    """Compare the times of some hops with the time that a hop lasts.

    Args:
        took: Seconds of each hop.
        lasts: Seconds that a hop lasts.
        sounds: How many masks are computed at once.

    Returns:
        A warning where it is close; else nothing.

    Raises:
        UsageError: Not even the fastest hop was done in time.
    """
    least, usual = float(np.min(took)), float(np.median(took))
    what = "one sound takes" if sounds == 1 else f"{sounds} sounds at once take"
    fit = int(HOP_SHARE * lasts / least * sounds)
    fewer = (
        f"name fewer (about {fit} would do), " if 0 < fit < sounds else "name fewer, " if sounds > 1 else ""
    )
    if least > lasts:
        raise UsageError(
            f"{what} {1e3 * least:.0f} ms on this machine, and a hop lasts {1e3 * lasts:.0f} ms; "
            f"{fewer}close other programs, or use marssep file, which has no deadline"
        )
    if usual > HOP_SHARE * lasts:
        return (
            f"{what} {1e3 * usual:.0f} ms on this machine now, and a hop lasts {1e3 * lasts:.0f} ms: "
            f"expect drop-outs; {fewer}close other programs"
        )
    return ""
