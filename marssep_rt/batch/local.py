"""Files on the threads of this machine; they share one ONNX Runtime session."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed

import numpy as np
import numpy.typing as npt
from onnxruntime import InferenceSession
from rich.progress import Progress, TaskID

from marssep_rt.batch.plan import Job
from marssep_rt.batch.separate import Outcome, Result, process_file
from marssep_rt.dsp.mixer import Controls
from marssep_rt.errors import FileError


def on_threads(jobs: Sequence[Job], workers: int, graph: tuple[InferenceSession, str], query: npt.NDArray[np.float32],
               controls: Controls, progress: Progress) -> Generator[Result, None, None]:  # fmt: skip
    """Every job with its outcome and time, or None and why it failed, as they finish; the session is shared, and releases Python's lock.

    Closed early, it waits until the threads have left what they were at.
    """
    session, used = graph
    stop = threading.Event()

    def one(job: Job) -> tuple[Outcome, float]:
        began = time.monotonic()
        task: TaskID = progress.add_task(job.source.name, total=1.0, speed="")

        def tell(done: float, seconds: float) -> None:
            if stop.is_set():
                raise FileError(f"{job.source}: interrupted")
            speed = done / max(1e-6, time.monotonic() - began)
            progress.update(task, completed=done / seconds, speed=f"{speed:.1f} x real time")

        try:
            return process_file(job, session, used, query, controls, tell), time.monotonic() - began
        finally:
            progress.remove_task(task)

    pool = ThreadPoolExecutor(workers)
    futures: dict[Future[tuple[Outcome, float]], Job] = {pool.submit(one, job): job for job in jobs}
    try:
        for future in as_completed(futures):
            try:
                outcome, took = future.result()
            except FileError as e:
                yield futures[future], None, 0.0, str(e)
                continue
            yield futures[future], outcome, took, ""
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
