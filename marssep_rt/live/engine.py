"""The live engine: rings between a device callback and one worker that owns the model. It knows no sound card.

``callback`` only moves samples between the device and the rings. ``work`` does everything else; a thread calls it in live use, the
simulated device calls it by its own clock in tests. After an underrun the missing samples are counted and the same number is thrown
away when they come late, so latency always returns to its base.
"""

from __future__ import annotations

import gc
import math
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from marssep_rt.arrays import Array
from marssep_rt.audio_io.recorder import Recorder
from marssep_rt.dsp.latency import worker_delay
from marssep_rt.dsp.mixer import Controls
from marssep_rt.dsp.presence import PresenceMeter
from marssep_rt.dsp.resampler import StreamResampler
from marssep_rt.dsp.ring_buffer import Ring
from marssep_rt.dsp.stream_processor import HopProcessor
from marssep_rt.live.realtime import run_as_others, run_first
from marssep_rt.live.stats import Telemetry

RING_SECONDS = 2.0
FADE_SECONDS = 0.005


@dataclass(frozen=True)
class EngineConfig:
    """``blocksize`` and ``slack`` in device samples; channels of the device's two sides and of the processing (1 or 2).

    ``routes``: for several targets at once, the output channel (from 0) of each; what comes in is then mixed to mono.
    """

    device_rate: int
    blocksize: int
    input_channels: int
    output_channels: int
    slack: int = 0
    routes: tuple[int, ...] = ()

    @property
    def channels(self) -> int:
        return 1 if self.routes else min(self.input_channels, 2)

    @property
    def rows(self) -> int:
        """Channels of what is heard, and recorded."""
        return len(self.routes) or self.channels


class Engine:
    """Rings, worker, mailbox and counters around a HopProcessor."""

    def __init__(
        self, hops: HopProcessor, config: EngineConfig, record: Recorder | None = None, record_input: Recorder | None = None
    ) -> None:
        self.hops, self.config = hops, config
        self.telemetry = Telemetry()
        self.record, self.record_input = record, record_input
        rate, model_rate, hop, channels = config.device_rate, hops.info.sample_rate, hops.info.hop, config.channels
        rows = config.rows
        self.resampled = rate != model_rate
        self._open_resamplers()
        device_hop = math.ceil(hop * rate / model_rate)
        # with resampling the two roundings may each hold one sample back
        self.adaptation = worker_delay(config.blocksize, device_hop, config.slack) + (2 if self.resampled else 0)
        capacity = max(round(RING_SECONDS * rate), 8 * (config.blocksize + device_hop))
        self.input = Ring(channels, capacity)
        self.output = Ring(rows, capacity + self.adaptation)
        self.output.write_zeros(self.adaptation)
        self.owed = 0  # samples that the device has had as silence and that must not be played any more
        self.resuming = False
        self.block_in: Array = np.zeros((channels, config.blocksize), np.float32)
        self.block_out: Array = np.zeros((rows, config.blocksize), np.float32)
        fade = min(config.blocksize, max(1, round(FADE_SECONDS * rate)))
        self.fade_in: Array = np.linspace(0.0, 1.0, fade, endpoint=False, dtype=np.float32)
        self.hop_in: Array = np.zeros((channels, hop), np.float32)
        self.model_side: Array = np.zeros((channels, 0), np.float32)
        self.hop_seconds = hop / model_rate
        self.mailbox: deque[Callable[[], None]] = deque()  # done by the worker between hops; both ends of a deque are atomic
        self.presence = PresenceMeter(1 if config.routes else channels, hop, model_rate)
        self.watched = 0  # of several targets the one whose presence is told
        self.tap: list[Array] | None = None  # where the worker puts what it hears at the model's rate, mono
        self.thread: threading.Thread | None = None
        self.stopping = False
        self.failure: BaseException | None = None
        if self.record is not None:
            self.record.put(np.zeros((rows, self.adaptation), np.float32))

    def _open_resamplers(self) -> None:
        config, model_rate = self.config, self.hops.info.sample_rate
        self.to_model = StreamResampler(config.device_rate, model_rate, config.channels) if self.resampled else None
        self.to_device = StreamResampler(model_rate, config.device_rate, config.rows) if self.resampled else None

    # ---- the device's side -------------------------------------------------------------------------------------------------

    def callback(self, indata: Array, outdata: Array) -> None:
        """One device block: [frames, channels] in, [frames, channels] out. Moves samples, nothing else.

        The latency is meant for blocks of ``blocksize``; a device that brings longer ones all the same gets them in pieces.
        """
        size = self.config.blocksize
        for at in range(0, indata.shape[0], size):
            self._move(indata[at : at + size], outdata[at : at + size])
        self.telemetry.callbacks += 1
        self.telemetry.frames += indata.shape[0]

    def _move(self, indata: Array, outdata: Array) -> None:
        t = self.telemetry
        n = indata.shape[0]
        block_in, block_out = self.block_in[:, :n], self.block_out[:, :n]
        if self.config.routes:
            np.mean(indata, axis=1, out=block_in[0])
        else:
            block_in[...] = indata[:, : self.config.channels].T
        if self.input.space() >= n:
            self.input.write(block_in)
        else:
            # the worker is RING_SECONDS behind: what it never gets it never gives back, so it is no longer owed either
            t.overflows += 1
            self.owed = max(0, self.owed - n)
        if self.owed:
            late = min(self.owed, self.output.available())
            self.output.skip(late)
            self.owed -= late
        have = min(n, self.output.available()) if not self.owed else 0
        if have:
            self.output.read(block_out[:, :have])
        if self.resuming and have:
            fade = min(len(self.fade_in), have)
            block_out[:, :fade] *= self.fade_in[:fade]
            self.resuming = False
        if have < n:
            fade = min(len(self.fade_in), have)
            if fade:
                block_out[:, have - fade : have] *= self.fade_in[:fade][::-1]
            block_out[:, have:] = 0.0
            self.owed += n - have
            t.underruns += 1
            t.missing_samples += n - have
            self.resuming = True
        if self.config.routes:
            outdata.fill(0.0)
            for row, channel in enumerate(self.config.routes):
                outdata[:, channel] += block_out[row]
        elif outdata.shape[1] == 1 and block_out.shape[0] == 2:
            np.add(block_out[0], block_out[1], out=block_out[0])
            np.multiply(block_out[0], np.float32(0.5), out=outdata[:, 0])
        else:
            outdata[...] = block_out.T  # as it is, or mono to every output

    # ---- the worker's side -------------------------------------------------------------------------------------------------

    def set_query(self, vector: Array, which: int = 0) -> None:
        """From any thread: another query from the next hop on; the overlap-add cross-fades over one hop. ``which`` of several."""

        def change() -> None:
            self.hops.set_query(vector, which)
            self.presence.forget()

        self.mailbox.append(change)

    def set_controls(self, controls: Controls) -> None:
        """From any thread: other controls from the next hop on, ramped."""
        self.mailbox.append(lambda: self.hops.set_controls(controls))

    def watch_target(self, which: int) -> None:
        """From any thread: tell the presence of this one of several targets."""

        def change() -> None:
            self.watched = which
            self.presence.forget()

        self.mailbox.append(change)

    def reset_model(self) -> None:
        """From any thread: from the next hop on the model knows nothing of what was before; latency and counters stay."""

        def change() -> None:
            nan_samples = self.hops.nan_samples
            self.hops.reset()
            self.hops.nan_samples = nan_samples
            self.presence.forget()

        self.mailbox.append(change)

    def set_recorder(self, recorder: Recorder | None, then: Callable[[], None] = lambda: None) -> None:
        """From any thread: what is heard goes there from the next hop on; ``then`` is called when it does."""

        def change() -> None:
            self.record = recorder
            then()

        self.mailbox.append(change)

    def work(self, most: int | None = None) -> int:
        """Process up to ``most`` hops (None: all) that wait in the input ring; returns how many."""
        done = 0
        hop = self.hops.info.hop
        while most is None or done < most:
            if not self._take_hop(hop):
                break
            while self.mailbox:
                self.mailbox.popleft()()
            if (tap := self.tap) is not None:
                tap.append(self.hop_in.mean(axis=0))
            t0 = time.perf_counter()
            out = self.hops.process(self.hop_in)
            seconds = time.perf_counter() - t0
            given = out if self.to_device is None else self.to_device.process(out)
            if self.output.space() >= given.shape[1]:
                self.output.write(given)
            if self.record is not None:
                self.record.put(given)
            target = self.hops.target
            self.presence.add(target[self.watched : self.watched + 1] if self.config.routes else target, self.hops.dry)
            self._count(seconds, out)
            done += 1
        return done

    def ready(self) -> bool:
        """Whether a whole hop waits."""
        have = self.input.available() * self.hops.info.sample_rate // self.config.device_rate + self.model_side.shape[1]
        return have >= self.hops.info.hop

    def _take_hop(self, hop: int) -> bool:
        """The next hop at the model's rate into ``hop_in``, if it is there."""
        if self.to_model is None:
            if self.input.available() < hop:
                return False
            self.input.read(self.hop_in)
            self._received(self.hop_in)
            return True
        while self.model_side.shape[1] < hop:
            n = min(self.input.available(), 1024)
            if n == 0:
                return False
            taken = np.empty((self.config.channels, n), np.float32)
            self.input.read(taken)
            self._received(taken)
            self.model_side = np.concatenate([self.model_side, self.to_model.process(taken)], axis=1)
        self.hop_in[...] = self.model_side[:, :hop]
        self.model_side = self.model_side[:, hop:]
        return True

    def _received(self, x: Array) -> None:
        if self.record_input is not None:
            self.record_input.put(x)

    def _count(self, seconds: float, out: Array) -> None:
        t = self.telemetry
        t.hops += 1
        t.hop_times.add(seconds * 1e3)
        t.misses += seconds > self.hop_seconds
        t.nan_samples = self.hops.nan_samples
        heard, given = float(np.abs(self.hops.stream.audio).max()), float(np.abs(out).max())
        t.peak_in, t.peak_out = max(t.peak_in, heard), max(t.peak_out, given)
        t.level_in, t.level_out = max(heard, 0.9 * t.level_in), max(given, 0.9 * t.level_out)

    def warm_up(self, hops: int = 20) -> float:
        """Run the model on silence, then reset; returns the slowest of the later hop times in seconds."""
        times = []
        for _ in range(hops):
            t0 = time.perf_counter()
            self.hops.process(np.zeros_like(self.hop_in))
            times.append(time.perf_counter() - t0)
        self.hops.reset()
        return max(times[hops // 2 :])

    def begin_afresh(self) -> None:
        """For a device that was lost and is back: nothing waits, the model knows nothing, latency is at its base; counters stay.

        Neither callbacks nor the worker may run meanwhile.
        """
        self.input.skip(self.input.available())
        self.output.skip(self.output.available())
        self.output.write_zeros(self.adaptation)
        self.owed = 0
        self.resuming = False
        self.model_side = self.model_side[:, :0]
        self._open_resamplers()
        self.reset_model()

    def start(self) -> None:
        """Start the worker thread; garbage collection pauses until stop()."""
        sys.setswitchinterval(5e-4)
        gc.collect()
        gc.freeze()
        gc.disable()
        self.stopping = False
        self.thread = threading.Thread(target=self._loop, name="marssep-worker", daemon=True)
        self.thread.start()

    def _loop(self) -> None:
        nap = min(0.001, self.hop_seconds / 8)
        self.telemetry.real_time = run_first()
        most_in_a_row = round(1.5 * RING_SECONDS / self.hop_seconds)
        row = 0  # hops since the worker last had nothing to do
        try:
            while not self.stopping:
                row += (done := self.work(most=64))
                if done == 0:
                    row = 0
                    time.sleep(nap)
                elif row > most_in_a_row and self.telemetry.real_time:  # too slow for this machine: others must not starve for it
                    run_as_others()
                    self.telemetry.real_time = False
        except BaseException as e:
            self.failure = e

    def pause(self) -> bool:
        """Stop the worker, no more; False when it does not come back."""
        self.stopping = True
        if self.thread is None:
            return True
        self.thread.join(2.0)
        stuck = self.thread.is_alive()
        self.thread = None
        gc.enable()
        gc.unfreeze()
        sys.setswitchinterval(5e-3)
        return not stuck

    def stop(self) -> None:
        """Stop the worker and finish the recordings with what is still in the input ring."""
        if self.pause() and self.failure is None:
            self.work()
            rest = self.input.available()
            if rest and self.record_input is not None:
                tail = np.empty((self.config.channels, rest), np.float32)
                self.input.read(tail)
                self.record_input.put(tail)

    # ---- what it costs -----------------------------------------------------------------------------------------------------

    @property
    def latency_samples(self) -> int:
        """From input ring to output ring in device samples: graph + block adaptation with slack (+ resampling)."""
        return round(self.latency_ms()["engine"] * self.config.device_rate / 1e3)

    def latency_ms(self) -> dict[str, float]:
        """Parts in milliseconds. ``algorithmic`` is what the model needs (its latency + one hop), as the field quotes it; ``blocks``
        is what block adaptation and resampling add to that."""
        info, rate = self.hops.info, self.config.device_rate
        resampling = (self.to_model.delay + self.to_device.delay) * 1e3 if self.to_model and self.to_device else 0.0
        slack = self.config.slack / rate * 1e3
        algorithmic = (info.latency + info.hop) / info.sample_rate * 1e3
        engine = info.latency / info.sample_rate * 1e3 + self.adaptation / rate * 1e3 + resampling
        return {"algorithmic": algorithmic, "blocks": engine - slack - algorithmic, "slack": slack, "engine": engine}
