"""From blocks at any sample rate to the hops of a model and back: only the target is resampled."""

from __future__ import annotations

import math

import numpy as np

from marssep_rt.arrays import Array
from marssep_rt.contract import MIXER, RESAMPLER
from marssep_rt.dsp.dry_path import DryPath
from marssep_rt.dsp.mixer import Controls, Mixer
from marssep_rt.dsp.resampler import StreamResampler
from marssep_rt.model.stream import GraphInfo


def target_delay(rate: int, model_rate: int, graph_latency: int) -> tuple[int, int]:
    """Delay of the target by the processor and both resamplers.

    Args:
        rate: Sample rate of the blocks in Hz.
        model_rate: Sample rate of the hops in Hz.
        graph_latency: Of the processor, in samples at the model's rate.

    Returns:
        Whole samples at ``rate``; and what is left over, as the ``phase`` of the resampler back, which takes
        it off: target and input must not be a part of a sample apart, or their difference keeps the target.
    """
    if rate == model_rate:
        return graph_latency, 0
    common = math.gcd(rate, model_rate)
    half = RESAMPLER.half_width
    whole, phase = divmod((half + graph_latency) * (rate // common), model_rate // common)
    return half + whole, phase


class RateAdapter:
    """Cuts input into hops at the model's rate, and mixes their target with the input as it was.

    The input waits for its target at its own rate, so target and residual add up to it at every rate, and
    what lies above the model's band passes with the dry path. Samples that are not finite count as silence.

    Args:
        info: The model.
        rate: Sample rate of the input in Hz.
        channels: Of the input.
        rows: Of the target: its channels, or the number of targets of one channel.
        controls: The mixer settings.

    Attributes:
        mixer: Applies the mixer settings, ramped over a hop.
        waiting: Input at the model's rate that makes no whole hop yet, [C, n].
        nan_samples: Samples that were not finite.
    """

    def __init__(self, info: GraphInfo, rate: int, channels: int, rows: int, controls: Controls) -> None:
        self.hop = info.hop
        late, phase = target_delay(rate, info.sample_rate, info.latency)
        self._there = self._back = None
        if rate != info.sample_rate:
            self._there = StreamResampler(rate, info.sample_rate, channels)
            self._back = StreamResampler(info.sample_rate, rate, rows, phase=phase)
        self.mixer = Mixer(controls, rows, math.ceil(info.hop * rate / info.sample_rate))
        self._dry = DryPath(channels)
        self._dry.put(np.zeros((channels, late), np.float32))
        self.waiting: Array = np.zeros((channels, 0), np.float32)
        self.nan_samples = 0

    def put(self, block: Array) -> None:
        """Take more input, [C, n]."""
        finite = np.isfinite(block)
        self.nan_samples += int(finite.size - np.count_nonzero(finite))
        # before the resampler, which would smear them
        sane = np.where(finite, block, np.float32(0.0)).clip(-MIXER.largest_sample, MIXER.largest_sample)
        self._dry.put(sane)
        arrived = sane if self._there is None else self._there.process(sane)
        self.waiting = np.concatenate([self.waiting, arrived], axis=1)

    def take_hop(self) -> Array | None:
        """The next hop at the model's rate, [C, hop]; None if not all of it is there."""
        if self.waiting.shape[1] < self.hop:
            return None
        hop, self.waiting = self.waiting[:, : self.hop], self.waiting[:, self.hop :]
        return hop

    def mix(self, target: Array) -> Array:
        """What the target of the next hop [rows, hop] adds to the output, [rows, n] at the input's rate."""
        if self._back is not None:
            target = self._back.process(target)
        out = np.empty_like(target)
        self.mixer.run(target, self._dry.take(target.shape[1]), out)
        return out
