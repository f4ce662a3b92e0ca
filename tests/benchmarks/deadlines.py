"""Deadlines of the live engine beside a load that competes for the processor, paced: the model beside an
identity model.

    python tests/benchmarks/deadlines.py [--minutes 10] [--load 2] [--ordinary]

One hop every 10 ms, as a device of 480 samples would bring them, through the engine's own worker thread;
``--load`` processes that never rest run beside it at normal priority. A hop is missed when it takes longer
than it lasts; the engine's underruns are what one would hear. ``--ordinary``: as where the system grants no
real-time priority.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))
import marssep_rt.live.devices.demo
import marssep_rt.live.realtime.worker
from marssep_rt.dsp.mixer import Controls
from marssep_rt.dsp.stream_processor import StreamProcessor
from marssep_rt.live.devices.demo import PacedDevice
from marssep_rt.live.realtime.audio_bridge import EngineConfig
from marssep_rt.live.realtime.engine import Engine
from marssep_rt.live.run import with_slack
from marssep_rt.model import bundle as bundles
from marssep_rt.model.providers import open_graph
from marssep_rt.query.build import embed_text
from signals import RATE, mixture


class Identity(StreamProcessor):
    """Everything of the engine but the model."""

    def process(self, hop_in: np.ndarray) -> np.ndarray:
        np.copyto(self.out, hop_in)
        return self.out


def run(kind: type[StreamProcessor], minutes: float, load: int) -> Engine:
    session, used = open_graph(bundles.load(None), "cpu")
    hops = kind(session, used, 1, embed_text("rain"), Controls())
    engine = Engine(hops, with_slack(hops, EngineConfig(RATE, 480, 1, 1)))
    engine.warm_up()
    burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(load)]
    try:
        device = PacedDevice(
            engine, np.tile(mixture(60 * RATE), max(1, round(minutes)))[: round(60 * minutes * RATE), None]
        )
        engine.start()
        device.start()
        while not device.finished:
            time.sleep(0.5)
        engine.stop()
    finally:
        for burner in burners:
            burner.kill()
    return engine


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--minutes", type=float, default=10.0)
    options.add_argument("--load", type=int, default=2)
    options.add_argument("--ordinary", action="store_true")
    given = options.parse_args()
    if given.ordinary:
        marssep_rt.live.realtime.worker.set_realtime_priority = lambda: False
        marssep_rt.live.devices.demo.set_realtime_priority = lambda: False
    for name, kind in (("model", StreamProcessor), ("identity", Identity)):
        engine = run(kind, given.minutes, given.load)
        t = engine.stats
        s = t.hop_times.summary()
        slack = engine.latency_ms()["slack"]
        priority = "real-time" if t.real_time else "ordinary"
        print(
            f"{name}: {given.minutes:g} minutes beside {given.load} busy processes, {priority} priority, "
            f"slack {slack:.0f} ms: p50 {s['p50']:.2f} ms, p99 {s['p99']:.2f}, p99.9 {s['p999']:.2f}, "
            f"worst {s['worst']:.2f}; {t.misses} of {t.hops} hops missed, {t.underruns} underruns"
        )


if __name__ == "__main__":
    main()
