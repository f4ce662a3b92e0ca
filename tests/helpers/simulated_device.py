"""A simulated audio device: deterministic, with jitter, stalls, a slow model and an unplugged cable.

It calls an Engine's ``callback`` and ``work`` as real devices and threads do, on a simulated clock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from marssep_rt.live.engine import Engine

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Conditions:
    """What happens to a run.

    Attributes:
        jitter: Callbacks come up to so many seconds late, never out of order.
        compute: Seconds that hop i takes.
        stalls: (start, length) in seconds during which the worker does not run.
        unplug: The second at which callbacks stop.
        seed: Of the jitter.
    """

    jitter: float = 0.0
    compute: Callable[[int], float] = lambda hop: 0.001
    stalls: tuple[tuple[float, float], ...] = ()
    unplug: float | None = None
    seed: int = 0


def simulate(engine: Engine, signal: Array, conditions: Conditions | None = None) -> Array:
    """Play a signal through the engine, in whole blocks.

    Args:
        engine: The engine.
        signal: float32 [samples, input channels].
        conditions: What happens meanwhile; None is nothing.

    Returns:
        What the device played, [samples, output channels]. It begins with the engine's latency as silence and
        is shorter if the device was unplugged.
    """
    conditions = conditions or Conditions()
    rng = np.random.default_rng(conditions.seed)
    block, rate = engine.config.blocksize, engine.config.device_rate
    played: list[Array] = []
    free_at = 0.0  # when the worker is done with its last hop
    busy_until: float | None = None  # when the hop that it works on will be done
    now = 0.0
    hop = 0
    for k in range(len(signal) // block):
        previous = now
        now = max(
            previous, k * block / rate + (rng.uniform(0.0, conditions.jitter) if conditions.jitter else 0.0)
        )
        if conditions.unplug is not None and now >= conditions.unplug:
            break
        while True:
            if busy_until is None:
                if not engine.ready():
                    break
                start = max(free_at, previous)
                for stall, length in conditions.stalls:
                    if stall <= start < stall + length:
                        start = stall + length
                busy_until = start + conditions.compute(hop)
            if busy_until > now:
                break
            free_at, busy_until = busy_until, None
            if engine.work(most=1) == 0:
                break
            hop += 1
        out = np.zeros((block, engine.config.output_channels), np.float32)
        engine.callback(signal[k * block : (k + 1) * block], out)
        played.append(out)
    if not played:
        return np.zeros((0, engine.config.output_channels), np.float32)
    return np.concatenate(played)
