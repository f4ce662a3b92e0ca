"""Separation of one file of any length in bounded memory."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
import soundfile
import soxr

from marssep_rt.arrays import Array
from marssep_rt.audio_io.ffmpeg_writer import open_writer
from marssep_rt.audio_io.reader import damaged, open_source, reason
from marssep_rt.audio_io.source import AudioSource
from marssep_rt.audio_io.streams import is_stream
from marssep_rt.audio_io.writer import AudioWriter, SoundShape, resampled, said
from marssep_rt.batch.output_stage import OutputStage
from marssep_rt.batch.plan import Job
from marssep_rt.batch.second_pass import FirstPassMeter, SecondPass, looks_twice
from marssep_rt.contract import MIXER
from marssep_rt.dsp.match import Match, MatchMeter
from marssep_rt.dsp.mixer import Controls
from marssep_rt.dsp.presence import PresenceCurve, WindowEncoder
from marssep_rt.dsp.stream_processor import StreamProcessor
from marssep_rt.errors import AudioFileError
from marssep_rt.model.stream import GraphInfo
from marssep_rt.query.audible import WINDOW_SECONDS, heard_in
from marssep_rt.query.build import narrowed
from marssep_rt.query.source_windows import source_windows
from marssep_rt.query.types import Query

HOPS_AT_ONCE = 32
MOST = 1e6  # finite but absurd samples are cut here: they would stay in the model's state

Progress = Callable[[float, float | None], None]  # seconds done, seconds in all if they are known
Steer = Callable[[StreamProcessor], None]


def no_steering(_: StreamProcessor) -> None:
    """The query stays as it is."""


@dataclass(frozen=True)
class Outcome:
    """What came of a file that was separated.

    Attributes:
        seconds: The length of the file.
        nan_samples: Non-finite samples, which were replaced by silence.
        notes: What was lost, mended or clipped, in sentences without the file's name.
        match: Presence of the target and level of the output.
    """

    seconds: float
    nan_samples: int
    notes: tuple[str, ...] = ()
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
    if isinstance(query, Query):
        controls = controls.limited(query.limit_db)
    writers: list[AudioWriter] = []
    with open_source(job.source, lambda: progress(0.0, None)) as source:
        rate, channels = source.samplerate, source.channels
        try:
            if isinstance(query, Query) and query.narrowings and encoder is not None:
                with reading(job.source, open_source(source.temporary or job.source)) as first:
                    model_rate = GraphInfo.of(session).sample_rate
                    query = narrowed_to(query, first, encoder, model_rate, progress)
            # the mixer comes after the way back to the file's rate, in the output stage
            processor = StreamProcessor(session, provider, channels, query, Controls(), HOPS_AT_ONCE)
            asked = processor.queries[0].kept
            for path in (job.output, job.residual):
                if path is not None:
                    writers.append(_writer(job, path, source))
            steer, progress = _looking_twice(job, source, processor, controls, encoder, progress)
            output = OutputStage(
                processor.info.sample_rate, rate, channels, _mixes(controls, len(writers) > 1), writers
            )
            meter = MatchMeter(processor.info.sample_rate, PresenceCurve.of(processor.info.presence))
            nan_samples = separate_source(source, processor, output, progress, meter.add, steer)
            for writer in writers:
                writer.finish()
        except BrokenPipeError:
            raise
        except (soundfile.LibsndfileError, OSError) as e:
            raise damaged(job.source, source, e) from e
        finally:
            for writer in writers:
                writer.discard()
        told = [note for writer in writers for note in _notes_of(job, writer, controls)]
        notes = (*source.notes, *told)
        match = meter.result(controls, asked, encoder)
        return Outcome(source.position / rate, nan_samples, notes, match)


def _looking_twice(
    job: Job,
    source: AudioSource,
    processor: StreamProcessor,
    controls: Controls,
    encoder: WindowEncoder | None,
    progress: Progress,
) -> tuple[Steer, Progress]:
    """What steers the second pass, and its progress; the first pass is done where the query asks for one."""
    (query,) = processor.queries
    if encoder is None or not looks_twice(query, source, controls):
        return no_steering, progress
    with reading(job.source, open_source(source.temporary or job.source)) as first:
        steer = second_pass(first, processor, query, encoder, halved(progress, 0)).steer
    return steer, halved(progress, 1)


@contextlib.contextmanager
def reading(path: Path, source: AudioSource) -> Iterator[AudioSource]:
    """A source that is read to its end; raises AudioFileError that says where it is damaged."""
    with source:
        try:
            yield source
        except (soundfile.LibsndfileError, OSError) as e:
            raise damaged(path, source, e) from e


def _writer(job: Job, path: Path, source: AudioSource) -> AudioWriter:
    """The writer of an output; its folder is made. Raises AudioFileError."""
    if not is_stream(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise AudioFileError(f"{path}: cannot be written ({reason(e)})") from e
    shape = SoundShape(source.samplerate, source.channels, source.frames, source.subtype, source.metadata)
    return open_writer(path, shape, job.format_of(path), job.source)


def _mixes(controls: Controls, residual: bool) -> list[tuple[float, float]]:
    """(a, b) of a * target + b * input for the target's output and for the residual, their difference."""
    a, b = controls.coefficients()
    return [(a, b), (-a, 1.0 - b)] if residual else [(a, b)]


def _notes_of(job: Job, writer: AudioWriter, controls: Controls) -> Iterator[str]:
    """What to say of an output: another sample rate, clipping."""
    if writer.note:
        yield writer.note
    if not writer.clipped:
        return
    over_db = math.ceil(200 * math.log10(writer.peak)) / 10  # rounded up: what is lowered by it fits
    count = f"{writer.clipped} of {writer.samples} samples of {said(writer.path)}"
    ways = []
    gain_db = round(controls.gain_db - over_db, 1)
    if writer.path == job.output and gain_db >= MIXER.gain_db_min:  # the residual is louder with less of it
        ways.append(f"--gain {gain_db:g}")
    if not writer.kind.has_picture:
        ways.append("--format wav32 (float WAV)")
    yield f"{count} clip, by up to {over_db:g} dB" + (f"; use {' or '.join(ways)}" if ways else "")


def narrowed_to(
    query: Query,
    source: AudioSource,
    encoder: WindowEncoder,
    rate: int,
    progress: Progress = lambda *_: None,
) -> Query:
    """The query narrowed to what can be heard in a sound, which is read to its end.

    Args:
        query: The query.
        source: The sound.
        encoder: The bundle's audio encoder.
        rate: Sample rate of the model in Hz.
        progress: Called now and then, with nothing done; what it raises ends the reading.

    Raises:
        soundfile.LibsndfileError, OSError: The sound cannot be read to its end.
    """

    def windows() -> Iterator[Array]:
        for window in source_windows(source, rate, WINDOW_SECONDS):
            progress(0.0, source.seconds)
            yield window

    return narrowed(query, heard_in(windows(), encoder))


def second_pass(
    source: AudioSource,
    processor: StreamProcessor,
    query: Query,
    encoder: WindowEncoder,
    progress: Progress = lambda *_: None,
) -> SecondPass:
    """Separate a sound to its end to hear what that gives; the processor is as fresh afterwards.

    Args:
        source: The sound.
        processor: The model, whose output is the target.
        query: What it is asked, with a second look.
        encoder: The bundle's audio encoder.
        progress: Called with the seconds done and the seconds in all.

    Returns:
        How to ask in the second pass.

    Raises:
        soundfile.LibsndfileError, OSError: The sound cannot be read to its end.
    """
    meter = FirstPassMeter(processor.info.sample_rate, encoder)
    nowhere = OutputStage(processor.info.sample_rate, source.samplerate, source.channels, [], [])
    separate_source(source, processor, nowhere, progress, meter.add)
    meter.close()
    processor.reset()
    return SecondPass(query, meter.windows, meter.size)


def halved(progress: Progress, half: int) -> Progress:
    """The progress of the first (0) or second (1) of two passes."""
    return lambda done, seconds: progress((done + half * (seconds or done)) / 2, seconds)


def separate_source(
    source: AudioSource,
    processor: StreamProcessor,
    output: OutputStage,
    progress: Progress = lambda *_: None,
    observe: Callable[[Array, Array], None] = lambda *_: None,
    steer: Steer = no_steering,
) -> int:
    """The whole sound through model and output, aligned: the graph's latency is cut off at the start.

    Args:
        source: The sound.
        processor: The model, whose output is the target.
        output: Mixes the target with the sound.
        progress: Called with the seconds done and the seconds in all.
        observe: Called with every block of the target and of the input, at the model's rate.
        steer: Called with the processor before every block.

    Returns:
        The number of samples that were not finite.

    Raises:
        soundfile.LibsndfileError, OSError: The sound cannot be read to its end.
    """
    skip, size, channels = processor.info.latency, processor.size, source.channels

    def run(block: Array, last: bool, keep: int) -> None:
        nonlocal skip
        steer(processor)
        out = processor.process(block)
        observe(processor.target, processor.dry)
        first = min(skip, size)
        skip -= first
        output.write(out[:, first:keep], last)

    waiting: Array = np.zeros((channels, 0), np.float32)
    nan_samples = 0
    for dry, block, bad in _blocks(source, processor):
        nan_samples += bad
        output.dry.put(dry)
        waiting = np.concatenate([waiting, block], axis=1)
        while waiting.shape[1] > size:  # the last block is kept back until the end is known
            run(waiting[:, :size], False, size)
            waiting = waiting[:, size:]
        progress(source.position / source.samplerate, source.seconds)
    tail = np.zeros((channels, processor.info.latency), np.float32)
    waiting = np.concatenate([waiting, tail], axis=1)
    while waiting.shape[1]:
        block, waiting = waiting[:, :size], waiting[:, size:]
        keep = block.shape[1]
        run(np.pad(block, ((0, 0), (0, size - keep))), waiting.shape[1] == 0, keep)
    return nan_samples


def _blocks(source: AudioSource, processor: StreamProcessor) -> Iterator[tuple[Array, Array, int]]:
    """Blocks of the file.

    Yields:
        float32 [C, n] at the file's rate, float32 [C, m] at the model's, and the number of samples that were
        not finite and are silence in both.
    """
    rate, model_rate = source.samplerate, processor.info.sample_rate
    resampler = soxr.ResampleStream(rate, model_rate, source.channels) if rate != model_rate else None
    chunk = max(1, round(processor.size * rate / model_rate))
    last = False
    while not last:
        read = source.read(chunk)
        last = len(read) < chunk
        bad = ~np.isfinite(read)
        read[bad] = 0.0  # before the resampler, which would smear them
        dry = np.ascontiguousarray(np.clip(read, -MOST, MOST).T)
        yield dry, dry if resampler is None else resampled(resampler, dry, last), int(bad.sum())
