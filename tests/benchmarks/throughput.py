"""Files at scale: hours of audio per core-hour of marssep-file, one and two files at a time, beside two peers
in the same run.

    pip install noisereduce pyrnnoise
    python tests/benchmarks/throughput.py [--files 8] [--seconds 60]

noisereduce (spectral gating) and pyrnnoise (RNNoise) suppress noise and take no query; they are what people
run over folders today. A peer that is not installed is left out. Core-hours are wall time times workers: what
is waited for counts.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import soundfile

RATE = 48_000


def reduced(path: Path) -> None:
    import noisereduce

    x, rate = soundfile.read(path, dtype="float32")
    soundfile.write(path.with_suffix(".nr.wav"), noisereduce.reduce_noise(y=x, sr=rate), rate)


def suppressed(path: Path) -> None:
    from pyrnnoise import RNNoise

    x, rate = soundfile.read(path, dtype="int16")
    frames = [frame for _, frame in RNNoise(rate).denoise_chunk(x, partial=True)]
    soundfile.write(path.with_suffix(".rnn.wav"), np.concatenate(frames, axis=1).T, rate)


def marssep(paths: list[Path], workers: int) -> None:
    subprocess.run(
        [
            Path(sys.executable).parent / "marssep-file",
            "--query",
            "rain",
            "--provider",
            "cpu",
            "--overwrite",
            "--jobs",
            str(workers),
            "-o",
            f"{paths[0].parent}/out/",
            *paths,
        ],
        check=True,
        capture_output=True,
    )


def in_processes(work: Callable[[Path], None]) -> Callable[[list[Path], int], None]:
    def run(paths: list[Path], workers: int) -> None:
        with ProcessPoolExecutor(workers) as pool:
            list(pool.map(work, paths))

    return run


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--files", type=int, default=8)
    options.add_argument("--seconds", type=float, default=60.0)
    given = options.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as place:
        paths = [Path(place) / f"{i}.wav" for i in range(given.files)]
        for path in paths:
            soundfile.write(path, 0.1 * rng.standard_normal(round(given.seconds * RATE)), RATE)
        hours = given.files * given.seconds / 3600
        print(f"{given.files} mono files of {given.seconds:g} s at 48 kHz; start of the processes included")
        for name, work in (
            ("marssep", marssep),
            ("noisereduce", in_processes(reduced)),
            ("pyrnnoise", in_processes(suppressed)),
        ):
            for workers in (1, 2):
                began = time.perf_counter()
                try:
                    work(paths, workers)
                except ImportError as e:
                    print(f"{name}: {e}")
                    break
                took = time.perf_counter() - began
                print(
                    f"{name}, {workers} at a time: {hours / (took * workers / 3600):.1f} "
                    f"hours of audio per core-hour ({took:.1f} s)"
                )


if __name__ == "__main__":
    main()
