"""The Python API: a query in, a streaming filter out."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from marssep_rt.arrays import Array
from marssep_rt.dsp.latency import any_block_delay
from marssep_rt.dsp.mixer import Controls
from marssep_rt.dsp.stream_processor import StreamProcessor
from marssep_rt.errors import QueryError, UsageError
from marssep_rt.model import bundle as bundles
from marssep_rt.model.providers import open_graph
from marssep_rt.model.stream import GraphInfo
from marssep_rt.query.build import MOST_SOUNDS, build_query, embed_text, in_one
from marssep_rt.query.types import Query, QueryRequest
from marssep_rt.utils.audio_arrays import as_audio
from marssep_rt.utils.vectors import unit_vector


def _several(value: str | Path | Sequence[str] | Sequence[str | Path] | None) -> list[str | Path]:
    if value is None:
        return []
    return [value] if isinstance(value, (str, Path)) else list(value)


class Separator:
    """Streaming separation of one signal, mono or stereo, at 48 kHz.

    >>> s = Separator(query="dog barking")
    >>> y = s.process(x)  # float32 [n] or [2, n], any n >= 1; y has the same shape

    The output is late by ``latency`` samples. ``flush`` returns the last ones.

    Args:
        query: A text or a unit vector, float32 [D]; several texts or vectors [K, D] give the sum of these
            sounds. "no dog" and "everything but the dog" give the residual, as ``remove`` does.
        image: One or several image files that show one sound.
        audio: One or several audio files that contain one sound.
        query_file: One or several ``.query`` files.
        negative: A text, or several, of sounds that are taken out of the target.
        remove: Whether the output is the residual instead of the target.
        wet: Mix, from 0 (input) to 1 (separated).
        limit_db: Attenuation limit in dB, 0..200; None is no limit.
        gain_db: Output gain in dB, -60..40.
        bundle: A model bundle; None is the built-in one.
        provider: "auto", "cpu" or "cuda".

    Attributes:
        sample_rate: 48000 for the built-in bundle.
        hop: The model's hop in samples.
        latency: The latency in samples.

    Raises:
        UsageError: An argument cannot be used. BundleError and QueryError are subclasses.

    A query that is out of vocabulary gives a UserWarning.
    """

    def __init__(
        self,
        query: str | Sequence[str] | Array | None = None,
        *,
        image: str | Path | Sequence[str | Path] | None = None,
        audio: str | Path | Sequence[str | Path] | None = None,
        query_file: str | Path | Sequence[str | Path] | None = None,
        negative: str | Sequence[str] | None = None,
        remove: bool = False,
        wet: float = 1.0,
        limit_db: float | None = None,
        gain_db: float = 0.0,
        bundle: str | Path | None = None,
        provider: str = "cpu",
    ) -> None:
        self.bundle = bundles.load(bundle)
        self.query = self._query(query, image, audio, query_file, negative)
        self.controls = Controls(remove or self.query.remove, wet, limit_db, gain_db)
        self._session, self.provider = open_graph(self.bundle, provider)
        self._processor: StreamProcessor | None = None
        info = GraphInfo.of(self._session)
        self.sample_rate, self.hop = info.sample_rate, info.hop
        self._graph_latency = info.latency
        self.latency = info.latency + any_block_delay(info.hop)
        self._waiting: Array = np.zeros((1, 0), np.float32)
        self._ready: Array = np.zeros((1, 0), np.float32)

    def _query(
        self,
        query: str | Sequence[str] | Array | None,
        image: str | Path | Sequence[str | Path] | None,
        audio: str | Path | Sequence[str | Path] | None,
        query_file: str | Path | Sequence[str | Path] | None,
        negative: str | Sequence[str] | None,
    ) -> Query:
        if isinstance(query, np.ndarray):
            dim = self.bundle.query_dim
            if (
                query.ndim not in (1, 2)
                or query.shape[-1] != dim
                or not 1 <= query.size // dim <= MOST_SOUNDS
            ):
                raise UsageError(
                    f"a query vector for this bundle has shape ({dim},), or several (n, {dim}) with n up to "
                    f"{MOST_SOUNDS}, not {query.shape}"
                )
            rows = np.stack([unit_vector(row) for row in np.atleast_2d(query)])
            away = [embed_text(str(text), self.bundle) for text in _several(negative)]
            drop = np.stack(away) if away else None
            keep = rows if len(rows) > 1 or away else None
            return Query(in_one(rows, drop), self.bundle.encoder, "vector", keep=keep, drop=drop)
        request = QueryRequest(
            [str(text) for text in _several(query)],
            [Path(path) for path in _several(image)],
            [Path(path) for path in _several(audio)],
            [Path(path) for path in _several(query_file)],
            [str(text) for text in _several(negative)],
        )
        if not request:
            raise QueryError('say what to hear: query="dog barking", or audio=, image=, query_file= a file')
        asked = build_query(self.bundle, request)
        for warning in asked.warnings:
            warnings.warn(warning, stacklevel=3)
        return asked

    def __repr__(self) -> str:
        """In one line: the query, what is heard, the model."""
        heard = "residual" if self.controls.remove else "target"
        return f"Separator({self.query.label!r}, {heard}, model {self.bundle.name!r}, latency {self.latency})"

    def process(self, x: npt.ArrayLike) -> Array:
        """Separate one block.

        Args:
            x: [n] or [C, n] with 1 or 2 channels, floats of full scale 1.0 or integers. The channel count
                must not change without ``reset``.

        Returns:
            The output in the same shape, late by ``latency`` samples.
        """
        audio = as_audio(x)
        rows = audio.reshape(-1, audio.shape[-1])
        if self._processor is None:
            self._start(len(rows))
        assert self._processor is not None
        if self._processor.stream.channels != len(rows):
            raise UsageError(
                f"the stream has {self._processor.stream.channels} channels, this block {len(rows)}; "
                "call reset() to change it"
            )
        waiting = np.concatenate([self._waiting, rows], axis=1)
        whole = waiting.shape[1] // self.hop * self.hop
        outs = [self._ready]
        for at in range(0, whole, self.hop):
            outs.append(self._processor.process(waiting[:, at : at + self.hop]).copy())
        self._waiting = waiting[:, whole:]
        ready = np.concatenate(outs, axis=1)
        n = audio.shape[-1]
        self._ready = ready[:, n:]
        return ready[:, :n].reshape(audio.shape)

    def _start(self, channels: int) -> None:
        self._processor = StreamProcessor(self._session, self.provider, channels, self.query, self.controls)
        self._waiting = np.zeros((channels, 0), np.float32)
        self._ready = np.zeros((channels, any_block_delay(self.hop)), np.float32)

    def flush(self) -> Array:
        """Return the last ``latency`` samples, [latency] or [C, latency], and reset the stream."""
        channels = 1 if self._processor is None else self._processor.stream.channels
        silence = np.zeros((channels, self.latency), np.float32)
        tail = self.process(silence if channels > 1 else silence[0])
        self.reset()
        return tail

    def reset(self) -> None:
        """Return to the initial state; the next block may have another channel count."""
        self._processor = None

    def set_query(
        self,
        query: str | Sequence[str] | Array | None = None,
        *,
        image: str | Path | Sequence[str | Path] | None = None,
        audio: str | Path | Sequence[str | Path] | None = None,
        query_file: str | Path | Sequence[str | Path] | None = None,
        negative: str | Sequence[str] | None = None,
    ) -> None:
        """Change the query from the next hop on, with a cross-fade; arguments as for the constructor."""
        before, self.query = self.query, self._query(query, image, audio, query_file, negative)
        if self._processor is not None:
            self._processor.set_query(self.query)
        if self.query.remove != before.remove:
            self.set_controls(remove=self.query.remove)

    def set_controls(self, **changes: object) -> None:
        """Change ``remove``, ``wet``, ``limit_db`` or ``gain_db``, ramped over one hop."""
        self.controls = self.controls.with_changes(**changes)
        if self._processor is not None:
            self._processor.set_controls(self.controls)
