"""Proof of the graph's contract; whatever does not match is not written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import torch

from export.onnx.streaming_module import StreamingGraph, combined
from marssep_rt.errors import MarssepError
from marssep_rt.model.providers import session_options
from marssep_rt.model.stream import MIXING, GraphInfo, GraphStream, zero_state
from offline_training.models.separator import MaskSeparator
from offline_training.models.streaming_state import Memory

Array = npt.NDArray[np.float32]
TOLERANCE = 1e-5


class ContractError(MarssepError):
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


def run_graph(
    session: ort.InferenceSession,
    audio: Array,
    query: Array,
    split: list[int],
    other: Array | None = None,
    mixing: Mapping[str, Array] | None = None,
) -> Array:
    """Audio through the graph in pieces, from a zero state.

    Args:
        session: The session of the graph.
        audio: float32 [B, C, n * hop].
        query: Unit vectors [B, D].
        split: The pieces in hops.
        other: Unit vectors to push away [B, D]; None is zeros.
        mixing: ``also`` and ``drop`` [B, B]; None leaves them out.

    Returns:
        The target, float32 [B, C, n * hop].
    """
    info = GraphInfo.of(session)
    state = zero_state(info, audio.shape[0], audio.shape[1])
    vectors = {"query": query, "other": np.zeros_like(query) if other is None else other}
    asked = {name: vectors[name] for name in vectors.keys() & {i.name for i in session.get_inputs()}}
    asked |= mixing or {}
    names = ["target", *(f"{k}_next" for k in state)]
    outs, at = [], 0
    for n in split:
        piece = audio[..., at * info.hop : (at + n) * info.hop]
        results = session.run(names, {"audio": piece, **asked, **state})
        outs.append(results[0])
        state = dict(zip(state, results[1:], strict=True))
        at += n
    return np.concatenate(outs, axis=-1)


class Proof:
    """Compares a graph with itself and with the torch model, promise by promise.

    Args:
        model: The serialised graph.
        separator: The torch model; None leaves out what needs it.
        hops: The length of the test signals in hops.
        seed: Of the test signals.
        report: Called with every check that was passed.

    Attributes:
        done: The checks that were passed.
    """

    def __init__(
        self,
        model: bytes,
        separator: MaskSeparator | None,
        hops: int = 40,
        seed: int = 1,
        report: Callable[[Check], None] = lambda _: None,
    ) -> None:
        self.session = ort.InferenceSession(model, session_options(), providers=["CPUExecutionProvider"])
        self.info = GraphInfo.of(self.session)
        self.mixes = GraphStream.can_mix(self.session)
        self.separator, self.hops, self.report = separator, hops, report
        self.rng = np.random.default_rng(seed)
        self.done: list[Check] = []

    def hold(self, name: str, a: Array, b: Array) -> None:
        """Check that two signals are equal; raises ContractError."""
        if a.shape != b.shape:
            raise ContractError(f"{name}: shapes {a.shape} and {b.shape}")
        difference = float(np.abs(a - b).max())
        if not difference <= TOLERANCE:
            raise ContractError(f"{name}: differs by {difference:.2e}, more than {TOLERANCE:.0e}")
        self.done.append(Check(name, difference))
        self.report(self.done[-1])

    def signal(self, streams: int, channels: int) -> Array:
        """A test signal, float32 [streams, channels, hops * hop]."""
        return probe_signal(streams, channels, self.hops * self.info.hop, self.info.sample_rate, self.rng)

    def run(
        self, audio: Array, query: Array, split: list[int] | None = None, other: Array | None = None
    ) -> Array:
        """The signal through the graph, at once or in pieces of ``split`` hops."""
        return run_graph(self.session, audio, query, split or [self.hops], other)

    def streaming(self, streams: int, channels: int) -> None:
        """Any split gives the same result, which is torch's, and streams do not mix."""
        hops, case = self.hops, f"B={streams} C={channels}"
        audio = self.signal(streams, channels)
        query = self.rng.standard_normal((streams, self.info.query_dim)).astype(np.float32)
        query /= np.linalg.norm(query, axis=1, keepdims=True)
        whole = self.run(audio, query)
        self.hold(f"{case}: random chunks = whole", self.run(audio, query, chunks(hops, self.rng)), whole)
        self.hold(f"{case}: one hop at a time = whole", self.run(audio, query, [1] * hops), whole)
        if self.separator is not None:
            offline = torch_whole(self.separator, audio, query)
            self.hold(f"{case}: graph = torch offline", whole, offline)
            streamed = torch_stream(self.separator, audio, query, chunks(hops, self.rng))
            self.hold(f"{case}: torch stream = torch offline", streamed, offline)
            if self.separator.config.unet.other:
                away = np.roll(query, 1, axis=1)
                found = self.run(audio, query, chunks(hops, self.rng), away)
                expected = torch_whole(self.separator, audio, query, away)
                self.hold(f"{case}: graph = torch offline, with other", found, expected)
        if streams == 2:
            alone = np.concatenate([self.run(audio[i : i + 1], query[i : i + 1]) for i in range(2)])
            self.hold(f"{case}: streams do not mix", whole, alone)
            if self.separator is not None and self.mixes:
                self.mixing(case, query)

    def mixing(self, case: str, query: Array) -> None:
        """Masks of two streams of one mixture are added, and taken out, as in torch."""
        channels = int(case[-1])
        audio = np.repeat(self.signal(1, channels), 2, axis=0)
        one_way, nothing = np.array([[0, 1], [0, 0]], np.float32), np.zeros((2, 2), np.float32)
        for name in MIXING:
            mixing = {"also": nothing, "drop": nothing} | {name: one_way}
            found = run_graph(self.session, audio, query, chunks(self.hops, self.rng), mixing=mixing)
            assert self.separator is not None
            self.hold(
                f"{case}: graph = torch, {name}", found, torch_mixed(self.separator, audio, query, mixing)
            )

    def single_stream(self) -> None:
        """Stereo equals mono, the graph is causal, bound arrays change nothing, a mask of ones is a delay."""
        info, half = self.info, self.hops // 2 * self.info.hop
        mono = self.signal(1, 1)
        query = np.full((1, info.query_dim), info.query_dim**-0.5, np.float32)
        single = self.run(mono, query)
        both = self.run(np.repeat(mono, 2, axis=1), query)
        self.hold("two identical channels = mono", both, np.repeat(single, 2, axis=1))
        changed = mono.copy()
        changed[..., half:] = 0.3
        again = self.run(changed, query)
        self.hold("causal: the future does not change the past", again[..., :half], single[..., :half])
        self.hold("bound arrays = plain calls", self.bound(mono, query), single)
        if self.separator is not None:
            memory = Memory()
            spectra = self.separator.spectra(torch.from_numpy(mono), memory)
            with torch.no_grad():
                ones = self.separator.apply_mask(spectra, torch.ones_like(spectra.band_power), memory).numpy()
            delayed, whole = ones[..., info.latency :], mono[..., : -info.latency]
            self.hold("a mask of ones = the input, late by the latency", delayed, whole)

    def bound(self, mono: Array, query: Array) -> Array:
        """The signal hop by hop through the runtime's own GraphStream."""
        stream, hop = GraphStream(self.session, "cpu", 1), self.info.hop
        stream.query[...] = query
        pieces = []
        for i in range(self.hops):
            stream.audio[...] = mono[..., i * hop : (i + 1) * hop]
            stream.run()
            pieces.append(stream.target.copy())
        return np.concatenate(pieces, axis=-1)


def prove(
    model: bytes,
    separator: MaskSeparator | None,
    hops: int = 40,
    seed: int = 1,
    report: Callable[[Check], None] = lambda _: None,
) -> list[Check]:
    """Check every promise of the graph contract.

    Args:
        model: The serialised graph.
        separator: The torch model; None (a bundle from elsewhere) compares the graph with itself only.
        hops: The length of the test signals in hops.
        seed: Of the test signals.
        report: Called with every check that was passed.

    Returns:
        All checks.

    Raises:
        ContractError: A promise is broken.
    """
    proof = Proof(model, separator, hops, seed, report)
    for streams in (1, 2):
        for channels in (1, 2):
            proof.streaming(streams, channels)
    proof.single_stream()
    return proof.done


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
def torch_mixed(separator: MaskSeparator, audio: Array, query: Array, mixing: Mapping[str, Array]) -> Array:
    """The model in one go with the masks of its streams put together."""
    memory = Memory()
    spectra = separator.eval().spectra(torch.from_numpy(audio), memory)
    logits = separator.logits(spectra, torch.from_numpy(query), memory)
    mask = combined(logits, *(torch.from_numpy(mixing[name]) for name in MIXING))
    result: Array = separator.apply_mask(spectra, mask, memory).numpy()
    return result


@torch.no_grad()
def torch_stream(separator: MaskSeparator, audio: Array, query: Array, split: list[int]) -> Array:
    """The exported module in torch, piece by piece."""
    graph = StreamingGraph(separator)
    hop = separator.config.spectral.hop
    state, at, outs = graph.zeros(audio.shape[0], audio.shape[1]), 0, []
    for n in split:
        asked = [torch.from_numpy(query), torch.zeros(query.shape)][: len(graph.vectors)]
        asked += [torch.zeros(len(query), len(query))] * len(graph.mixing)
        target, *state_list = graph(torch.from_numpy(audio[..., at * hop : (at + n) * hop]), *asked, *state)
        state = tuple(state_list)
        outs.append(target.numpy())
        at += n
    return np.concatenate(outs, axis=-1)
