"""The live engine: an AudioBridge for the device callback, a ModelWorker for the model, and their statistics.

The engine knows no sound card: a device calls ``callback``.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

import numpy as np

from marssep_rt.arrays import Array
from marssep_rt.audio_io.recorder import Recorder
from marssep_rt.dsp.mixer import Controls
from marssep_rt.dsp.presence import WindowEncoder
from marssep_rt.dsp.rate_adapter import target_delay
from marssep_rt.dsp.stream_processor import StreamProcessor
from marssep_rt.live.realtime.audio_bridge import AudioBridge, EngineConfig
from marssep_rt.live.realtime.capacity import HOP_SHARE, HopSeconds
from marssep_rt.live.realtime.stats import EngineStats
from marssep_rt.live.realtime.worker import ModelWorker
from marssep_rt.query.types import Query


class Engine:
    """Live separation of one stream.

    A device calls ``callback`` on its own thread. ``start`` begins to run the model on a second thread. All
    other methods may be called from any thread unless they say otherwise; changes take effect with the next
    hop.

    Args:
        processor: The model with mixer and dry path.
        config: The audio format.
        record: Records the output from its first sample on.
        record_input: Records the input from its first sample on.

    Attributes:
        bridge: The device's side.
        worker: The model's side.
        stats: The counters of both.
    """

    def __init__(
        self,
        processor: StreamProcessor,
        config: EngineConfig,
        record: Recorder | None = None,
        record_input: Recorder | None = None,
    ) -> None:
        self.processor, self.config = processor, config
        self._preparing = threading.Lock()
        self.stats = EngineStats()
        info = processor.info
        self.hop, self.model_rate = info.hop, info.sample_rate
        self.bridge = AudioBridge(config, info.sample_rate, info.hop, self.stats)
        self.worker = ModelWorker(processor, self.bridge)
        self.worker.recorder, self.worker.input_recorder = record, record_input
        if record is not None:
            record.put(np.zeros((config.rows, self.bridge.adaptation), np.float32))

    def callback(self, indata: Array, outdata: Array, cycle: float = math.nan) -> None:
        """On the device's thread: process one block, see ``AudioBridge.callback``."""
        self.bridge.callback(indata, outdata, cycle)

    # ---- changes ---------------------------------------------------------------------------------------

    def set_query(self, query: Array | Query, which: int = 0) -> None:
        """Change the query; the overlap-add cross-fades over one hop.

        Args:
            query: A query or a unit vector [D].
            which: Index of the target.

        Raises:
            UsageError: The machine is too slow for so many sounds; nothing changes.
        """

        def change() -> None:
            self.processor.apply(prepared)
            self.worker.presence.forget()

        with self._preparing:  # changes are made in the order in which they are prepared
            seconds = HOP_SHARE * self.hop / self.model_rate
            prepared = self.processor.prepare(query, which, seconds)
            self.worker.post(change)

    def refine_query(self, query: Query, which: int = 0) -> None:
        """Change the vectors of the same sounds; presence goes on."""
        with self._preparing:
            prepared = self.processor.prepare(query, which)
            self.worker.post(lambda: self.processor.apply(prepared))

    def set_controls(self, controls: Controls) -> None:
        """Change the mixer settings, with a ramp over one hop."""
        self.worker.post(lambda: self.worker.set_controls(controls))

    def monitor_target(self, which: int) -> None:
        """Measure the presence of this one of several targets."""

        def change() -> None:
            self.worker.monitored_target = which
            self.worker.presence.forget()

        self.worker.post(change)

    def reset_model(self) -> None:
        """Reset the streaming state; latency and counters stay."""
        self.worker.post(self.worker.reset_model)

    def set_recorder(self, recorder: Recorder | None, then: Callable[[], None] = lambda: None) -> None:
        """Record the output there, or nowhere; ``then`` is called when the change is made."""

        def change() -> None:
            self.worker.recorder = recorder
            then()

        self.worker.post(change)

    def tap_input(self, tap: list[Array] | None) -> None:
        """Append the input to a list, hop by hop, mono at the model's rate; None ends it."""
        self.worker.input_tap = tap

    # ---- presence --------------------------------------------------------------------------------------

    def listen(self, encoder: WindowEncoder, sounds: Array) -> Array | None:
        """Compare the last seconds of target with the query's sounds [K, D]; takes tens of milliseconds.

        Returns:
            The target's unit vector [D]; None if it is silent.
        """
        return self.worker.presence.listen(encoder, sounds)

    def recent(self) -> tuple[Array, Array]:
        """The last seconds of target (zeros after another query) and of input, aligned, see
        ``recent_input``.
        """
        return self.worker.presence.recent()

    def recent_input(self) -> Array:
        """The last seconds of input, mono at the model's rate, float32 [n]; zeros at the start."""
        return self.worker.presence.recent_input()

    def presence(self) -> float:
        """Presence of the target now, 0..1."""
        return self.worker.presence.presence()

    # ---- running ---------------------------------------------------------------------------------------

    def work(self, most: int | None = None) -> int:
        """Without a thread: process waiting hops, see ``ModelWorker.work``."""
        return self.worker.work(most)

    def ready(self) -> bool:
        """Whether a whole hop waits."""
        return self.worker.ready()

    def warm_up(self, hops: int = 20) -> HopSeconds:
        """Run the model on silence; returns the times of the later half of the hops."""
        return self.worker.warm_up(hops)

    def start(self) -> None:
        """Start the model's thread."""
        self.worker.start()

    def pause(self) -> bool:
        """Stop the model's thread; returns False if it does not end."""
        return self.worker.pause()

    def restart(self) -> None:
        """Return to the initial state for a device that was lost; counters stay.

        Neither the callback nor the worker may run meanwhile.
        """
        self.bridge.clear()
        self.worker.restart()

    def stop(self) -> None:
        """Stop the model's thread and finish the recordings with the rest of the input."""
        if self.worker.pause() and self.worker.failure is None:
            self.worker.drain()

    @property
    def failure(self) -> BaseException | None:
        """The exception that ended the model's thread, if any."""
        return self.worker.failure

    # ---- latency ---------------------------------------------------------------------------------------

    @property
    def adaptation(self) -> int:
        """Latency of block adaptation in samples of the device; it may grow, see ``AudioBridge``."""
        return self.bridge.adaptation

    @property
    def latency_samples(self) -> int:
        """Latency from input ring to output ring in samples of the device."""
        info, rate = self.processor.info, self.config.device_rate
        return target_delay(rate, info.sample_rate, info.latency)[0] + self.adaptation

    def latency_ms(self) -> dict[str, float]:
        """The parts of the latency in milliseconds.

        Returns:
            ``algorithmic``: the graph's latency and one hop, as the literature quotes it. ``blocks``: what
            block adaptation and resampling add. ``slack``. ``engine``: their sum.
        """
        info, rate = self.processor.info, self.config.device_rate
        slack = self.config.slack / rate * 1e3
        algorithmic = (info.latency + info.hop) / info.sample_rate * 1e3
        engine = self.latency_samples / rate * 1e3
        return {
            "algorithmic": algorithmic,
            "blocks": engine - slack - algorithmic,
            "slack": slack,
            "engine": engine,
        }
