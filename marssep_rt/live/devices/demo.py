"""The device of the demo: it plays a signal to the engine at the pace of a sound card."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np

from marssep_rt.arrays import Array
from marssep_rt.live.realtime.engine import Engine
from marssep_rt.live.realtime.priority import set_realtime_priority


class PacedDevice:
    """Feeds a signal [samples, channels] to an engine at the pace of a sound card, then ends."""

    def __init__(self, engine: Engine, signal: Array) -> None:
        self.engine, self.signal = engine, signal
        self.finished = False
        self.thread: threading.Thread | None = None
        self.stopping = False

    def blocks(self) -> Iterator[Array]:
        n = self.engine.config.blocksize
        for at in range(0, len(self.signal) // n * n, n):
            yield self.signal[at : at + n]

    def start(self) -> None:
        self.thread = threading.Thread(target=self._run, name="marssep-demo-device", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        set_realtime_priority()  # as the threads of real devices do
        config = self.engine.config
        out = np.zeros((config.blocksize, config.output_channels), np.float32)
        began = time.monotonic()
        for i, block in enumerate(self.blocks()):
            wait = began + i * config.blocksize / config.device_rate - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            if self.stopping:
                return
            self.engine.callback(block, out)
        self.finished = True

    def latency_ms(self) -> tuple[float, float]:
        """No latency of its own."""
        return 0.0, 0.0

    def close(self, patience: float = 2.0) -> bool:
        """Stop; False when the thread does not come back."""
        self.stopping = True
        if self.thread is None:
            return True
        self.thread.join(patience)
        return not self.thread.is_alive()
