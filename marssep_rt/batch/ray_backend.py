"""Files on many machines with Ray (extra ``[ray]``): every file is a task that Ray repeats elsewhere when its worker dies.

Sources and outputs lie where all machines see them under the same path. An output appears under its name only when it is whole, so a
task that is cut off leaves nothing that could be taken for done.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Generator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from marssep_rt.batch.plan import Job
from marssep_rt.batch.separate import Outcome, Result, process_file
from marssep_rt.dsp.mixer import Controls
from marssep_rt.errors import FileError, MarssepError, UsageError
from marssep_rt.model import bundle as bundles
from marssep_rt.model.providers import open_graph

ATTEMPTS = 4  # a file whose workers die as often has something to do with it
LOCAL = "local"


@lru_cache(maxsize=1)
def opened(bundle: Path | None, provider: str) -> tuple[Any, str]:
    """The session of a worker process."""
    return open_graph(bundles.load(bundle), provider)


def separate_one(job: Job, bundle: Path | None, provider: str, query: npt.NDArray[np.float32],
                 controls: Controls) -> tuple[Outcome, float] | str:  # fmt: skip
    """In a worker: what became of the file and how long it took, or in words why nothing did."""
    began = time.monotonic()
    session, used = opened(bundle, provider)
    try:
        return process_file(job, session, used, query, controls), time.monotonic() - began
    except FileError as e:
        return str(e)


def knock(address: str) -> None:
    """Raise MarssepError where nobody is at HOST:PORT: Ray itself would try for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon:
        return
    if not port.isdecimal() or int(port) > 65535:
        raise UsageError(f"{address} is no address of a Ray cluster; give HOST:PORT, auto or local")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError as e:
        raise MarssepError(f"no Ray cluster at {address}: {e.strerror or e}") from e


def on_ray(address: str, jobs: Sequence[Job], bundle: Path | None, provider: str, query: npt.NDArray[np.float32],
           controls: Controls, workers: int | None = None) -> Generator[Result, None, None]:  # fmt: skip
    """Every job with its outcome and time, or None and why it failed, as they finish.

    ``address``: of a cluster, "auto" for the one of this machine, "local" for one of our own with ``workers`` processes; ``bundle``: None
    for the one that marssep brings, wherever that lies on the other machines. Raises UsageError
    without Ray, MarssepError where the cluster cannot be reached.
    """
    try:
        import ray
        from ray.exceptions import RayError
    except ImportError as e:
        raise UsageError("--ray needs Ray: pip install 'marssep[ray]'") from e
    knock(address)
    try:
        if address == LOCAL:
            ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False, configure_logging=False)
        else:
            ray.init(address=address, log_to_driver=False, configure_logging=False)
    except (ConnectionError, RuntimeError, ValueError) as e:
        raise MarssepError(f"no Ray cluster at {address}: {str(e).splitlines()[0]}") from e
    try:
        task = ray.remote(num_cpus=1, max_retries=ATTEMPTS - 1)(separate_one)
        shared = ray.put(query)
        waiting = {task.remote(job, bundle, provider, shared, controls): job for job in jobs}
        while waiting:
            ready, _ = ray.wait(list(waiting), num_returns=1)
            job = waiting.pop(ready[0])
            try:
                said = ray.get(ready[0])
            except RayError as e:
                yield job, None, 0.0, f"{job.source}: its workers died {ATTEMPTS} times ({type(e).__name__})"
                continue
            if isinstance(said, str):
                yield job, None, 0.0, said
            else:
                yield job, said[0], said[1], ""
    finally:
        ray.shutdown()
