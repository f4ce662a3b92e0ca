"""Recording while live: audio is handed over without waiting and written by a thread of its own; the file appears when it is whole."""

from __future__ import annotations

import os
import threading
from collections import deque
from pathlib import Path

import soundfile

from marssep_rt.arrays import Array
from marssep_rt.audio_io.writer import SUBTYPES, allow_downgrade, sound_format
from marssep_rt.errors import MarssepError


class Recorder:
    """Float WAV (24-bit FLAC by name) under ``path``; until close() the samples stand in ``path``.part."""

    def __init__(self, path: Path, sample_rate: int, channels: int) -> None:
        self.path = path
        self.beside = path.with_name(path.name + ".part")
        kind = sound_format(path)
        kind = "RF64" if kind == "WAV" else kind
        try:
            self.file = soundfile.SoundFile(self.beside, "w", sample_rate, channels, subtype=SUBTYPES[kind], format=kind)
        except (soundfile.LibsndfileError, OSError) as e:
            raise MarssepError(f"cannot write the recording {path}: {_reason(path, e)}") from e
        if kind == "RF64":
            allow_downgrade(self.file)
        self.waiting: deque[Array] = deque()
        self.error: str | None = None
        self.wake = threading.Event()
        self.done = False
        self.thread = threading.Thread(target=self._write, name="marssep-recorder", daemon=True)
        self.thread.start()

    def put(self, x: Array) -> None:
        """Hand over a copy of [C, n]; never waits."""
        if self.error is None:
            self.waiting.append(x.T.copy())

    def _write(self) -> None:
        while not self.done or self.waiting:
            self.wake.wait(0.2)
            try:
                while self.waiting:
                    self.file.write(self.waiting.popleft())
            except (soundfile.LibsndfileError, OSError) as e:
                self.error = f"the recording {self.path} stopped: {_reason(self.path, e)}"
                self.waiting.clear()
                return

    def close(self) -> None:
        """Write what waits, close, rename; raises MarssepError when something of it failed (what was written stays, valid)."""
        self.done = True
        self.wake.set()
        self.thread.join(10.0)
        try:
            self.file.close()
            os.replace(self.beside, self.path)
        except (soundfile.LibsndfileError, OSError) as e:
            self.error = self.error or f"the recording {self.path} could not be finished: {_reason(self.path, e)}"
        if self.error:
            raise MarssepError(self.error)


def _reason(path: Path, error: Exception) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"there is no folder {folder}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if not os.access(folder, os.W_OK):
        return "the folder is not writable"
    return "no space left, or the disk failed" if "System error" in str(error) else str(error)
