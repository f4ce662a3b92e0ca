"""One ONNX Runtime session of a separator graph and the state of its streams."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnxruntime as ort

from marssep_rt.arrays import Array
from marssep_rt.contract import FORMATS
from marssep_rt.errors import BundleError

GRAPH_FORMAT = FORMATS.graph
MIXING = ("also", "drop")  # optional inputs of a graph: how the masks of its streams are put together


@dataclass(frozen=True)
class GraphInfo:
    """What the graph says of itself (metadata property ``marssep``).

    Attributes:
        sample_rate: In Hz.
        hop: In samples.
        latency: Index delay of the target in samples.
        query_dim: D, the size of a query vector.
        encoder: Id of the encoder whose vectors the separator understands.
        states: Shape of every state tensor; "B" and "C" are streams and channels.
        presence: The model's presence curve, see ``dsp.presence``; empty in graphs without one.
    """

    sample_rate: int
    hop: int
    latency: int
    query_dim: int
    encoder: str
    states: dict[str, list[int | str]]
    presence: dict[str, list[float]] = field(default_factory=dict)

    @staticmethod
    def of(session: ort.InferenceSession) -> GraphInfo:
        """Raises BundleError when the graph has no such property or a newer format."""
        text = session.get_modelmeta().custom_metadata_map.get(FORMATS.metadata_key)
        if text is None:
            raise BundleError("separator.onnx has no marssep metadata; it was not made by marssep export")
        data: dict[str, Any] = json.loads(text)
        if data["format"] > GRAPH_FORMAT:
            raise BundleError(
                f"separator.onnx has format {data['format']}, newer than this marssep understands "
                f"({GRAPH_FORMAT}); update marssep"
            )
        return GraphInfo(
            data["sample_rate"],
            data["hop"],
            data["latency"],
            data["query_dim"],
            data["encoder"],
            data["states"],
            data.get("presence", {}),
        )


def zero_state(info: GraphInfo, streams: int, channels: int) -> dict[str, Array]:
    """The state tensors at the start of ``streams`` streams."""
    sizes = {"B": streams, "C": channels}
    return {
        k: np.zeros([sizes[d] if isinstance(d, str) else d for d in shape], np.float32)
        for k, shape in info.states.items()
    }


class GraphStream:
    """Parallel streams through one graph: hops in, hops out, state inside. Nothing is allocated per hop.

    On a GPU the state stays there; only audio and vectors go to it and ``target`` comes back.

    Args:
        session: The session of the separator.
        provider: The provider that it runs on.
        channels: Channels of each stream, 1 or 2.
        streams: The number of streams.
        hops: Hops per step.
        device: The device of the state, for tests.

    Attributes:
        audio: The input of the next step, float32 [streams, channels, hops * hop].
        query: Unit vectors, float32 [streams, D].
        other: Unit vectors of what to push away, or zeros, float32 [streams, D]; optional in a graph.
        also: 1 where the mask of stream j is added to that of stream i, float32 [streams, streams].
        drop: 1 where the mask of stream j is taken out of that of stream i, float32 [streams, streams].
        mixes: Whether the graph has the inputs ``also`` and ``drop``.
        target: The output of the last step, shaped as ``audio``.
    """

    def __init__(
        self,
        session: ort.InferenceSession,
        provider: str,
        channels: int,
        streams: int = 1,
        hops: int = 1,
        device: str | None = None,
    ) -> None:
        self.session, self.provider = session, provider
        self.info = GraphInfo.of(session)
        self.channels, self.hops = channels, hops
        inputs = {i.name for i in session.get_inputs()}
        self.baked, self.takes_other = "query" not in inputs, "other" in inputs
        n = hops * self.info.hop
        self.audio: Array = np.zeros((streams, channels, n), np.float32)
        self.target: Array = np.zeros((streams, channels, n), np.float32)
        self.query: Array = np.zeros((streams, self.info.query_dim), np.float32)
        self.other: Array = np.zeros(
            (streams, self.info.query_dim), np.float32
        )  # what to push away; zeros: nothing is known
        self.mixes = self.can_mix(session)
        self.also: Array = np.zeros((streams, streams), np.float32)
        self.drop: Array = np.zeros((streams, streams), np.float32)
        self.states = [zero_state(self.info, streams, channels) for _ in range(2)]
        self.turn = 0
        self.moved: list[tuple[ort.OrtValue, Array]] = []  # to the device before every run
        self.there: list[dict[str, ort.OrtValue]] = []  # the state on the device; ``states`` are its zeros
        device = device or ("cuda" if provider == "cuda" else None)
        self.bindings = self._bind_device(device) if device else [self._bind(0), self._bind(1)]

    def asked(self) -> dict[str, Array]:
        """What the graph takes besides audio and state, by the names of its inputs."""
        mixing = {"also": self.also, "drop": self.drop} if self.mixes else {}
        other = {"other": self.other} if self.takes_other else {}
        return ({} if self.baked else {"query": self.query}) | other | mixing

    def _bind(self, turn: int) -> ort.IOBinding:
        """State is read from one set of arrays and written to the other; the two bindings take turns."""
        binding = self.session.io_binding()

        def bind(kind: str, name: str, array: Array) -> None:
            getattr(binding, f"bind_{kind}")(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)

        bind("input", "audio", self.audio)
        for name, array in self.asked().items():
            bind("input", name, array)
        bind("output", "target", self.target)
        for name in self.info.states:
            bind("input", name, self.states[turn][name])
            bind("output", f"{name}_next", self.states[1 - turn][name])
        return binding

    def _bind_device(self, device: str) -> list[ort.IOBinding]:
        """The same with everything but ``target`` in values of the device."""

        def there(array: Array) -> ort.OrtValue:
            return ort.OrtValue.ortvalue_from_numpy(array, device, 0)

        inputs = {"audio": self.audio, **self.asked()}
        given = {name: there(array) for name, array in inputs.items()}
        self.moved = [(given[name], array) for name, array in inputs.items()]
        states = [{name: there(array) for name, array in kept.items()} for kept in self.states]
        self.there = states
        bindings = []
        for turn in range(2):
            binding = self.session.io_binding()
            for name, value in (*given.items(), *states[turn].items()):
                binding.bind_ortvalue_input(name, value)
            binding.bind_output("target", "cpu", 0, np.float32, self.target.shape, self.target.ctypes.data)
            for name, value in states[1 - turn].items():
                binding.bind_ortvalue_output(f"{name}_next", value)
            bindings.append(binding)
        return bindings

    def run(self) -> None:
        """One step: audio and vectors are read, ``target`` is written, the state moves on."""
        for value, array in self.moved:
            value.update_inplace(array)
        self.session.run_with_iobinding(self.bindings[self.turn])
        if self.moved:
            self.bindings[self.turn].synchronize_outputs()
        self.turn = 1 - self.turn

    def take_state(self, other: GraphStream, rows: Sequence[int]) -> None:
        """Go on where another stream of the same graph is; row i is that one's row ``rows[i]``."""
        for name, own in self.states[self.turn].items():
            if other.there:
                value = np.ascontiguousarray(other.there[other.turn][name].numpy()[list(rows)])
                self.there[self.turn][name].update_inplace(value)
            else:
                own[...] = other.states[other.turn][name][list(rows)]

    @staticmethod
    def can_mix(session: ort.InferenceSession) -> bool:
        """Whether the graph puts the masks of its streams together."""
        return {i.name for i in session.get_overridable_initializers()} >= {*MIXING}

    def reset(self) -> None:
        """As fresh."""
        for states in self.states:
            for array in states.values():
                array.fill(0.0)
        for values, zeros in zip(self.there, self.states, strict=False):
            for name, value in values.items():
                value.update_inplace(zeros[name])
        self.audio.fill(0.0)
        self.target.fill(0.0)
