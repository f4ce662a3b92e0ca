"""The Python API: a query in, a streaming filter out."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from marssep_rt.arrays import Array
from marssep_rt.contract import MIXER
from marssep_rt.dsp.hop_adapter import HopAdapter, adapter_latency
from marssep_rt.dsp.mixer import STRENGTH_ALONE, Controls
from marssep_rt.dsp.stream_processor import StreamProcessor
from marssep_rt.errors import QueryError, UsageError
from marssep_rt.model import bundle as bundles
from marssep_rt.model.providers import open_graph
from marssep_rt.model.stream import GraphInfo
from marssep_rt.query.build import MOST_SOUNDS, build_query, in_one, negative_sounds
from marssep_rt.query.language import negatives
from marssep_rt.query.types import Query, QueryRequest
from marssep_rt.utils.arguments import named_arguments
from marssep_rt.utils.audio_arrays import as_audio
from marssep_rt.utils.vectors import unit_vector

Files = str | Path | Sequence[str | Path]


def _several(value: object, name: str) -> list[str | Path]:
    """One text or path, or several, as a list; raises UsageError for anything else."""
    if value is None:
        return []
    found = [value] if isinstance(value, (str, Path)) else value
    if isinstance(found, (list, tuple)) and all(isinstance(one, (str, Path)) for one in found):
        return list(found)
    raise UsageError(f"{name} is a {type(value).__name__}; give a text or a path, or a list of them")


def _in_python(sentence: str) -> str:
    """A sentence of the commands with arguments for options: audio=FILE instead of --audio FILE."""
    if "marssep query" in sentence:
        return sentence
    return re.sub(r"--([a-z][a-z-]*) ", lambda option: option[1].replace("-", "_") + "=", sentence)


def checked_rate(rate: object) -> int:
    """A sample rate in Hz; raises UsageError unless it is a whole number from 8000 to 192000."""
    number = isinstance(rate, (int, float, np.integer, np.floating))
    if number and 8_000 <= float(rate) <= 192_000 and float(rate).is_integer():  # type: ignore[arg-type]
        return int(rate)  # type: ignore[call-overload,no-any-return]
    raise UsageError(f"sample_rate is {rate!r}; whole numbers from 8000 to 192000 Hz work")


class Separator:
    """Streaming separation of one signal, mono or stereo, at 48 kHz or another rate.

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
        limit_db: Attenuation limit in dB; 100 and more is no limit. None is no limit, but for words that the
            model hardly knows (a UserWarning says so).
        gain_db: Output gain in dB, -60..40.
        strength: Mix and limit in one, instead of both: 0 (input) to 100 (no limit, the default).
        bundle: A model bundle; None is the built-in one.
        provider: "auto", "cpu" or "cuda".
        sample_rate: Of the blocks in Hz, 8000..192000; None is the model's. For another rate the target is
            resampled inside, which adds 1.4 ms at 44.1 kHz. The dry path is not: target and residual add up
            to the input, and what lies above 24 kHz belongs to the residual.

    Attributes:
        sample_rate: Of the blocks in Hz; 48000 for the built-in bundle.
        hop: The model's hop in samples at its own rate.
        latency: The latency in samples.

    Raises:
        UsageError: An argument cannot be used. BundleError and QueryError are subclasses.

    A query that is out of vocabulary gives a UserWarning.
    """

    @named_arguments
    def __init__(
        self,
        query: str | Sequence[str] | Array | None = None,
        *,
        image: Files | None = None,
        audio: Files | None = None,
        query_file: Files | None = None,
        negative: str | Sequence[str] | None = None,
        remove: bool = False,
        wet: float = MIXER.wet_default,
        limit_db: float | None = None,
        gain_db: float = MIXER.gain_db_default,
        strength: float | None = None,
        bundle: str | Path | None = None,
        provider: str = "cpu",
        sample_rate: int | None = None,
    ) -> None:
        if not isinstance(bundle, (str, Path, type(None))):
            raise UsageError(f"bundle is a {type(bundle).__name__}; give the path of a bundle")
        self.bundle = bundles.load(bundle)
        self.query = self._query(query, image, audio, query_file, negative)
        self.controls = Controls(self.query.removes(bool(remove)), wet, limit_db, gain_db)
        if strength is not None:
            if wet != MIXER.wet_default or limit_db is not None:
                raise UsageError(STRENGTH_ALONE)
            self.controls = self.controls.with_changes(strength=strength)
        self._session, self.provider = open_graph(self.bundle, provider)
        self._adapter: HopAdapter | None = None
        info = GraphInfo.of(self._session)
        self.sample_rate = info.sample_rate if sample_rate is None else checked_rate(sample_rate)
        self.hop = info.hop
        self.latency = adapter_latency(self.sample_rate, info.sample_rate, info.hop, info.latency)

    def _query(
        self,
        query: str | Sequence[str] | Array | None,
        image: Files | None,
        audio: Files | None,
        query_file: Files | None,
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
            names = [name for text in _several(negative, "negative") for name in negatives(str(text))]
            away = [sound.vectors for sound in negative_sounds(self.bundle, names)]
            drop = np.concatenate(away) if away else None
            keep = rows if len(rows) > 1 or away else None
            return Query(in_one(rows, drop), self.bundle.encoder, "vector", keep=keep, drop=drop)
        request = QueryRequest(
            [str(text) for text in _several(query, "query")],
            [Path(path) for path in _several(image, "image")],
            [Path(path) for path in _several(audio, "audio")],
            [Path(path) for path in _several(query_file, "query_file")],
            [str(text) for text in _several(negative, "negative")],
        )
        if not request:
            raise QueryError('say what to hear: query="dog barking", or audio=, image=, query_file= a file')
        try:
            asked = build_query(self.bundle, request)
        except QueryError as e:
            raise type(e)(_in_python(str(e))) from e
        for warning in asked.warnings:
            warnings.warn(_in_python(warning), stacklevel=4)  # who called the public, decorated method
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
        if self._adapter is None:
            self._start(len(rows))
        assert self._adapter is not None
        if self._adapter.channels != len(rows):
            raise UsageError(
                f"the stream has {self._adapter.channels} channels, this block {len(rows)}; "
                "call reset() to change it"
            )
        return self._adapter.process(rows).reshape(audio.shape)

    @property
    def mixing(self) -> Controls:
        """The mixer settings, with the query's attenuation limit where ``limit_db`` is None."""
        return self.controls.limited(self.query.limit_db)

    def _start(self, channels: int) -> None:
        self._adapter = HopAdapter(self.new_processor(channels), self.sample_rate, self.mixing)

    def new_processor(self, channels: int, hops: int = 1) -> StreamProcessor:
        """The model with the query, in its initial state.

        Its output is the target: the mixer comes after the way back to the input's rate.

        Args:
            channels: 1 or more.
            hops: Hops per step.
        """
        return StreamProcessor(self._session, self.provider, channels, self.query, Controls(), hops)

    def flush(self) -> Array:
        """Return the last ``latency`` samples, [latency] or [C, latency], and reset the stream."""
        channels = 1 if self._adapter is None else self._adapter.channels
        silence = np.zeros((channels, self.latency), np.float32)
        tail = self.process(silence if channels > 1 else silence[0])
        self.reset()
        return tail

    def reset(self) -> None:
        """Return to the initial state; the next block may have another channel count."""
        self._adapter = None

    @named_arguments
    def set_query(
        self,
        query: str | Sequence[str] | Array | None = None,
        *,
        image: Files | None = None,
        audio: Files | None = None,
        query_file: Files | None = None,
        negative: str | Sequence[str] | None = None,
    ) -> None:
        """Change the query from the next hop on, with a cross-fade; arguments as for the constructor."""
        before, self.query = self.query, self._query(query, image, audio, query_file, negative)
        if self._adapter is not None:
            self._adapter.processor.set_query(self.query)
        self.set_controls(**({} if self.query.remove == before.remove else {"remove": self.query.remove}))

    def set_controls(self, **changes: object) -> None:
        """Change ``remove``, ``wet``, ``limit_db``, ``gain_db`` or ``strength``, ramped over one hop.

        Raises:
            UsageError: A value is out of range, there is no such setting, or ``strength`` stands beside
                ``wet`` or ``limit_db``, which it sets.
        """
        self.controls = self.controls.with_changes(**changes)
        if self._adapter is not None:
            self._adapter.set_controls(self.mixing)
