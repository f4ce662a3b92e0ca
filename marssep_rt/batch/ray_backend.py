"""Separation of many files with Ray (extra ``[ray]``): Ray repeats a file elsewhere when its worker dies.

All machines must see inputs and outputs under the same path. An output appears under its name only when it is
complete, so an interrupted task leaves nothing that looks finished.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Generator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from marssep_rt.arrays import Array
from marssep_rt.batch.plan import Job
from marssep_rt.batch.separate import Outcome, Result, process_file
from marssep_rt.dsp.mixer import Controls
from marssep_rt.errors import AudioFileError, MarssepError, UsageError
from marssep_rt.model import bundle as bundles
from marssep_rt.model.providers import open_graph
from marssep_rt.query.encoders import audio_encoder_of
from marssep_rt.query.types import Query

ATTEMPTS = 4  # a file whose workers die as often has something to do with it
LOCAL = "local"


@lru_cache(maxsize=1)
def opened(bundle: Path | None, provider: str) -> tuple[Any, str]:
    """The session of a worker process."""
    return open_graph(bundles.load(bundle), provider)


def separate_one(
    job: Job, bundle: Path | None, provider: str, query: Array | Query, controls: Controls
) -> tuple[Outcome, float] | str:
    """In a Ray worker: the outcome of a file and the seconds that it took, or why it failed."""
    began = time.monotonic()
    session, used = opened(bundle, provider)
    encoder = audio_encoder_of(bundles.load(bundle))
    try:
        outcome = process_file(job, session, used, query, controls, encoder=encoder)
        return outcome, time.monotonic() - began
    except AudioFileError as e:
        return str(e)


def check_reachable(address: str) -> None:
    """Raise MarssepError if nothing answers at HOST:PORT; Ray itself would try for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon:
        return
    if not port.isdecimal() or int(port) > 65535:
        raise UsageError(f"{address} is no address of a Ray cluster; give HOST:PORT, auto or local")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError as e:
        raise MarssepError(f"no Ray cluster at {address}: {e.strerror or e}") from e


def _connect(ray: Any, address: str, workers: int | None) -> None:
    check_reachable(address)
    from ray.exceptions import RayError

    try:
        if address == LOCAL:
            ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False, configure_logging=False)
        else:
            ray.init(address=address, log_to_driver=False, configure_logging=False)
    except (RayError, ConnectionError, RuntimeError, ValueError) as e:
        raise MarssepError(f"no Ray cluster at {address}: {said_first(e)}") from e


def said_first(error: BaseException) -> str:
    """What an error of Ray says: its first line that holds words, else its name."""
    lines = (line.strip() for line in str(error).splitlines())
    return next((line for line in lines if line), type(error).__name__)


def for_workers(job: Job) -> Job:
    """The job for a process whose working folder is another one."""
    return replace(
        job,
        source=job.source.absolute(),
        output=job.output.absolute(),
        residual=job.residual and job.residual.absolute(),
    )


def failure(job: Job, error: Exception) -> str:
    """Why a task of Ray failed, in one sentence; raises MarssepError where all others would fail, too."""
    from ray.exceptions import AuthenticationError, RayTaskError

    if isinstance(error, AuthenticationError):
        raise MarssepError(f"the Ray cluster refuses: {said_first(error)}") from error
    if isinstance(error, RayTaskError):  # our code raised it, and repeating would not help
        return f"{job.source}: failed on a worker ({said_first(error.cause)})"
    return f"{job.source}: its workers died {ATTEMPTS} times ({type(error).__name__}: {said_first(error)})"


def on_ray(
    address: str,
    jobs: Sequence[Job],
    bundle: Path | None,
    provider: str,
    query: Array | Query,
    controls: Controls,
    workers: int | None = None,
) -> Generator[Result, None, None]:
    """Separate files on a Ray cluster.

    Args:
        address: The cluster's address, "auto" for the one of this machine, "local" for a new one.
        jobs: The files.
        bundle: The bundle, at the same path on every machine; None is the built-in one.
        provider: "auto", "cpu" or "cuda".
        query: A query or a unit vector [D].
        controls: The mixer settings.
        workers: The number of processes of a new local cluster.

    Yields:
        The result of every job, in the order in which they end.

    Raises:
        UsageError: Ray is not installed.
        MarssepError: The cluster cannot be reached, or refuses.
    """
    try:
        import ray
        from ray.exceptions import RayError
    except ImportError as e:
        raise UsageError("--ray needs Ray: pip install 'marssep[ray]'") from e
    _connect(ray, address, workers)
    try:
        task = ray.remote(num_cpus=1, max_retries=ATTEMPTS - 1)(separate_one)
        shared = ray.put(query)
        waiting = {task.remote(for_workers(job), bundle, provider, shared, controls): job for job in jobs}
        while waiting:
            ready, _ = ray.wait(list(waiting), num_returns=1)
            job = waiting.pop(ready[0])
            try:
                answer = ray.get(ready[0])
            except RayError as e:
                yield Result(job, error=failure(job, e))
                continue
            yield Result(job, error=answer) if isinstance(answer, str) else Result(job, *answer)
    finally:
        ray.shutdown()
