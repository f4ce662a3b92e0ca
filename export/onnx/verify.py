"""Proof of the graph's contract; whatever does not match is not written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import torch

from export.onnx.streaming_module import StreamingGraph
from marssep_rt.model.providers import session_options
from marssep_rt.model.stream import GraphInfo, GraphStream, zero_state
from offline_training.models.separator import MaskSeparator
from offline_training.models.streaming_state import Memory

Array = npt.NDArray[np.float32]
TOLERANCE = 1e-5


class ContractError(ValueError):
    """The graph breaks its contract; the message names the promise and the difference found."""


@dataclass(frozen=True)
class Check:
    """One promise and the largest difference found (full scale 1.0)."""

    name: str
    difference: float


def chunks(total: int, rng: np.random.Generator, most: int = 7) -> list[int]:
    """A random split of ``total`` hops."""
    sizes = []
    while total:
        n = min(total, int(rng.integers(1, most + 1)))
        sizes.append(n)
        total -= n
    return sizes


def run_graph(session: ort.InferenceSession, audio: Array, query: Array, split: list[int], other: Array | None = None) -> Array:
    """Audio [B, C, n*hop] through the graph in pieces of ``split`` hops, from a fresh state; ``other``: zeros where None."""
    info = GraphInfo.of(session)
    state = zero_state(info, audio.shape[0], audio.shape[1])
    vectors = {"query": query, "other": np.zeros_like(query) if other is None else other}
    asked = {name: vectors[name] for name in vectors.keys() & {i.name for i in session.get_inputs()}}
    names = ["target", *(f"{k}_next" for k in state)]
    outs, at = [], 0
    for n in split:
        piece = audio[..., at * info.hop : (at + n) * info.hop]
        results = session.run(names, {"audio": piece, **asked, **state})
        outs.append(results[0])
        state = dict(zip(state, results[1:], strict=True))
        at += n
    return np.concatenate(outs, axis=-1)


def prove(
    model: bytes, separator: MaskSeparator | None, hops: int = 40, seed: int = 1, report: Callable[[Check], None] = lambda _: None
) -> list[Check]:
    """Every promise of the graph contract; raises ContractError at the first broken one.

    Without ``separator`` (a bundle from elsewhere) what needs the torch model is left out: the graph is compared with itself.
    """
    session = ort.InferenceSession(model, session_options(), providers=["CPUExecutionProvider"])
    info = GraphInfo.of(session)
    rng = np.random.default_rng(seed)
    done: list[Check] = []

    def hold(name: str, a: Array, b: Array) -> None:
        if a.shape != b.shape:
            raise ContractError(f"{name}: shapes {a.shape} and {b.shape}")
        difference = float(np.abs(a - b).max())
        if not difference <= TOLERANCE:
            raise ContractError(f"{name}: differs by {difference:.2e}, more than {TOLERANCE:.0e}")
        done.append(Check(name, difference))
        report(done[-1])

    for streams in (1, 2):
        for channels in (1, 2):
            audio = probe_signal(streams, channels, hops * info.hop, info.sample_rate, rng)
            query = rng.standard_normal((streams, info.query_dim)).astype(np.float32)
            query /= np.linalg.norm(query, axis=1, keepdims=True)
            case = f"B={streams} C={channels}"
            whole = run_graph(session, audio, query, [hops])
            hold(f"{case}: random chunks = whole", run_graph(session, audio, query, chunks(hops, rng)), whole)
            hold(f"{case}: one hop at a time = whole", run_graph(session, audio, query, [1] * hops), whole)
            if separator is not None:
                offline = torch_whole(separator, audio, query)
                hold(f"{case}: graph = torch offline", whole, offline)
                hold(f"{case}: torch stream = torch offline", torch_stream(separator, audio, query, chunks(hops, rng)), offline)
            if separator is not None and separator.config.unet.other:
                away = np.roll(query, 1, axis=1)
                hold(f"{case}: graph = torch offline, with other", run_graph(session, audio, query, chunks(hops, rng), away),
                     torch_whole(separator, audio, query, away))  # fmt: skip
            if streams == 2:
                alone = np.concatenate([run_graph(session, audio[i : i + 1], query[i : i + 1], [hops]) for i in range(2)])
                hold(f"{case}: streams do not mix", whole, alone)
    mono = probe_signal(1, 1, hops * info.hop, info.sample_rate, rng)
    query = np.full((1, info.query_dim), info.query_dim**-0.5, np.float32)
    single = run_graph(session, mono, query, [hops])
    both = run_graph(session, np.repeat(mono, 2, axis=1), query, [hops])
    hold("two identical channels = mono", both, np.repeat(single, 2, axis=1))
    changed = mono.copy()
    changed[..., (hops // 2) * info.hop :] = 0.3
    again = run_graph(session, changed, query, [hops])
    hold("causal: the future does not change the past", again[..., : (hops // 2) * info.hop], single[..., : (hops // 2) * info.hop])
    stream = GraphStream(session, "cpu", 1)
    stream.query[...] = query
    pieces = []
    for i in range(hops):
        stream.audio[...] = mono[..., i * info.hop : (i + 1) * info.hop]
        stream.run()
        pieces.append(stream.target.copy())
    hold("bound arrays = plain calls", np.concatenate(pieces, axis=-1), single)
    if separator is not None:
        memory = Memory()
        spectra = separator.spectra(torch.from_numpy(mono), memory)
        with torch.no_grad():
            ones = separator.apply_mask(spectra, torch.ones_like(spectra.band_power), memory).numpy()
        hold("a mask of ones = the input, late by the latency", ones[..., info.latency :], mono[..., : -info.latency])
    return done


def probe_signal(streams: int, channels: int, samples: int, rate: int, rng: np.random.Generator) -> Array:
    """Noise, a gliding tone and silence: enough to move every layer."""
    t = np.arange(samples) / rate
    noise = rng.standard_normal((streams, channels, samples)) * 0.1
    tone = 0.3 * np.sin(2 * np.pi * (200 + 900 * t) * t)
    gate = (np.sin(2 * np.pi * 3 * t) > -0.5).astype(np.float64)
    return ((noise + tone) * gate).astype(np.float32)


@torch.no_grad()
def torch_whole(separator: MaskSeparator, audio: Array, query: Array, other: Array | None = None) -> Array:
    """The model as training runs it, in one go."""
    away = None if other is None else torch.from_numpy(other)
    result: Array = separator.eval()(torch.from_numpy(audio), torch.from_numpy(query), Memory(), away).numpy()
    return result


@torch.no_grad()
def torch_stream(separator: MaskSeparator, audio: Array, query: Array, split: list[int]) -> Array:
    """The exported module in torch, piece by piece."""
    graph = StreamingGraph(separator)
    hop = separator.config.spectral.hop
    state, at, outs = graph.zeros(audio.shape[0], audio.shape[1]), 0, []
    for n in split:
        asked = [torch.from_numpy(query), torch.zeros(query.shape)][: len(graph.vectors)]
        target, *state_list = graph(torch.from_numpy(audio[..., at * hop : (at + n) * hop]), *asked, *state)
        state = tuple(state_list)
        outs.append(target.numpy())
        at += n
    return np.concatenate(outs, axis=-1)
