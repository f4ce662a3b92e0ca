"""Blocks of any size and sample rate around a processor of hops, mixed with the input as it was."""

from __future__ import annotations

import math

import numpy as np

from marssep_rt.arrays import Array
from marssep_rt.dsp.latency import any_block_delay
from marssep_rt.dsp.mixer import Controls
from marssep_rt.dsp.rate_adapter import RateAdapter, target_delay
from marssep_rt.dsp.stream_processor import StreamProcessor


def adapter_delay(rate: int, model_rate: int, hop: int) -> int:
    """Samples at ``rate`` that must be ready before the first block, so that every block has its output.

    Args:
        rate: Sample rate of the blocks in Hz.
        model_rate: Sample rate of the hops in Hz.
        hop: In samples at the model's rate.
    """
    if rate == model_rate:
        return any_block_delay(hop)
    # the most input that can wait: a hop less a sample, and a sample that the resampler has not given yet
    return math.ceil(hop * rate / model_rate) + 1


def adapter_latency(rate: int, model_rate: int, hop: int, graph_latency: int) -> int:
    """Latency in samples at ``rate``.

    Args:
        rate: Sample rate of the blocks in Hz.
        model_rate: Sample rate of the hops in Hz.
        hop: In samples at the model's rate.
        graph_latency: Of the processor, in samples at the model's rate.
    """
    return adapter_delay(rate, model_rate, hop) + target_delay(rate, model_rate, graph_latency)[0]


class HopAdapter:
    """Takes blocks of any size at any sample rate, and gives as many samples, late by ``adapter_latency``.

    Only the target is resampled, see ``RateAdapter``.

    Args:
        processor: The model, whose output is the target; of one hop a step.
        rate: Sample rate of the blocks in Hz.
        controls: The mixer settings.
    """

    def __init__(self, processor: StreamProcessor, rate: int, controls: Controls) -> None:
        self.processor = processor
        channels, info = processor.stream.channels, processor.info
        self.channels = channels
        self._rates = RateAdapter(info, rate, channels, channels, controls)
        delay = adapter_delay(rate, info.sample_rate, info.hop)
        self._ready: Array = np.zeros((channels, delay), np.float32)

    def set_controls(self, controls: Controls) -> None:
        """From the next hop on, ramped over it."""
        self._rates.mixer.set(controls)

    def process(self, block: Array) -> Array:
        """[C, n] -> [C, n]."""
        self._rates.put(block)
        outs = []
        while (hop := self._rates.take_hop()) is not None:
            outs.append(self._rates.mix(self.processor.process(hop)))
        ready = np.concatenate([self._ready, *outs], axis=1)
        n = block.shape[1]
        self._ready = ready[:, n:]
        return ready[:, :n]
