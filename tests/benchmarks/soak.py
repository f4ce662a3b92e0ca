"""The live engine for a long time among random faults: no crash, no growth, no drift.

    python tests/benchmarks/soak.py [--minutes 60]          # of simulated time, on the simulated device
    python tests/benchmarks/soak.py --jack [--minutes 10]   # of real time, under JACK's dummy server

Simulated: every minute has its own late callbacks, stalls, hops that take too long, NaN, other queries,
resets, and at times a device that goes; at its end the input is let through unchanged and must come out late
by exactly the engine's latency. Under JACK the process is stopped and continued at random, other programs
take the processor, and its memory and counters are read.
"""

import argparse
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))
from marssep_rt.dsp.mixer import Controls
from marssep_rt.dsp.stream_processor import StreamProcessor
from marssep_rt.live.realtime.audio_bridge import EngineConfig
from marssep_rt.live.realtime.engine import Engine
from marssep_rt.model import bundle as bundles
from marssep_rt.model.providers import open_graph
from marssep_rt.query.build import embed_text
from signals import RATE, mixture
from simulated_device import Conditions, simulate

QUERIES = ("dog barking", "rain", "violin", "siren")


def resident_mb(pid: int | str = "self") -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def minute(engine: Engine, rng: np.random.Generator, x: np.ndarray, vectors: list[np.ndarray]) -> None:
    """A minute of trouble in pieces of some seconds."""
    at = 0
    while at < len(x):
        piece = x[at : at + int(rng.uniform(1, 6) * RATE)].copy()
        at += len(piece)
        if rng.random() < 0.2:
            piece[rng.integers(0, len(piece), 50)] = rng.choice([np.nan, np.inf, -np.inf, 1e30])
        if rng.random() < 0.5:
            engine.set_query(vectors[rng.integers(len(vectors))])
        if rng.random() < 0.2:
            engine.reset_model()
        engine.set_controls(
            Controls(
                wet=float(rng.random()), gain_db=float(rng.uniform(-12, 6)), remove=bool(rng.random() < 0.3)
            )
        )
        seconds = len(piece) / RATE
        stalls = [
            (float(rng.uniform(0, seconds)), float(rng.choice([0.001, 0.01, 0.05, 0.2, 0.5])))
            for _ in range(rng.poisson(1))
        ]
        if rng.random() < 0.02:
            stalls.append((0.1, 2.5))  # longer than the rings
        slow = {int(h) for h in rng.integers(0, 600, 5)}
        simulate(
            engine,
            piece[:, None],
            Conditions(
                jitter=float(rng.uniform(0, 0.004)),
                stalls=tuple(stalls),
                seed=int(rng.integers(1e9)),
                compute=lambda hop, slow=slow: 0.03 if hop in slow else 0.003,
            ),
        )
        if rng.random() < 0.03:
            engine.restart()


def simulated(minutes: int) -> None:
    session, used = open_graph(bundles.load(None), "cpu")
    vectors = [embed_text(q) for q in QUERIES]
    engine = Engine(
        StreamProcessor(session, used, 1, vectors[0], Controls()), EngineConfig(RATE, 256, 1, 1, 256)
    )
    rng = np.random.default_rng(1)
    x = mixture(60 * RATE)
    began, start = time.monotonic(), 0.0
    for k in range(minutes):
        minute(engine, rng, x, vectors)
        engine.set_controls(Controls(bypass=True))
        quiet = mixture(4 * RATE // 256 * 256, seed=k)
        played = simulate(engine, quiet[:, None])[:, 0]
        late = engine.latency_samples
        assert engine.bridge.samples_to_drop == 0, "samples are owed after the trouble is over"
        drift = np.abs(played[-RATE:] - quiet[len(played) - RATE - late : len(played) - late]).max()
        assert drift < 1e-6, f"minute {k}: the output is not where it should be"
        if k == min(2, minutes - 1):
            start = resident_mb()
    t = engine.stats
    print(
        f"{minutes} minutes of simulated time in {time.monotonic() - began:.0f} s: {t.hops} hops, "
        f"{t.underruns} underruns ({t.missing_samples} samples), {t.overflows} overflows, "
        f"{t.nan_samples} samples that were none; after every minute latency at its base to the sample; "
        f"memory {resident_mb() - start:+.1f} MB since the third minute"
    )


def disturb(live: subprocess.Popen, seconds: float) -> int:
    """Stop and continue a process, or take the processor from it, at random; how often."""
    luck, ends, faults = random.Random(1), time.monotonic() + seconds, 0
    while time.monotonic() < ends and live.poll() is None:
        time.sleep(luck.uniform(1, 8))
        faults += 1
        if luck.random() < 0.5:
            live.send_signal(signal.SIGSTOP)
            time.sleep(luck.uniform(0.005, 0.4))
            live.send_signal(signal.SIGCONT)
        else:
            burner = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            time.sleep(luck.uniform(0.5, 3))
            burner.kill()
            burner.wait()
    return faults


def under_jack(minutes: float) -> None:
    server = "marssep-soak"
    env = {
        **os.environ,
        "JACK_DEFAULT_SERVER": server,
        "JACK_NO_AUDIO_RESERVATION": "1",
        "JACK_NO_START_SERVER": "1",
    }
    jackd = subprocess.Popen(
        ["jackd", "-n", server, "-S", "-R", "-d", "dummy", "-r", str(RATE), "-p", "256"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        subprocess.run(["jack_wait", "-s", server, "-w", "-t", "8"], env=env, check=True, capture_output=True)
        with tempfile.TemporaryDirectory() as place:
            stats = Path(place) / "s.json"
            command = [Path(sys.executable).parent / "marssep-live", "--plain", "--query", "rain"]
            command += ["--blocksize", "256", "--duration", str(60 * minutes), "--stats", stats]
            live = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
            first = next(line for line in live.stdout if line.startswith("t=5s"))
            memory = resident_mb(live.pid)
            faults = disturb(live, 60 * minutes - 10)
            grown = resident_mb(live.pid) - memory if live.poll() is None else float("nan")
            live.communicate(timeout=120)
            said = json.loads(stats.read_text())
        print(first.strip())
        print(
            f"{said['seconds'] / 60:.1f} minutes under JACK with {faults} faults: "
            f"exit code {live.returncode}, memory {grown:+.1f} MB, {said['underruns']} underruns, "
            f"{said['overflows']} overflows, hop p99 {said['hop_ms']['p99']} ms"
        )
        assert live.returncode == 0
    finally:
        jackd.terminate()
        jackd.wait(10)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--minutes", type=float)
    options.add_argument("--jack", action="store_true")
    given = options.parse_args()
    if given.jack:
        under_jack(given.minutes or 10)
    else:
        simulated(int(given.minutes or 60))


if __name__ == "__main__":
    main()
