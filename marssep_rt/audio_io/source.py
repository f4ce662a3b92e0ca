"""Sound that can be read block by block, wherever it comes from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import soundfile

from marssep_rt.arrays import Array
from marssep_rt.audio_io.metadata import Metadata, read_metadata
from marssep_rt.audio_io.spliced import Layout, SplicedFile

CUT_SECONDS = 0.1  # a file may be that much shorter than it says: encoders round
SKIP_FRAMES = 1 << 16  # read at once to be dropped
UNKNOWN = 1 << 60  # libsndfile's frames of a file that gives no length are far beyond
# sample format of libsndfile -> that of a file made of it; all others are lossy and decode to floats
OWN_FORMAT = {
    "PCM_S8": "PCM_16",
    "PCM_U8": "PCM_16",
    "PCM_16": "PCM_16",
    "PCM_24": "PCM_24",
    "PCM_32": "PCM_32",
    "ULAW": "PCM_16",
    "ALAW": "PCM_16",
}


class AudioSource(ABC):
    """An open sound.

    Attributes:
        samplerate: In Hz.
        channels: 1 or more.
        subtype: The sample format that keeps everything of it: PCM_16, PCM_24, PCM_32 or FLOAT.
        metadata: Its tags, broadcast time and channel positions.
        frames: The exact length, or None where only reading tells it.
        seconds: The length or an estimate of it, for a progress bar; None where there is none.
        position: Frames read so far.
        notes: What was lost or mended, complete after the last block.
        temporary: A file that is deleted with it.
    """

    samplerate: int
    channels: int
    subtype: str
    metadata: Metadata
    frames: int | None
    seconds: float | None
    position: int
    notes: list[str]
    temporary: Path | None = None

    @abstractmethod
    def read(self, frames: int) -> Array:
        """The next block, float32 [n, C]; n < frames only at the end.

        Raises:
            soundfile.LibsndfileError: The file is damaged.
            AudioFileError: The file is damaged.
            OSError: The file cannot be read.
        """

    def skip(self, frames: int) -> None:
        """Go on behind the next frames. Raises as ``read``."""
        while frames > 0 and len(self.read(min(frames, SKIP_FRAMES))):
            frames -= SKIP_FRAMES

    @abstractmethod
    def close(self) -> None:
        """Close it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if self.temporary is not None:
            self.temporary.unlink(missing_ok=True)


class ForwardFile(soundfile.SoundFile):  # type: ignore[misc]
    """A sound file that is read once from front to back.

    soundfile seeks after every read where it can; files without a length do not allow that.
    """

    def seekable(self) -> bool:
        """False: nobody seeks."""
        return False


class SoundfileSource(AudioSource):
    """A file that libsndfile reads, perhaps several in a row.

    Args:
        path: The file.
        layout: Where its parts are, see ``spliced.Layout``.

    Raises:
        soundfile.LibsndfileError: The first part is not a sound file.
        OSError: The file cannot be opened.
    """

    def __init__(self, path: Path, layout: Layout) -> None:
        self.path, self.notes, self.position = path, list(layout.notes), 0
        self.file: SplicedFile | None = None
        self.part: soundfile.SoundFile | None = None
        self.left = list(layout.parts)
        self._next()
        first = self._opened()
        self.samplerate, self.channels = int(first.samplerate), int(first.channels)
        self.subtype = OWN_FORMAT.get(first.subtype, "FLOAT")
        self.metadata = read_metadata(first)
        self.frames = int(first.frames) if first.frames < UNKNOWN else None
        if self.left:
            self._measure()
        self.seconds = None if self.frames is None else self.frames / self.samplerate

    def _opened(self) -> soundfile.SoundFile:
        assert self.part is not None
        return self.part

    def _next(self) -> None:
        """Open the next part."""
        self.close()
        self.file = SplicedFile(self.path, self.left.pop(0))
        try:
            self.part = ForwardFile(self.file)
        except BaseException:
            self.close()
            raise

    def _measure(self) -> None:
        """Add up all parts of one kind; what follows one of another kind is dropped."""
        for number, part in enumerate(self.left):
            try:
                with SplicedFile(self.path, part) as file, ForwardFile(file) as opened:
                    kind, frames = (int(opened.samplerate), int(opened.channels)), int(opened.frames)
            except soundfile.LibsndfileError:
                kind, frames = (0, 0), 0
            if kind != (self.samplerate, self.channels):
                after = f"after {self.frames / self.samplerate:.1f} s " if self.frames is not None else ""
                self.notes.append(
                    f"what follows {after}has another sample rate or number of channels, or is damaged, "
                    "and was left out"
                )
                del self.left[number:]
                return
            self.frames = None if self.frames is None or frames >= UNKNOWN else self.frames + frames

    def read(self, frames: int) -> Array:
        """See ``AudioSource.read``."""
        blocks: list[Array] = []
        missing = frames
        while missing:
            block = self._opened().read(missing, dtype="float32", always_2d=True)
            blocks.append(block)
            missing -= len(block)
            if missing and not self.left:
                break
            if missing:
                self._next()
        joined = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
        self.position += len(joined)
        if missing:
            self._compare()
        return np.asarray(joined, np.float32)

    def skip(self, frames: int) -> None:
        """See ``AudioSource.skip``; one file of a known length is not read for it."""
        if self.left or self.frames is None:
            super().skip(frames)
        else:
            self.position += frames
            self._opened().seek(frames, soundfile.SEEK_CUR)

    def _compare(self) -> None:
        """At the end: say it where the file holds less than it announced."""
        if self.frames is not None and self.frames - self.position > CUT_SECONDS * self.samplerate:
            ends, whole = self.position / self.samplerate, self.frames / self.samplerate
            note = f"the file is cut off: it ends after {ends:.1f} of {whole:.1f} s"
            if note not in self.notes:
                self.notes.append(note)

    def close(self) -> None:
        """See ``AudioSource.close``."""
        if self.part is not None:
            self.part.close()
        if self.file is not None:
            self.file.close()
        self.part = self.file = None
