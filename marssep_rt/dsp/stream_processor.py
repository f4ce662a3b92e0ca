"""Graph, aligned dry path and mixer: the one signal path that live runs, files and the Python API share."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort

from marssep_rt.arrays import Array
from marssep_rt.contract import MIXER
from marssep_rt.dsp.mixer import Controls, Mixer
from marssep_rt.model.stream import GraphStream


class StreamProcessor:
    """Separates one stream, ``hops`` hops at a time.

    The output is late by the graph's latency. Samples that are not finite count as silence.

    Args:
        session: The session of the separator.
        provider: The provider that it runs on.
        channels: 1 or 2.
        query: Unit vector [D], or several [N, D] for one channel: the output then has one row for each.
        controls: The mixer settings.
        hops: Hops per step.
    """

    def __init__(
        self,
        session: ort.InferenceSession,
        provider: str,
        channels: int,
        query: Array,
        controls: Controls,
        hops: int = 1,
    ) -> None:
        several = len(query) if query.ndim == 2 else 1
        if several > 1 and channels > 1:
            raise ValueError("several queries are asked of one channel")
        self.stream = GraphStream(session, provider, channels, several, hops)
        self.info = self.stream.info
        self.size = hops * self.info.hop
        self.controls = controls
        rows = channels if several == 1 else several
        self.mixer = Mixer(controls, rows, self.size)
        self.delay: Array = np.zeros((channels, self.info.latency + self.size), np.float32)
        self.out: Array = np.zeros((rows, self.size), np.float32)
        self.target: Array = self.stream.target.reshape(rows, self.size)
        self.dry: Array = self.delay[:, : self.size]
        self.nan_samples = 0
        self.stream.query[...] = query

    def set_query(self, query: Array, which: int = 0) -> None:
        """From the next hop on; state is kept, and overlap-add cross-fades the two masks over one hop."""
        self.stream.query[which] = query

    def set_controls(self, controls: Controls) -> None:
        """From the next hop on, ramped over it."""
        self.controls = controls
        self.mixer.set(controls)

    def process(self, hop_in: Array) -> Array:
        """One step [C, n] -> [C, n] or [N, n]; the returned array is reused by the next call."""
        n = self.size
        audio = self.stream.audio[0]
        audio[...] = hop_in
        with np.errstate(over="ignore"):  # that is what it is asked for
            energy = np.dot(audio.ravel(), audio.ravel())
        if not np.isfinite(energy):
            bad = ~np.isfinite(audio)
            self.nan_samples += int(bad.sum())
            audio[bad] = 0.0
            # finite but absurd: keep the state sane
            np.clip(audio, -MIXER.largest_sample, MIXER.largest_sample, out=audio)
        if len(self.stream.audio) > 1:
            self.stream.audio[1:] = audio
        self.delay[:, :-n] = self.delay[:, n:]
        self.delay[:, -n:] = audio
        self.stream.run()
        self.mixer.run(self.target, self.dry, self.out)
        return self.out

    def reset(self) -> None:
        """As fresh; controls jump to their wanted values."""
        self.stream.reset()
        self.delay.fill(0.0)
        self.out.fill(0.0)
        self.mixer.jump()
        self.nan_samples = 0
