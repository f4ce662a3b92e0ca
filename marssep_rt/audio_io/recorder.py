"""Recording during a live run: a thread of its own writes the file, so that nobody waits for the disk."""

from __future__ import annotations

import threading
from collections import deque
from pathlib import Path

from marssep_rt.arrays import Array
from marssep_rt.audio_io.writer import AtomicAudioWriter, sound_format
from marssep_rt.errors import AudioFileError, MarssepError

POLL_SECONDS = 0.2
CLOSE_SECONDS = 10.0


class Recorder:
    """A recording that appears under ``path`` when it is closed.

    Args:
        path: A .wav file (32-bit float) or a .flac file (24-bit).
        sample_rate: In Hz.
        channels: 1 or more.

    Raises:
        UsageError: The name is neither .wav nor .flac.
        AudioFileError: The file cannot be created.
    """

    def __init__(self, path: Path, sample_rate: int, channels: int) -> None:
        sound_format(path)
        self.path = path
        self.writer = AtomicAudioWriter(path, sample_rate, channels)
        self.waiting: deque[Array] = deque()
        self.error: str | None = None
        self.wake = threading.Event()
        self.done = False
        self.thread = threading.Thread(target=self._write, name="marssep-recorder", daemon=True)
        self.thread.start()

    def put(self, x: Array) -> None:
        """Hand over a copy of [C, n]; never waits."""
        if self.error is None:
            self.waiting.append(x.copy())

    def _write(self) -> None:
        while not self.done or self.waiting:
            self.wake.wait(POLL_SECONDS)
            try:
                while self.waiting:
                    self.writer.write(self.waiting.popleft())
            except AudioFileError as e:
                self.error = f"recording stopped: {e}"
                self.waiting.clear()
                return

    def close(self) -> None:
        """Write the waiting samples, close the file and give it its name.

        Raises:
            MarssepError: A part of it failed. The samples that were written stay in a valid file.
        """
        self.done = True
        self.wake.set()
        self.thread.join(CLOSE_SECONDS)
        try:
            self.writer.finish()
        except AudioFileError as e:
            self.error = self.error or str(e)
        if self.error:
            raise MarssepError(self.error)

    def discard(self) -> None:
        """End without leaving a file."""
        self.done = True
        self.wake.set()
        self.thread.join(CLOSE_SECONDS)
        self.writer.discard()
