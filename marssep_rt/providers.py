"""``--provider auto`` in live use: both processors are timed for two seconds and the one with the lower p99 is taken.

A small model on a CPU often beats a GPU, which is asked for one hop at a time and has to be waited for.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import onnxruntime as ort

from marssep_rt.bundle import Bundle
from marssep_rt.hops import HopProcessor
from marssep_rt.mix import Controls
from marssep_rt.session import PROVIDERS, GraphInfo, has_cuda_driver, open_graph
from marssep_rt.telemetry import HopTimes

TRIAL_SECONDS = 2.0


def paced(session: ort.InferenceSession, used: str, seconds: float) -> HopTimes:
    """Times of single hops of noise, one every hop time."""
    rng = np.random.default_rng(0)
    query = rng.standard_normal(GraphInfo.of(session).query_dim).astype(np.float32)
    hops = HopProcessor(session, used, 1, query / np.linalg.norm(query), Controls())
    noise = (0.1 * rng.standard_normal((1, hops.size))).astype(np.float32)
    for _ in range(30):
        hops.process(noise)
    times, period = HopTimes(), hops.info.hop / hops.info.sample_rate
    began = time.perf_counter()
    for i in range(round(seconds / period)):
        before = time.perf_counter()
        hops.process(noise)
        times.add((time.perf_counter() - before) * 1e3)
        time.sleep(max(0.0, began + (i + 1) * period - time.perf_counter()))
    return times


def open_fastest(bundle: Bundle, provider: str, say: Callable[[str], None] = lambda _: None,
                 seconds: float = TRIAL_SECONDS) -> tuple[ort.InferenceSession, str]:  # fmt: skip
    """The separator's session on ``provider``; for auto, where CUDA works, on the faster one, which is said. Raises as ``open_graph``."""
    if provider != "auto" or PROVIDERS["cuda"] not in ort.get_available_providers() or not has_cuda_driver():
        return open_graph(bundle, provider)
    gpu, used = open_graph(bundle, "auto")
    cpu, _ = open_graph(bundle, "cpu")
    if used != "cuda":
        return cpu, "cpu"
    times = {"cuda": paced(gpu, "cuda", seconds).quantile(0.99), "cpu": paced(cpu, "cpu", seconds).quantile(0.99)}
    best = min(times, key=lambda name: times[name])
    say(f"running on {best}: p99 of a hop is {times['cpu']:.2f} ms on the CPU and {times['cuda']:.2f} ms on the GPU")
    return (gpu if best == "cuda" else cpu), best
