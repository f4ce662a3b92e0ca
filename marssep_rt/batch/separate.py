"""Separation of one file of any length in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
import soundfile
import soxr

from marssep_rt.arrays import Array
from marssep_rt.audio_io.reader import open_source, reason
from marssep_rt.audio_io.writer import AtomicAudioWriter
from marssep_rt.batch.plan import Job
from marssep_rt.dsp.match import Match, MatchMeter
from marssep_rt.dsp.mixer import Controls
from marssep_rt.dsp.presence import PresenceCurve, WindowEncoder
from marssep_rt.dsp.stream_processor import StreamProcessor
from marssep_rt.errors import AudioFileError
from marssep_rt.query.types import Query

HOPS_AT_ONCE = 32

Progress = Callable[[float, float], None]  # seconds done, seconds in all


@dataclass(frozen=True)
class Outcome:
    """What came of a file that was separated.

    Attributes:
        seconds: The length of the file.
        nan_samples: Non-finite samples, which were replaced by silence.
        match: Presence of the target and level of the output.
    """

    seconds: float
    nan_samples: int
    match: Match | None = None


@dataclass(frozen=True)
class Result:
    """A job that has ended.

    Attributes:
        job: The job.
        outcome: None if it failed.
        took: Seconds of work.
        error: Why it failed, in one sentence.
    """

    job: Job
    outcome: Outcome | None = None
    took: float = 0.0
    error: str = ""


class OutputStage:
    """Resamples target and residual to the file's rate and writes exactly as many frames as the file has.

    Args:
        model_rate: Sample rate of the model in Hz.
        source: The file that is separated.
        writers: One writer for the target, and perhaps one for the residual.
    """

    def __init__(
        self, model_rate: int, source: soundfile.SoundFile, writers: list[AtomicAudioWriter]
    ) -> None:
        rate, channels = source.samplerate, source.channels
        self.resamplers = (
            [soxr.ResampleStream(model_rate, rate, channels) for _ in writers] if rate != model_rate else []
        )
        self.left = source.frames
        self.writers = writers

    def write(self, parts: list[Array], last: bool) -> None:
        """Write one [C, n] for every writer; with the last one, missing samples become silence."""
        if self.resamplers:
            parts = [_resampled(r, x, last) for r, x in zip(self.resamplers, parts, strict=True)]
        n = min(self.left, parts[0].shape[1])
        for writer, x in zip(self.writers, parts, strict=True):
            writer.write(x[:, :n])
            if last and n < self.left:
                writer.write(np.zeros((x.shape[0], self.left - n), np.float32))
        self.left -= n if not last else self.left


def _resampled(resampler: soxr.ResampleStream, x: Array, last: bool) -> Array:
    # soxr wants [n, C], and for one channel too
    return np.atleast_2d(resampler.resample_chunk(np.ascontiguousarray(x.T), last=last).T)


def process_file(
    job: Job,
    session: ort.InferenceSession,
    provider: str,
    query: Array | Query,
    controls: Controls,
    progress: Progress = lambda *_: None,
    encoder: WindowEncoder | None = None,
) -> Outcome:
    """Separate one file; the outputs are aligned with the input and have its length.

    Args:
        job: The input and the outputs.
        session: The session of the separator.
        provider: The provider that it runs on.
        query: A query or a unit vector [D].
        controls: The mixer settings.
        progress: Called with the seconds done and the seconds in all.
        encoder: The bundle's audio encoder, by which presence is measured; None goes without.

    Raises:
        AudioFileError: The file cannot be separated; no output is left behind.
    """
    writers: list[AtomicAudioWriter] = []
    with open_source(job.source) as source:
        rate, channels, frames = source.samplerate, source.channels, source.frames
        processor = StreamProcessor(session, provider, channels, query, controls, HOPS_AT_ONCE)
        try:
            for path in (job.output, job.residual):
                if path is not None:
                    writers.append(AtomicAudioWriter(path, rate, channels, frames))
            meter = MatchMeter(processor.info.sample_rate, PresenceCurve.of(processor.info.presence))
            output = OutputStage(processor.info.sample_rate, source, writers)
            _stream(source, processor, output, progress, meter)
            for writer in writers:
                writer.finish()
        except soundfile.LibsndfileError as e:
            raise AudioFileError(
                f"{job.source}: damaged after {source.tell() / rate:.1f} s ({reason(e)})"
            ) from e
        finally:
            for writer in writers:
                writer.discard()
    match = meter.result(controls, processor.queries[0].kept, encoder)
    return Outcome(frames / rate, processor.nan_samples, match)


def _stream(
    source: soundfile.SoundFile,
    processor: StreamProcessor,
    output: OutputStage,
    progress: Progress,
    meter: MatchMeter,
) -> None:
    """The whole file through model and output; the graph's latency is cut off at the start."""
    skip, size = processor.info.latency, processor.size
    two = len(output.writers) > 1

    def run(block: Array, last: bool, keep: int) -> None:
        nonlocal skip
        out = processor.process(block)
        meter.add(processor.target, processor.dry)
        parts = [out.copy(), processor.dry - out] if two else [out.copy()]
        first = min(skip, size)
        skip -= first
        output.write([x[:, first:keep] for x in parts], last)

    waiting: Array = np.zeros((source.channels, 0), np.float32)
    nan_samples = 0
    for block, bad, last in _chunks(source, processor):
        nan_samples += bad
        waiting = np.concatenate([waiting, block], axis=1)
        while not last and waiting.shape[1] >= size:
            run(waiting[:, :size], False, size)
            waiting = waiting[:, size:]
        progress(source.tell() / source.samplerate, source.frames / source.samplerate)
    tail = np.zeros((source.channels, processor.info.latency), np.float32)
    waiting = np.concatenate([waiting, tail], axis=1)
    while waiting.shape[1]:
        block, waiting = waiting[:, :size], waiting[:, size:]
        keep = block.shape[1]
        if keep < size:
            block = np.concatenate([block, np.zeros((source.channels, size - keep), np.float32)], axis=1)
        run(block, waiting.shape[1] == 0, keep)
    processor.nan_samples += nan_samples
    progress(source.frames / source.samplerate, source.frames / source.samplerate)


def _chunks(source: soundfile.SoundFile, processor: StreamProcessor) -> Iterator[tuple[Array, int, bool]]:
    """Chunks of the file at the model's rate.

    Yields:
        float32 [C, n], the number of samples that were not finite, and whether it is the last chunk.
    """
    rate, model_rate = source.samplerate, processor.info.sample_rate
    resampler = soxr.ResampleStream(rate, model_rate, source.channels) if rate != model_rate else None
    chunk = max(1, round(processor.size * rate / model_rate))
    last = False
    while not last:
        read = source.read(chunk, dtype="float32", always_2d=True)
        last = len(read) < chunk
        bad = ~np.isfinite(read)
        read[bad] = 0.0  # before the resampler, which would smear them
        block = read.T if resampler is None else np.atleast_2d(resampler.resample_chunk(read, last=last).T)
        yield block, int(bad.sum()), last
