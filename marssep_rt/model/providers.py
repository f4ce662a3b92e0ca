"""ONNX Runtime sessions on the CPU or on CUDA, and the choice between them.

``--provider auto`` in live use times both for two seconds and takes the one with the lower p99. A small model
on a CPU often beats a GPU, because a GPU gets one hop at a time and the caller waits for it.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable

import numpy as np
import onnxruntime as ort

from marssep_rt.errors import BundleError, UsageError
from marssep_rt.model.bundle import Bundle
from marssep_rt.model.stream import GraphInfo, GraphStream
from marssep_rt.utils.benchmark import Times, paced

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
TRIAL_SECONDS = 2.0


def session_options() -> ort.SessionOptions:
    """One thread, sequential, no spinning: what keeps a real-time worker's times short and even."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.log_severity_level = 4  # what matters is said by us, in one sentence
    return options


def has_cuda_driver() -> bool:
    """Whether NVIDIA's driver is installed: without it, loading CUDA's libraries wastes 800 MB of memory."""
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


def open_session(model: bytes, provider: str = "auto") -> tuple[ort.InferenceSession, str]:
    """A session and the name of the provider that it really runs on ("cpu" or "cuda").

    ``auto`` takes CUDA where it works. Asking for ``cuda`` where it does not raises UsageError.
    """
    if provider not in ("auto", *PROVIDERS):
        raise UsageError(f"unknown provider {provider!r}; choose auto, cpu or cuda")
    wanted = [PROVIDERS["cpu"]]
    if provider != "cpu" and PROVIDERS["cuda"] in ort.get_available_providers() and has_cuda_driver():
        ort.set_default_logger_severity(4)
        if hasattr(ort, "preload_dlls"):
            ort.preload_dlls()
        wanted.insert(0, PROVIDERS["cuda"])
    try:
        session = ort.InferenceSession(model, session_options(), providers=wanted)
    except Exception as e:  # onnxruntime raises bare exceptions of its own for a damaged model
        raise BundleError(f"the model cannot be loaded: {str(e).splitlines()[0]}") from e
    used = "cuda" if PROVIDERS["cuda"] in session.get_providers() else "cpu"
    if provider == "cuda" and used != "cuda":
        raise UsageError(
            "CUDA is not usable here (driver or CUDA libraries missing); "
            "use --provider cpu, or install onnxruntime-gpu[cuda,cudnn]"
        )
    return session, used


def open_graph(bundle: Bundle, provider: str) -> tuple[ort.InferenceSession, str]:
    """The separator's session; the query's size and encoder must be the card's."""
    session, used = open_session(bundle.read("separator.onnx"), provider)
    info = GraphInfo.of(session)
    if info.query_dim != bundle.query_dim or info.encoder != bundle.encoder:
        raise BundleError(
            f"separator.onnx in {bundle.path} belongs to encoder {info.encoder}, "
            f"its card says {bundle.encoder}"
        )
    return session, used


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


def open_fastest(
    bundle: Bundle, provider: str, say: Callable[[str], None] = lambda _: None, seconds: float = TRIAL_SECONDS
) -> tuple[ort.InferenceSession, str]:
    """Open the separator on a provider; for "auto", on the faster one if CUDA works.

    Args:
        bundle: The bundle.
        provider: "auto", "cpu" or "cuda".
        say: Called with a sentence about the choice.
        seconds: Time for each trial.

    Returns:
        The session and "cpu" or "cuda".

    Raises:
        UsageError, BundleError: As ``open_graph``.
    """
    if provider != "auto" or PROVIDERS["cuda"] not in ort.get_available_providers() or not has_cuda_driver():
        return open_graph(bundle, provider)
    gpu, used = open_graph(bundle, "auto")
    cpu, _ = open_graph(bundle, "cpu")
    if used != "cuda":
        return cpu, "cpu"
    times = {
        name: float(np.quantile(time_hops(session, name, seconds), 0.99))
        for name, session in (("cuda", gpu), ("cpu", cpu))
    }
    best = min(times, key=lambda name: times[name])
    say(
        f"running on {best}: p99 of a hop is {times['cpu']:.2f} ms on the CPU "
        f"and {times['cuda']:.2f} ms on the GPU"
    )
    return (gpu if best == "cuda" else cpu), best
