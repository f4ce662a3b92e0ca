"""The model's side of the engine: from the input ring through the model to the output ring.

Where the device has another sample rate than the model, only the target is resampled: the dry path keeps the
samples of the device.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

import numpy as np

from marssep_rt.arrays import Array
from marssep_rt.audio_io.recorder import Recorder
from marssep_rt.dsp.mixer import Controls
from marssep_rt.dsp.presence import PresenceCurve, PresenceMeter
from marssep_rt.dsp.rate_adapter import RateAdapter
from marssep_rt.dsp.stream_processor import StreamProcessor
from marssep_rt.live.realtime.audio_bridge import RING_SECONDS, AudioBridge
from marssep_rt.live.realtime.capacity import HopSeconds
from marssep_rt.live.realtime.priority import INTERPRETER, reset_priority, set_realtime_priority

HOPS_AT_ONCE = 64
RESAMPLE_CHUNK = 1024
JOIN_SECONDS = 2.0


class ModelWorker:
    """Runs the model on what an AudioBridge collects.

    In live use ``start`` runs ``work`` on a thread of its own. Tests call ``work`` by a simulated clock.

    Args:
        processor: The model with mixer and dry path.
        bridge: The ring buffers.

    Attributes:
        mailbox: Changes from other threads, which the worker makes between two hops.
        recorder: Records the output, if any.
        input_recorder: Records the input, if any.
        monitored_target: Of several targets the one whose presence is measured.
        input_tap: Collects the input at the model's rate, mono, if any.
        failure: The exception that ended the thread, if any.
    """

    def __init__(self, processor: StreamProcessor, bridge: AudioBridge) -> None:
        self.processor, self.bridge = processor, bridge
        self.stats, self.config = bridge.stats, bridge.config
        info = processor.info
        self.hop, self.hop_seconds = info.hop, info.hop / info.sample_rate
        self.recorder: Recorder | None = None
        self.input_recorder: Recorder | None = None
        self.mailbox: deque[Callable[[], None]] = deque()  # both ends of a deque are atomic
        self.presence = PresenceMeter(
            self.config.channels, info.hop, info.sample_rate, PresenceCurve.of(info.presence)
        )
        self.monitored_target = 0
        self.input_tap: list[Array] | None = None
        self.failure: BaseException | None = None
        self.thread: threading.Thread | None = None
        self.stopping = False
        self._recorded_delay = bridge.adaptation
        self._hop_in: Array = np.zeros((self.config.channels, info.hop), np.float32)
        self._rates = self._new_rates()

    def _new_rates(self) -> RateAdapter | None:
        """What resamples the target and mixes at the device's rate; None where that is the model's."""
        config, info = self.config, self.processor.info
        if config.device_rate == info.sample_rate:
            return None
        return RateAdapter(info, config.device_rate, config.channels, config.rows, self.processor.controls)

    def set_controls(self, controls: Controls) -> None:
        """On the worker's thread: change the mixer settings, with a ramp over one hop."""
        self.processor.set_controls(controls)
        if self._rates is not None:
            self._rates.mixer.set(controls)

    def post(self, change: Callable[[], None]) -> None:
        """From any thread: make a change before the next hop."""
        self.mailbox.append(change)

    # ---- hop by hop ------------------------------------------------------------------------------------

    def work(self, most: int | None = None) -> int:
        """Process the hops that wait in the input ring.

        Args:
            most: The largest number of hops; None means all.

        Returns:
            How many hops were processed.
        """
        done = 0
        while (most is None or done < most) and self._take_hop():
            while self.mailbox:
                self.mailbox.popleft()()
            if (tap := self.input_tap) is not None:
                tap.append(self._hop_in.mean(axis=0))
            self._process_hop()
            done += 1
        return done

    def _process_hop(self) -> None:
        began = time.perf_counter()
        played = self.processor.process(self._hop_in)
        seconds = time.perf_counter() - began
        if self._rates is not None:  # the processor's mixer only has the input as it was resampled
            played = self._rates.mix(self.processor.target)
        if self.bridge.output.space() >= played.shape[1]:
            self.bridge.output.write(played)
        self._record(played)
        target = self.processor.target
        if self.config.routes:
            target = target[self.monitored_target : self.monitored_target + 1]
        self.presence.add(target, self.processor.dry)
        peak_in, peak_out = float(np.abs(self.processor.stream.audio).max()), float(np.abs(played).max())
        self.stats.count_hop(seconds, self.hop_seconds, peak_in, peak_out)
        self.stats.nan_samples = self.processor.nan_samples + (self._rates.nan_samples if self._rates else 0)

    def _record(self, played: Array) -> None:
        """Record a hop of output, as late as it is played."""
        more = self.bridge.adaptation - self._recorded_delay
        self._recorded_delay += more
        if self.recorder is not None:
            if more:
                self.recorder.put(np.zeros((played.shape[0], more), np.float32))
            self.recorder.put(played)

    def ready(self) -> bool:
        """Whether a whole hop waits."""
        info = self.processor.info
        waiting = self.bridge.input.available() * info.sample_rate // self.config.device_rate
        return waiting + (self._rates.waiting.shape[1] if self._rates else 0) >= self.hop

    def _take_hop(self) -> bool:
        """Put the next hop at the model's rate into ``_hop_in``; returns whether there was one."""
        ring = self.bridge.input
        if self._rates is None:
            if ring.available() < self.hop:
                return False
            ring.read(self._hop_in)
            self._record_input(self._hop_in)
            return True
        while (hop := self._rates.take_hop()) is None:
            n = min(ring.available(), RESAMPLE_CHUNK)
            if n == 0:
                return False
            taken = np.empty((self.config.channels, n), np.float32)
            ring.read(taken)
            self._record_input(taken)
            self._rates.put(taken)
        self._hop_in[...] = hop
        return True

    def _record_input(self, x: Array) -> None:
        if self.input_recorder is not None:
            self.input_recorder.put(x)

    def reset_model(self) -> None:
        """Reset the streaming state and the presence; counters stay."""
        nan_samples = self.processor.nan_samples
        self.processor.reset()
        self.processor.nan_samples = nan_samples
        if self._rates is not None:
            self._rates.mixer.jump()
        self.presence.forget()

    def restart(self) -> None:
        """Drop resampled input that waits and ask for a reset; the worker must not run meanwhile."""
        if self._rates is not None:
            self.processor.nan_samples += self._rates.nan_samples
            self._rates = self._new_rates()
        self.post(self.reset_model)

    def warm_up(self, hops: int = 20) -> HopSeconds:
        """Run the model on silence, then reset it; returns the times of the later half of the hops."""
        times = []
        for i in range(hops):
            if i == hops // 2:
                computed = time.thread_time()
            began = time.perf_counter()
            self.processor.process(np.zeros_like(self._hop_in))
            times.append(time.perf_counter() - began)
        computed = time.thread_time() - computed
        self.processor.reset()
        later = times[hops // 2 :]
        return HopSeconds(later, computed / len(later))

    # ---- the thread ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the thread; the interpreter is tuned for real time until ``pause``."""
        INTERPRETER.acquire()
        self.stopping = False
        self.thread = threading.Thread(target=self._loop, name="marssep-worker", daemon=True)
        self.thread.start()

    def _loop(self) -> None:
        nap = min(0.001, self.hop_seconds / 8)
        self.stats.real_time = set_realtime_priority()
        most_in_a_row = round(1.5 * RING_SECONDS / self.hop_seconds)
        in_a_row = 0  # hops since the worker last had nothing to do
        try:
            while not self.stopping:
                done = self.work(most=HOPS_AT_ONCE)
                in_a_row += done
                if done == 0:
                    in_a_row = 0
                    time.sleep(nap)
                elif in_a_row > most_in_a_row and self.stats.real_time:
                    # the model is too slow for this machine: other programs must not starve for it
                    reset_priority()
                    self.stats.real_time = False
        except BaseException as e:
            self.failure = e

    def pause(self) -> bool:
        """Stop the thread; returns False if it does not end."""
        self.stopping = True
        if self.thread is None:
            return True
        self.thread.join(JOIN_SECONDS)
        stuck = self.thread.is_alive()
        self.thread = None
        INTERPRETER.release()
        return not stuck

    def drain(self) -> None:
        """Process and record what still waits in the input ring."""
        self.work()
        rest = self.bridge.input.available()
        if rest and self.input_recorder is not None:
            tail = np.empty((self.config.channels, rest), np.float32)
            self.bridge.input.read(tail)
            self.input_recorder.put(tail)
