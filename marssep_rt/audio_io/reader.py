"""Audio files for reading: opened and checked, with errors in words."""

from __future__ import annotations

from pathlib import Path

import soundfile

from marssep_rt.errors import AudioFileError


def open_source(path: Path) -> soundfile.SoundFile:
    """Open for reading; raises AudioFileError with the reason in words."""
    if not path.exists():
        raise AudioFileError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise AudioFileError(f"{path}: the file is empty")
    try:
        file = soundfile.SoundFile(path)
    except (soundfile.LibsndfileError, OSError, TypeError) as e:
        raise AudioFileError(f"{path}: not a sound file that can be read ({reason(e)})") from e
    if file.channels > 2:
        channels = file.channels
        file.close()
        raise AudioFileError(f"{path}: {channels} channels; mono and stereo work, so mix it down first")
    if not 8_000 <= file.samplerate <= 192_000:
        rate = file.samplerate
        file.close()
        raise AudioFileError(f"{path}: a sample rate of {rate} Hz; 8 to 192 kHz work")
    if file.frames == 0:
        file.close()
        raise AudioFileError(f"{path}: holds no samples")
    return file


def reason(error: BaseException) -> str:
    """A library's error in few words."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    text = getattr(error, "error_string", "") or str(error)
    return str(text).strip().rstrip(".").removeprefix("Error : ").lower()
