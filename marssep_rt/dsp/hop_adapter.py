"""Blocks of any size and sample rate around a processor of hops."""

from __future__ import annotations

import math

import numpy as np

from marssep_rt.arrays import Array
from marssep_rt.dsp.latency import any_block_delay
from marssep_rt.dsp.resampler import StreamResampler
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
    """Latency in samples at ``rate``, to the nearest sample where rates differ.

    Args:
        rate: Sample rate of the blocks in Hz.
        model_rate: Sample rate of the hops in Hz.
        hop: In samples at the model's rate.
        graph_latency: Of the processor, in samples at the model's rate.
    """
    delay = adapter_delay(rate, model_rate, hop) + graph_latency * rate / model_rate
    if rate != model_rate:
        there, back = StreamResampler(rate, model_rate, 1), StreamResampler(model_rate, rate, 1)
        delay += (there.delay + back.delay) * rate
    return round(delay)


class HopAdapter:
    """Takes blocks of any size at any sample rate, and gives as many samples, late by ``adapter_latency``.

    Args:
        processor: The model with mixer and dry path, of one hop a step.
        rate: Sample rate of the blocks in Hz.
    """

    def __init__(self, processor: StreamProcessor, rate: int) -> None:
        self.processor = processor
        channels, info = processor.stream.channels, processor.info
        self.channels = channels
        self._there = self._back = None
        if rate != info.sample_rate:
            self._there = StreamResampler(rate, info.sample_rate, channels)
            self._back = StreamResampler(info.sample_rate, rate, channels)
        self._waiting: Array = np.zeros((channels, 0), np.float32)
        delay = adapter_delay(rate, info.sample_rate, info.hop)
        self._ready: Array = np.zeros((channels, delay), np.float32)

    def process(self, block: Array) -> Array:
        """[C, n] -> [C, n]."""
        arrived = block if self._there is None else self._there.process(_finite(block))
        waiting = np.concatenate([self._waiting, arrived], axis=1)
        hop = self.processor.size
        whole = waiting.shape[1] // hop * hop
        outs = [self.processor.process(waiting[:, at : at + hop]).copy() for at in range(0, whole, hop)]
        self._waiting = waiting[:, whole:]
        if self._back is not None:
            outs = [self._back.process(out) for out in outs]
        ready = np.concatenate([self._ready, *outs], axis=1)
        n = block.shape[1]
        self._ready = ready[:, n:]
        return ready[:, :n]


def _finite(block: Array) -> Array:
    """The block with silence for samples that are not finite: a resampler would smear them."""
    return block if np.isfinite(block).all() else np.nan_to_num(block, nan=0.0, posinf=0.0, neginf=0.0)
