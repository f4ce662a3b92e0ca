"""Speed and memory, by hand: python tests/benchmarks/run.py [--seconds 20]. Real-time figures are paced: one
hop per hop time.

Beside the model, in the same run, the peer pyrnnoise (a 10 ms noise suppressor) and a 48 x 256 x 256 matrix
product as a measure of this machine, so that figures can be compared as ratios.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from marssep_rt.dsp.mixer import Controls
from marssep_rt.dsp.stream_processor import StreamProcessor
from marssep_rt.model import bundle as bundles
from marssep_rt.model.providers import open_graph
from marssep_rt.query.encoders import AudioEncoder, ImageEncoder, TextEncoder
from marssep_rt.utils.benchmark import Times, paced, quantiles

RATE, HOP = 48_000, 480


def noise() -> np.ndarray:
    return (0.1 * np.random.default_rng(0).standard_normal((1, HOP))).astype(np.float32)


def hop_by_hop(work: Callable[[np.ndarray], object], seconds: float) -> dict[str, float]:
    """Call ``work`` with a hop of noise once per hop time."""
    x = noise()
    times = paced(lambda: work(x), HOP / RATE, seconds)
    result = in_ms(times)
    result["real_time_factor_p50"] = round(result["p50_ms"] / (HOP / RATE * 1e3), 3)
    result["misses"] = int((times > 1e3 * HOP / RATE).sum())
    return result


def in_ms(times: Times) -> dict[str, float]:
    return {f"{name}_ms": value for name, value in quantiles(times).items()}


def back_to_back(work: Callable[[np.ndarray], object], count: int = 1000) -> float:
    x = noise()
    work(x)
    t0 = time.perf_counter()
    for _ in range(count):
        work(x)
    return round((time.perf_counter() - t0) / count / (HOP / RATE), 4)


def file_throughput(minutes: float) -> dict[str, float]:
    """marssep-file on a stereo file of that length, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.wav"
        rng = np.random.default_rng(0)
        with soundfile.SoundFile(path, "w", RATE, 2, subtype="PCM_16") as f:
            for _ in range(int(minutes * 6)):
                f.write((0.1 * rng.standard_normal((10 * RATE, 2))).astype(np.float32))
        code = (
            "import sys; from marssep_rt.cli.file import app\n"
            "try: app(['--query', 'rain', '--provider', 'cpu', sys.argv[1]])\n"
            "except SystemExit: pass\n"
            "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
        )
        t0 = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
        )
        took = time.perf_counter() - t0
    return {
        "minutes": minutes,
        "times_real_time": round(minutes * 60 / took, 1),
        "peak_mb": round(int(done.stdout.split()[-1]) / 1024),
    }


def first_sound() -> dict[str, float]:
    """Start of the process to the first separated hop, with a text query and with an embedded one."""
    with tempfile.TemporaryDirectory() as folder:
        query = Path(folder) / "q.query"
        subprocess.run(
            [Path(sys.executable).parent / "marssep-query", "--query", "rain", "-o", query],
            check=True,
            capture_output=True,
        )
        result = {}
        for name, argument in (("text", "query='rain'"), ("query_file", f"query_file={str(query)!r}")):
            code = (
                "import numpy as np; from marssep_rt import Separator; "
                f"Separator({argument}).process(np.zeros(480, 'f'))"
            )
            times = []
            for _ in range(3):
                t0 = time.perf_counter()
                subprocess.run([sys.executable, "-c", code], check=True)
                times.append(time.perf_counter() - t0)
            result[f"{name}_s"] = round(min(times), 2)
    return result


def timed(call: Callable[[], object], times: int = 50) -> dict[str, float]:
    """Quantiles of how long a call takes."""
    took = []
    for _ in range(times):
        t0 = time.perf_counter()
        call()
        took.append(1e3 * (time.perf_counter() - t0))
    return in_ms(np.array(took))


def rnnoise() -> Callable[[np.ndarray], object] | None:
    try:
        from pyrnnoise import RNNoise
    except ImportError:
        return None
    peer = RNNoise(sample_rate=RATE)
    return lambda x: list(peer.denoise_chunk((x * 32767).astype(np.int16)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each paced run")
    parser.add_argument(
        "--minutes", type=float, default=5.0, help="length of the file for throughput and memory"
    )
    options = parser.parse_args()
    bundle = bundles.load()
    session, used = open_graph(bundle, "cpu")
    vector = np.full(bundle.query_dim, bundle.query_dim**-0.5, np.float32)
    hops = StreamProcessor(session, used, 1, vector, Controls())
    text, audio, image = TextEncoder(bundle), AudioEncoder(bundle), ImageEncoder(bundle)
    recording = 0.1 * np.random.default_rng(0).standard_normal(4 * RATE).astype(np.float32)
    pixels = np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8)
    a, b = np.ones((48, 256), np.float32), np.ones((256, 256), np.float32)
    figures: dict[str, object] = {
        "model": bundle.name,
        "paced": hop_by_hop(hops.process, options.seconds),
        "back_to_back_real_time_factor": back_to_back(hops.process),
        "text_query": timed(lambda: text.embed("a hound woofing in the yard")),
        "audio_query_of_4_s": timed(lambda: audio.embed_windows([recording])),
        "image_query": timed(lambda: image.embed_pixels(pixels)),
        "machine_matmul_paced": hop_by_hop(lambda _: a @ b, 2.0),
        "file": file_throughput(options.minutes),
        "first_sound": first_sound(),
        "peak_mb_of_this_process": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    peer = rnnoise()
    figures["pyrnnoise_paced"] = (
        hop_by_hop(peer, options.seconds) if peer else "not installed (pip install pyrnnoise)"
    )
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
