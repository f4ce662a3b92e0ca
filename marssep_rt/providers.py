"""``--provider auto`` in live use: both processors are timed for two seconds and the one with the lower p99 is taken.

A small model on a CPU often beats a GPU, which is asked for one hop at a time and has to be waited for.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnxruntime as ort

from marssep_rt.bundle import Bundle
from marssep_rt.pacing import Times, paced
from marssep_rt.session import PROVIDERS, GraphStream, has_cuda_driver, open_graph

TRIAL_SECONDS = 2.0


def time_hops(session: ort.InferenceSession, used: str, seconds: float, streams: int = 1) -> Times:
    """Times of single hops of noise in ms, one every hop time; ``streams`` of them at once."""
    stream = GraphStream(session, used, 1, streams)
    rng = np.random.default_rng(0)
    query = rng.standard_normal(stream.query.shape)
    stream.query[...] = query / np.linalg.norm(query, axis=1, keepdims=True)
    stream.audio[...] = 0.1 * rng.standard_normal(stream.audio.shape)
    for _ in range(30):
        stream.run()
    return paced(stream.run, stream.info.hop / stream.info.sample_rate, seconds)


def open_fastest(bundle: Bundle, provider: str, say: Callable[[str], None] = lambda _: None,
                 seconds: float = TRIAL_SECONDS) -> tuple[ort.InferenceSession, str]:  # fmt: skip
    """The separator's session on ``provider``; for auto, where CUDA works, on the faster one, which is said. Raises as ``open_graph``."""
    if provider != "auto" or PROVIDERS["cuda"] not in ort.get_available_providers() or not has_cuda_driver():
        return open_graph(bundle, provider)
    gpu, used = open_graph(bundle, "auto")
    cpu, _ = open_graph(bundle, "cpu")
    if used != "cuda":
        return cpu, "cpu"
    times = {name: float(np.quantile(time_hops(session, name, seconds), 0.99)) for name, session in (("cuda", gpu), ("cpu", cpu))}
    best = min(times, key=lambda name: times[name])
    say(f"running on {best}: p99 of a hop is {times['cpu']:.2f} ms on the CPU and {times['cuda']:.2f} ms on the GPU")
    return (gpu if best == "cuda" else cpu), best
