"""What is measured: a bundle or a checkpoint behind one protocol; and a bundle's words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import torch
from torch import Tensor

from marssep_rt.model.bundle import Bundle
from marssep_rt.model.providers import session_options
from marssep_rt.model.stream import GraphInfo, GraphStream, zero_state
from marssep_rt.query.encoders import TextEncoder
from offline_training.models.inference import separate
from offline_training.models.registry import load_separator
from offline_training.utils.precision import half

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Mixing:
    """The graph's inputs of the same names, [B, B]: row i is united with the rows of ``also[i]`` and loses
    those of ``drop[i]``.
    """

    also: Array
    drop: Array


class Listener(Protocol):
    """A separator over batches of whole mixtures: a bundle's graph, a checkpoint, or another program.

    Attributes:
        mixes: Whether ``mixing`` is taken.
    """

    mixes: bool

    def separate(
        self, mixtures: Array, queries: Array, others: Array | None = None, mixing: Mixing | None = None
    ) -> Tensor:
        """Separate a batch.

        Args:
            mixtures: [B, samples] at 48 kHz.
            queries: Unit vectors [B, D].
            others: Vectors [B, D] of what to push away, zeros where nothing is said; None: nothing anywhere.
            mixing: How the masks of rows of one mixture are put together; None: not at all.

        Returns:
            [B, at most samples], aligned to the mixtures.
        """
        ...


class Words:
    """A bundle's text encoder; every text is embedded once."""

    def __init__(self, bundle: Bundle) -> None:
        self.text = TextEncoder(bundle)
        self.vectors: dict[str, Array] = {}

    def query(self, text: str) -> Array:
        """The vector [D] of a text."""
        if text not in self.vectors:
            self.vectors[text] = self.text.embed(text)
        return self.vectors[text]


class BundleListener:
    """A bundle's graph on the CPU."""

    def __init__(self, bundle: Bundle, threads: int = 2) -> None:
        options = session_options()
        options.intra_op_num_threads = threads
        graph = bundle.read("separator.onnx")
        self.session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self.info = GraphInfo.of(self.session)
        self.takes_other = "other" in {i.name for i in self.session.get_inputs()}
        self.mixes = GraphStream.can_mix(self.session)

    def separate(
        self, mixtures: Array, queries: Array, others: Array | None = None, mixing: Mixing | None = None
    ) -> Tensor:
        """As ``Listener``; the output lacks the last ``latency`` samples."""
        hop = self.info.hop
        audio = np.ascontiguousarray(mixtures[:, None, : mixtures.shape[1] // hop * hop])
        feeds = {"audio": audio, "query": queries, **zero_state(self.info, len(audio), 1)}
        if self.takes_other:
            feeds["other"] = np.zeros_like(queries) if others is None else others
        if mixing is not None:
            feeds |= {"also": mixing.also, "drop": mixing.drop}
        (target,) = self.session.run(["target"], feeds)
        return torch.from_numpy(target[:, 0, self.info.latency :])


class CheckpointListener:
    """A checkpoint's averaged weights, on whatever device. Masks are put together in graphs only."""

    mixes = False

    def __init__(self, checkpoint: Path, device: str = "cpu") -> None:
        self.model, content = load_separator(checkpoint)
        self.encoder: str = content["encoder"]
        self.model.unet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.model.to(device)
        self.device = torch.device(device)

    @torch.no_grad()
    def separate(
        self, mixtures: Array, queries: Array, others: Array | None = None, mixing: Mixing | None = None
    ) -> Tensor:
        """As ``Listener``; the output lacks the last ``latency`` samples."""
        wave, asked = (torch.from_numpy(x).to(self.device) for x in (mixtures, queries))
        away = None if others is None else torch.from_numpy(others).to(self.device)
        return separate(self.model, wave, asked, half(self.device), away).cpu()
