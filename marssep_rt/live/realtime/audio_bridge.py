"""The audio callback's side of the engine: it moves samples between the device and two ring buffers.

After a drop-out the bridge counts the missing samples. It discards as many samples when they arrive late, so
latency always returns to its base.

The base holds for blocks of the announced size. Where the device brings more at once (a sound server whose
period changes), the base grows once to what the closed form needs, and there are no drop-outs from then on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from marssep_rt.arrays import Array
from marssep_rt.dsp.latency import bursty_delay
from marssep_rt.dsp.ring_buffer import RingBuffer
from marssep_rt.live.realtime.stats import EngineStats

RING_SECONDS = 2.0
FADE_SECONDS = 0.005


@dataclass(frozen=True)
class EngineConfig:
    """The audio format of a live run.

    Attributes:
        device_rate: Sample rate of the device in Hz.
        blocksize: Samples per callback.
        input_channels: Channels that the device delivers.
        output_channels: Channels that the device plays.
        slack: Additional latency in samples of the device.
        routes: For several targets at once, the output channel (from 0) of each. The input is then mixed to
            mono.
    """

    device_rate: int
    blocksize: int
    input_channels: int
    output_channels: int
    slack: int = 0
    routes: tuple[int, ...] = ()

    @property
    def channels(self) -> int:
        """Channels of the processing, 1 or 2."""
        return 1 if self.routes else min(self.input_channels, 2)

    @property
    def rows(self) -> int:
        """Channels of the output signal, as it is played and recorded."""
        return len(self.routes) or self.channels


class AudioBridge:
    """Ring buffers between a device callback and the model worker.

    ``callback`` belongs to the device's thread. The model worker reads ``input`` and writes ``output``.
    Nothing is allocated after construction.

    Args:
        config: The audio format.
        model_rate: Sample rate of the model in Hz.
        hop: Hop of the model in samples at its own rate.
        stats: The counters to fill.

    Attributes:
        input: Samples from the device, [channels, n].
        output: Samples for the device, [rows, n].
        adaptation: Latency of block adaptation in samples of the device; ``output`` starts with so much
            silence. It grows when the device brings more samples at once than before.
        burst: The most samples that the device has brought at once.
        samples_to_drop: Samples that were replaced by silence and must not be played when they arrive.
    """

    def __init__(self, config: EngineConfig, model_rate: int, hop: int, stats: EngineStats) -> None:
        self.config, self.stats = config, stats
        rate, block = config.device_rate, config.blocksize
        self._hop = math.ceil(hop * rate / model_rate)
        # with resampling the two roundings may each hold one sample back
        self._rounding = 2 if rate != model_rate else 0
        # where a hop is no whole number of samples, blocks and hops never meet again
        self._whole_hops = hop * rate % model_rate == 0
        self.burst, self._unit = block, block  # the unit divides what every cycle brings
        self._cycle, self._in_cycle = math.nan, 0  # the device's cycle, and how many samples it has brought
        self.adaptation = self._needed()
        capacity = max(round(RING_SECONDS * rate), 8 * (block + self._hop))
        self._largest_burst = capacity // 4
        self.input = RingBuffer(config.channels, capacity)
        self.output = RingBuffer(config.rows, capacity + self.adaptation)
        self.output.write_zeros(self.adaptation)
        self.samples_to_drop = 0
        self._silence_due = 0  # samples of silence by which the latency is still to grow
        self._begun = False
        self._resuming = False  # the next samples follow a drop-out
        self._block_in: Array = np.zeros((config.channels, block), np.float32)
        self._block_out: Array = np.zeros((config.rows, block), np.float32)
        fade = min(block, max(1, round(FADE_SECONDS * rate)))
        self._fade_in: Array = np.linspace(0.0, 1.0, fade, endpoint=False, dtype=np.float32)

    def _needed(self) -> int:
        unit = self._unit if self._whole_hops else 1
        return bursty_delay(self.burst, unit, self._hop, self.config.slack) + self._rounding

    def callback(self, indata: Array, outdata: Array, cycle: float = math.nan) -> None:
        """Process one device block; only moves samples.

        Blocks that are longer than ``blocksize`` are processed in pieces.

        Args:
            indata: float32 [frames, input channels].
            outdata: float32 [frames, output channels], which is filled.
            cycle: A number that is the same for all blocks that the device brings at once; NaN: every block
                comes alone.
        """
        frames, size = indata.shape[0], self.config.blocksize
        self._follow(frames, cycle)
        self._begun = True
        for at in range(0, frames, size):
            self._receive(indata[at : at + size])
            block = self._block_out[:, : indata[at : at + size].shape[0]]
            available = self._fetch(block)
            self._fade_gaps(block, available)
            self._play(block, outdata[at : at + size])
        self.stats.callbacks += 1
        self.stats.frames += frames

    def _follow(self, frames: int, cycle: float) -> None:
        """Let the latency grow to what the device's cycles need; the silence is played at once."""
        if cycle == self._cycle:
            self._in_cycle += frames
        else:
            # of the cycle before; at the start a block that is too long tells it at once
            early = frames if not self._begun and frames > self.config.blocksize else 0
            self._unit = math.gcd(self._unit, self._in_cycle, early)
            self._cycle, self._in_cycle = cycle, frames
        self.burst = max(self.burst, min(self._in_cycle, self._largest_burst))
        more = self._needed() - self.adaptation
        if more <= 0:
            return
        self.adaptation += more
        if self._begun:
            self._silence_due += more
        else:
            self.output.write_zeros(more)  # the worker has no input yet and writes nothing meanwhile

    def _receive(self, indata: Array) -> None:
        n = indata.shape[0]
        block = self._block_in[:, :n]
        if self.config.routes:
            np.mean(indata, axis=1, out=block[0])
        else:
            block[...] = indata[:, : self.config.channels].T
        if self.input.space() >= n:
            self.input.write(block)
        else:
            # the worker is RING_SECONDS behind: what it never gets it never gives back
            self.stats.overflows += 1
            self.samples_to_drop = max(0, self.samples_to_drop - n)

    def _fetch(self, block: Array) -> int:
        """Read as much of the block as is there; returns how many samples that is."""
        if self.samples_to_drop:
            late = min(self.samples_to_drop, self.output.available())
            self.output.skip(late)
            self.samples_to_drop -= late
        if self.samples_to_drop:
            return 0
        n = block.shape[1]
        wanted = n
        if self._silence_due:  # but for the samples that fade out
            wanted = max(n - self._silence_due, 0 if self._resuming else min(len(self._fade_in), n - 1))
        available = min(wanted, self.output.available())
        if available:
            self.output.read(block[:, :available])
        return available

    def _fade_gaps(self, block: Array, available: int) -> None:
        """Fade in after a drop-out, fade out into one, and count what is missing."""
        if self._resuming and available:
            fade = min(len(self._fade_in), available)
            block[:, :fade] *= self._fade_in[:fade]
            self._resuming = False
        missing = block.shape[1] - available
        if not missing:
            return
        fade = min(len(self._fade_in), available)
        if fade:
            block[:, available - fade : available] *= self._fade_in[:fade][::-1]
        block[:, available:] = 0.0
        grown = min(missing, self._silence_due)
        self._silence_due -= grown
        self.samples_to_drop += missing - grown
        self.stats.underruns += 1
        self.stats.missing_samples += missing
        self._resuming = True

    def _play(self, block: Array, outdata: Array) -> None:
        if self.config.routes:
            outdata.fill(0.0)
            for row, channel in enumerate(self.config.routes):
                outdata[:, channel] += block[row]
        elif outdata.shape[1] == 1 and block.shape[0] == 2:
            np.add(block[0], block[1], out=block[0])
            np.multiply(block[0], np.float32(0.5), out=outdata[:, 0])
        else:
            outdata[...] = block.T  # as it is, or mono to every output

    def clear(self) -> None:
        """Return to the initial state; neither the callback nor the worker may run meanwhile."""
        self.input.skip(self.input.available())
        self.output.skip(self.output.available())
        self.output.write_zeros(self.adaptation)
        self.samples_to_drop = 0
        self._silence_due = 0
        self._begun = False
        self._cycle, self._in_cycle = math.nan, 0
        self._resuming = False
