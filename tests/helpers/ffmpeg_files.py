"""Files that only ffmpeg makes; tests that need them are skipped where it is not installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")


def encoded(path: Path, x: np.ndarray, rate: int, *how: str, inputs: tuple[str, ...] = ()) -> Path:
    """Encode samples [n] or [n, C] into a file, by its suffix and ffmpeg's options."""
    source = path.with_name(f"{path.name}.source.wav")
    soundfile.write(source, x, rate, subtype="PCM_16")
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", *inputs, "-i", str(source), *how, str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    source.unlink()
    return path


def video(path: Path, x: np.ndarray, rate: int, *how: str) -> Path:
    """A video of moving bars with the samples as its sound."""
    seconds = len(x) / rate
    picture = ("-f", "lavfi", "-i", f"testsrc=size=64x48:rate=25:duration={seconds}")
    return encoded(path, x, rate, "-shortest", *how, inputs=picture)


def streams(path: Path) -> list[str]:
    """The kinds of a file's streams, in order."""
    command = ["ffprobe", "-v", "error", "-show_entries", "stream=codec_type", "-of", "csv=p=0", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
