"""A simulated audio device: deterministic, with jitter, stalls, a slow model and an unplugged cable.

It calls an Engine's ``callback`` and ``work`` as real devices and threads do, on a simulated clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from marssep_rt.live.realtime.engine import Engine

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


def portaudio_cycles(period: int, block: int, samples: int) -> list[tuple[int, ...]]:
    """What PortAudio makes of a host with a fixed period for a client that asked for another block size.

    Args:
        period: Samples that the host brings at a time.
        block: Samples that the client asked for, in every callback.
        samples: The length of the signal.

    Returns:
        The sizes of the callbacks of every cycle of the host; some cycles have none.
    """
    counts = [(k + 1) * period // block - k * period // block for k in range(samples // period)]
    return [(block,) * count for count in counts]


def simulate(engine: Engine, signal: Array, conditions: Conditions | None = None) -> Array:
    """Play a signal through the engine, in whole blocks of the announced size; see ``simulate_cycles``."""
    block = engine.config.blocksize
    return simulate_cycles(engine, signal, [(block,)] * (len(signal) // block), conditions)


def simulate_cycles(
    engine: Engine,
    signal: Array,
    cycles: Iterable[tuple[int, ...]],
    conditions: Conditions | None = None,
) -> Array:
    """Play a signal through the engine.

    Args:
        engine: The engine.
        signal: float32 [samples, input channels].
        cycles: The sizes of the callbacks that come at once, without a moment for the worker between them.
        conditions: What happens meanwhile; None is nothing.

    Returns:
        What the device played, [samples, output channels]. It begins with the engine's latency as silence and
        is shorter if the device was unplugged.
    """
    conditions = conditions or Conditions()
    rng = np.random.default_rng(conditions.seed)
    worker = _SimulatedWorker(engine, conditions)
    played = [np.zeros((0, engine.config.output_channels), np.float32)]
    now, at = 0.0, 0
    for number, cycle in enumerate(cycles):
        previous = now
        late = rng.uniform(0.0, conditions.jitter) if conditions.jitter else 0.0
        now = max(previous, at / engine.config.device_rate + late)
        if conditions.unplug is not None and now >= conditions.unplug:
            break
        worker.run(previous, now)
        for size in cycle:
            out = np.zeros((size, engine.config.output_channels), np.float32)
            engine.callback(signal[at : at + size], out, float(number))
            played.append(out)
            at += size
    return np.concatenate(played)


class _SimulatedWorker:
    """The model's thread on the simulated clock."""

    def __init__(self, engine: Engine, conditions: Conditions) -> None:
        self.engine, self.conditions = engine, conditions
        self.free_at = 0.0  # when the worker is done with its last hop
        self.busy_until: float | None = None  # when the hop that it works on will be done
        self.hop = 0

    def run(self, previous: float, now: float) -> None:
        """Finish the hops that are done between two cycles of the device."""
        while True:
            if self.busy_until is None:
                if not self.engine.ready():
                    return
                start = max(self.free_at, previous)
                for stall, length in self.conditions.stalls:
                    if stall <= start < stall + length:
                        start = stall + length
                self.busy_until = start + self.conditions.compute(self.hop)
            if self.busy_until > now:
                return
            self.free_at, self.busy_until = self.busy_until, None
            if self.engine.work(most=1) == 0:
                return
            self.hop += 1
