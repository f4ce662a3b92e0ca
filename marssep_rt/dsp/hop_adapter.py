"""Blocks of any size and sample rate around a processor of hops, mixed with the input as it was."""

from __future__ import annotations

import math

import numpy as np

from marssep_rt.arrays import Array
from marssep_rt.contract import MIXER, RESAMPLER
from marssep_rt.dsp.dry_path import DryPath
from marssep_rt.dsp.latency import any_block_delay
from marssep_rt.dsp.mixer import Controls, Mixer
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

    Only the target is resampled. The input waits for it at its own rate, so target and residual add up to it
    at every rate, and what lies above the model's band passes with the dry path. Samples that are not finite
    count as silence.

    Args:
        processor: The model, whose output is the target; of one hop a step.
        rate: Sample rate of the blocks in Hz.
        controls: The mixer settings.
    """

    def __init__(self, processor: StreamProcessor, rate: int, controls: Controls) -> None:
        self.processor = processor
        channels, info = processor.stream.channels, processor.info
        self.channels = channels
        late, phase = target_delay(rate, info.sample_rate, info.latency)
        self._there = self._back = None
        if rate != info.sample_rate:
            self._there = StreamResampler(rate, info.sample_rate, channels)
            self._back = StreamResampler(info.sample_rate, rate, channels, phase=phase)
        self._mixer = Mixer(controls, channels, math.ceil(info.hop * rate / info.sample_rate))
        self._dry = DryPath(channels)
        self._dry.put(np.zeros((channels, late), np.float32))
        self._waiting: Array = np.zeros((channels, 0), np.float32)
        delay = adapter_delay(rate, info.sample_rate, info.hop)
        self._ready: Array = np.zeros((channels, delay), np.float32)

    def set_controls(self, controls: Controls) -> None:
        """From the next hop on, ramped over it."""
        self._mixer.set(controls)

    def process(self, block: Array) -> Array:
        """[C, n] -> [C, n]."""
        block = _sane(block)
        self._dry.put(block)
        arrived = block if self._there is None else self._there.process(block)
        waiting = np.concatenate([self._waiting, arrived], axis=1)
        hop = self.processor.size
        whole = waiting.shape[1] // hop * hop
        outs = [self._mixed(waiting[:, at : at + hop]) for at in range(0, whole, hop)]
        self._waiting = waiting[:, whole:]
        ready = np.concatenate([self._ready, *outs], axis=1)
        n = block.shape[1]
        self._ready = ready[:, n:]
        return ready[:, :n]

    def _mixed(self, hop: Array) -> Array:
        """What one hop at the model's rate [C, hop] adds to the output."""
        target = self.processor.process(hop)
        if self._back is not None:
            target = self._back.process(target)
        out = np.empty_like(target)
        self._mixer.run(target, self._dry.take(target.shape[1]), out)
        return out


def _sane(block: Array) -> Array:
    """The block with silence for samples that are not finite, and absurd ones cut: resamplers smear them."""
    finite = np.where(np.isfinite(block), block, np.float32(0.0))
    return np.clip(finite, -MIXER.largest_sample, MIXER.largest_sample)
