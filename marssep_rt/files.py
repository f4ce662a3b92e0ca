"""Files of any length in bounded memory: read, resample, separate, resample back, written beside and renamed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import soundfile
import soxr

from marssep_rt.errors import MarssepError, UsageError
from marssep_rt.hops import HopProcessor
from marssep_rt.mix import Controls
from marssep_rt.recorder import SUBTYPES, allow_downgrade

Array = npt.NDArray[np.float32]
HOPS_AT_ONCE = 32
EXTENSIONS = {".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".caf", ".w64", ".rf64", ".snd"}
MARK = ".marssep"


class FileError(MarssepError):
    """One file could not be processed; the message says which and why."""


@dataclass(frozen=True)
class Job:
    """One input and what comes of it. ``residual`` is None unless asked for."""

    source: Path
    output: Path
    residual: Path | None


@dataclass(frozen=True)
class Outcome:
    """``nan_samples``: non-finite samples that were replaced by silence."""

    seconds: float
    nan_samples: int


Result = tuple[Job, Outcome | None, float, str]  # a job, its outcome and the seconds it took, or None and why there is none


def gather(inputs: list[Path], recursive: bool) -> Iterator[tuple[Path, Path]]:
    """(file, folder that it was found under) of every input; folders give what libsndfile reads, without our own outputs."""
    for path in inputs:
        if path.is_dir():
            found = sorted(p for p in (path.rglob("*") if recursive else path.iterdir()) if p.is_file())
            for p in found:
                if p.suffix.lower() in EXTENSIONS and MARK not in p.stem and not p.stem.endswith(".residual"):
                    yield p, path
        else:
            yield path, path.parent


def plan(inputs: list[Path], output: str | None, recursive: bool, residual: bool, kind: str) -> list[Job]:
    """Where everything goes. Raises UsageError when two inputs would share an output, or nothing was found."""
    found = list(gather(inputs, recursive))
    if not found:
        raise UsageError("no sound files there" + ("" if recursive else "; add --recursive to look into folders below"))
    folder: Path | None = None
    if output is not None:
        several = len(found) > 1 or any(p.is_dir() for p in inputs)
        if several or output.endswith(("/", os.sep)) or Path(output).is_dir():
            folder = Path(output)
            if folder.exists() and not folder.is_dir():
                raise UsageError(f"{folder} is a file, but there are several inputs; give a folder with -o")
        else:
            suffix = Path(output).suffix.lower()
            if suffix not in (".wav", ".flac"):
                raise UsageError(f"{output}: outputs are .wav or .flac files (or a folder that ends in /)")
    jobs: list[Job] = []
    taken: dict[Path, Path] = {}
    for source, root in found:
        if folder is not None:
            target = folder / source.relative_to(root).with_suffix(f".{kind}")
        elif output is not None:
            target = Path(output)
        else:
            target = source.with_name(f"{source.stem}{MARK}.{kind}")
        rest = target.with_name(f"{target.stem.removesuffix(MARK)}.residual{target.suffix}") if residual else None
        for path in (target, rest):
            if path is not None:
                other = taken.setdefault(path.absolute(), source)
                if other != source:
                    raise UsageError(f"{source} and {other} would both be written to {path}; process them separately")
        jobs.append(Job(source, target, rest))
    return jobs


def check_job(job: Job, overwrite: bool) -> None:
    """Refuse what would lose something; raises FileError."""
    for path in (job.output, job.residual):
        if path is None:
            continue
        if path.exists() and job.source.exists() and path.samefile(job.source):
            raise FileError(f"{job.source}: the output would replace the input; choose another with -o")
        if path.is_dir():
            raise FileError(f"{job.source}: the output {path} is a folder")
        if path.exists() and not overwrite:
            raise FileError(f"{job.source}: {path} exists; add --overwrite to replace it")


def open_source(path: Path) -> soundfile.SoundFile:
    """Open for reading; raises FileError with the reason in words."""
    if not path.exists():
        raise FileError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise FileError(f"{path}: the file is empty")
    try:
        file = soundfile.SoundFile(path)
    except (soundfile.LibsndfileError, OSError, TypeError) as e:
        raise FileError(f"{path}: not a sound file that can be read ({reason(e)})") from e
    if file.channels > 2:
        channels = file.channels
        file.close()
        raise FileError(f"{path}: {channels} channels; mono and stereo work, so mix it down first")
    if not 8_000 <= file.samplerate <= 192_000:
        rate = file.samplerate
        file.close()
        raise FileError(f"{path}: a sample rate of {rate} Hz; 8 to 192 kHz work")
    if file.frames == 0:
        file.close()
        raise FileError(f"{path}: holds no samples")
    return file


def reason(error: BaseException) -> str:
    """A library's error in few words."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    text = getattr(error, "error_string", "") or str(error)
    return str(text).strip().rstrip(".").removeprefix("Error : ").lower()


class Sink:
    """An output file that appears under its name only when it is whole."""

    def __init__(self, path: Path, rate: int, channels: int, frames: int) -> None:
        self.path = path
        self.beside = path.with_name(path.name + ".part")
        kind = "FLAC" if path.suffix.lower() == ".flac" else "WAV"
        if kind == "WAV" and frames * channels * 4 > 4_000_000_000:
            kind = "RF64"
        need = frames * channels * (4 if kind != "FLAC" else 2)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(path.parent).free
            if free < need:
                raise FileError(f"{path}: needs about {need / 1e6:.0f} MB, but only {free / 1e6:.0f} MB are free there")
            self.file = soundfile.SoundFile(self.beside, "w", rate, channels, subtype=SUBTYPES[kind], format=kind)
        except (soundfile.LibsndfileError, OSError) as e:
            raise FileError(f"{path}: cannot be written ({self._why(e)})") from e
        if kind == "RF64":
            allow_downgrade(self.file)

    def _why(self, error: BaseException) -> str:
        if isinstance(error, soundfile.LibsndfileError) and not os.access(self.path.parent, os.W_OK):
            return "the folder is not writable"
        return "no space left, or the disk failed" if "system error" in reason(error) else reason(error)

    def write(self, x: Array) -> None:
        """[C, n]; raises FileError when the disk is full."""
        try:
            self.file.write(x.T)
        except (soundfile.LibsndfileError, OSError) as e:
            raise FileError(f"{self.path}: writing failed ({self._why(e)})") from e

    def finish(self) -> None:
        try:
            self.file.close()
            os.replace(self.beside, self.path)
        except (soundfile.LibsndfileError, OSError) as e:
            raise FileError(f"{self.path}: could not be finished ({self._why(e)})") from e

    def discard(self) -> None:
        self.file.close()
        self.beside.unlink(missing_ok=True)


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
