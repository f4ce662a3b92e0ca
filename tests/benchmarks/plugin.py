"""The plug-in's engine at real time: microseconds a block on the host's thread, samples that came too late,
memory an instance.

    python tests/benchmarks/plugin.py [--seconds 20]

Paced: one block per block time, as a host does it. Needs what building plug-ins needs.
"""

import argparse
import resource
import sys
from itertools import cycle
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))
from daw_tools import Engine, sound
from export.plugin.build import SPARE_HOPS
from marssep_rt.utils.benchmark import paced


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def blocks(rate: int, block: int, seconds: float) -> tuple[np.ndarray, int]:
    """Microseconds of every block, and the samples that came too late."""
    engine = Engine(rate=rate, block=block, offline=False, spare=SPARE_HOPS)
    x = np.tile(sound(2.0, rate=rate), 2)
    starts = cycle(range(0, x.shape[1] - block, block))

    def one() -> None:
        at = next(starts)
        engine.process(x[:, at : at + block])

    times = 1e3 * paced(one, block / rate, seconds)
    missed = engine("missed")
    engine.close()
    return times, missed


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=20.0)
    seconds = options.parse_args().seconds
    print("microseconds a block, the share of ctypes included")
    print(
        f"{'rate':>6} {'block':>5} {'median':>8} {'p99':>8} {'worst':>8} {'late samples':>13} "
        f"{'of a block time':>16}"
    )
    for rate in (48_000, 44_100):
        for block in (64, 256, 1024):
            times, missed = blocks(rate, block, seconds)
            middle, high, worst = np.median(times), np.percentile(times, 99), times.max()
            print(
                f"{rate:6} {block:5} {middle:8.1f} {high:8.1f} {worst:8.1f} {missed:13} "
                f"{middle / (1e6 * block / rate):16.4f}"
            )
    Engine().close()  # what is shared is loaded
    before = resident_mb()
    engines = [Engine() for _ in range(8)]
    for e in engines:
        e.process(sound(0.05)[:, :512])
    print(f"memory: {(resident_mb() - before) / len(engines):.1f} MB an instance that has a graph of its own")
    for e in engines:
        e.close()


if __name__ == "__main__":
    main()
