"""Files of any length in bounded memory: read, resample, separate, resample back, written beside and renamed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
import soundfile
import soxr

from marssep_rt.arrays import Array
from marssep_rt.audio_io.reader import open_source, reason
from marssep_rt.audio_io.writer import Sink
from marssep_rt.batch.plan import Job
from marssep_rt.dsp.mixer import Controls
from marssep_rt.dsp.stream_processor import HopProcessor
from marssep_rt.errors import FileError

HOPS_AT_ONCE = 32


@dataclass(frozen=True)
class Outcome:
    """``nan_samples``: non-finite samples that were replaced by silence."""

    seconds: float
    nan_samples: int


Result = tuple[Job, Outcome | None, float, str]  # a job, its outcome and the seconds it took, or None and why there is none


class Back:
    """From 48 kHz to the file's rate, exactly ``frames`` samples."""

    def __init__(self, model_rate: int, rate: int, channels: int, frames: int, sinks: list[Sink]) -> None:
        self.resamplers = [soxr.ResampleStream(model_rate, rate, channels) for _ in sinks] if rate != model_rate else []
        self.left = frames
        self.sinks = sinks

    def write(self, parts: list[Array], last: bool) -> None:
        """[C, n] for every sink; at the end missing samples are silence."""
        if self.resamplers:
            # soxr wants [n, C], and for one channel too
            parts = [
                np.atleast_2d(r.resample_chunk(np.ascontiguousarray(x.T), last=last).T) for r, x in zip(self.resamplers, parts, strict=True)
            ]
        n = min(self.left, parts[0].shape[1])
        for sink, x in zip(self.sinks, parts, strict=True):
            sink.write(x[:, :n])
            if last and n < self.left:
                sink.write(np.zeros((x.shape[0], self.left - n), np.float32))
        self.left -= n if not last else self.left


def process_file(
    job: Job,
    session: ort.InferenceSession,
    provider: str,
    query: Array,
    controls: Controls,
    progress: Callable[[float, float], None] = lambda *_: None,
) -> Outcome:
    """Separate one file; output and residual are aligned to the input and as long. Raises FileError and leaves nothing behind.

    ``progress`` is told the seconds done and the seconds in all.
    """
    sinks: list[Sink] = []
    with open_source(job.source) as source:
        rate, channels, frames = source.samplerate, source.channels, source.frames
        hops = HopProcessor(session, provider, channels, query, controls, HOPS_AT_ONCE)
        try:
            for path in (job.output, job.residual):
                if path is not None:
                    sinks.append(Sink(path, rate, channels, frames))
            back = Back(hops.info.sample_rate, rate, channels, frames, sinks)
            _stream(source, hops, back, progress)
            for sink in sinks:
                sink.finish()
        except soundfile.LibsndfileError as e:
            raise FileError(f"{job.source}: damaged after {source.tell() / rate:.1f} s ({reason(e)})") from e
        finally:
            for sink in sinks:
                if not sink.file.closed or sink.beside.exists():
                    sink.discard()
    return Outcome(frames / rate, hops.nan_samples)


def _stream(source: soundfile.SoundFile, hops: HopProcessor, back: Back, progress: Callable[[float, float], None]) -> None:
    """Chunks through resampler, model and back; the graph's latency is cut off in front and filled with silence behind."""
    rate, model_rate, channels, size = source.samplerate, hops.info.sample_rate, source.channels, hops.size
    forward = soxr.ResampleStream(rate, model_rate, channels) if rate != model_rate else None
    skip = hops.info.latency
    chunk = max(1, round(size * rate / model_rate))
    waiting: Array = np.zeros((channels, 0), np.float32)
    total = done = nan_samples = 0  # samples at the model's rate: received, given back

    def run(block: Array, last: bool, keep: int) -> None:
        nonlocal skip
        out = hops.process(block)
        parts = [out.copy()] if len(back.sinks) == 1 else [out.copy(), hops.dry - out]
        first = min(skip, size)
        skip -= first
        back.write([x[:, first:keep] for x in parts], last)

    while True:
        read = source.read(chunk, dtype="float32", always_2d=True)
        end = len(read) < chunk
        bad = ~np.isfinite(read)
        if bad.any():  # before the resampler, which would smear them
            nan_samples += int(bad.sum())
            read[bad] = 0.0
        block = read.T if forward is None else np.atleast_2d(forward.resample_chunk(read, last=end).T)
        total += block.shape[1]
        waiting = np.concatenate([waiting, block], axis=1)
        if end:
            break
        while waiting.shape[1] >= size:
            run(waiting[:, :size], False, size)
            done += size
            waiting = waiting[:, size:]
        progress(source.tell() / rate, source.frames / rate)
    tail = np.zeros((channels, hops.info.latency), np.float32)
    waiting = np.concatenate([waiting, tail], axis=1)
    while waiting.shape[1]:
        block, waiting = waiting[:, :size], waiting[:, size:]
        keep = block.shape[1]
        if keep < size:
            block = np.concatenate([block, np.zeros((channels, size - keep), np.float32)], axis=1)
        run(block, waiting.shape[1] == 0, keep)
    hops.nan_samples += nan_samples
    progress(source.frames / rate, source.frames / rate)
