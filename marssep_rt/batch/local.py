"""Separation of many files on threads; they share one session, which releases Python's lock."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait

from onnxruntime import InferenceSession
from rich.progress import Progress

from marssep_rt.arrays import Array
from marssep_rt.batch.plan import Job
from marssep_rt.batch.separate import Outcome, Result, process_file
from marssep_rt.dsp.mixer import Controls
from marssep_rt.dsp.presence import WindowEncoder
from marssep_rt.errors import AudioFileError
from marssep_rt.query.types import Query

GRACE_SECONDS = 10.0  # a thread that writes into a pipe nobody reads would never end


def on_threads(
    jobs: Sequence[Job],
    workers: int,
    graph: tuple[InferenceSession, str],
    query: Array | Query,
    controls: Controls,
    progress: Progress,
    encoder: WindowEncoder | None = None,
) -> Generator[Result, None, None]:
    """Separate files on threads.

    Args:
        jobs: The files.
        workers: The number of threads.
        graph: The session of the separator and the provider that it runs on.
        query: A query or a unit vector [D].
        controls: The mixer settings.
        progress: Shows a bar for each file.
        encoder: The bundle's audio encoder, by which presence is measured; None goes without.

    Yields:
        The result of every job, in the order in which they end. A generator that is closed early waits for
        its threads to clean up.
    """
    session, provider = graph
    stop = threading.Event()

    def separate(job: Job) -> tuple[Outcome, float]:
        began = time.monotonic()
        bar = progress.add_task(job.source.name, total=None, speed="")

        def show(done: float, seconds: float | None) -> None:
            if stop.is_set():
                raise AudioFileError(f"{job.source}: interrupted")
            speed = done / max(1e-6, time.monotonic() - began)
            progress.update(bar, total=seconds, completed=done, speed=f"{speed:.1f} x real time")

        try:
            outcome = process_file(job, session, provider, query, controls, show, encoder)
            return outcome, time.monotonic() - began
        finally:
            progress.remove_task(bar)

    pool = ThreadPoolExecutor(workers)
    futures: dict[Future[tuple[Outcome, float]], Job] = {pool.submit(separate, job): job for job in jobs}
    try:
        for future in as_completed(futures):
            try:
                yield Result(futures[future], *future.result())
            except AudioFileError as e:
                yield Result(futures[future], error=str(e))
    finally:
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
        wait(futures, GRACE_SECONDS)
