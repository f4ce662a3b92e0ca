"""Threads that must not wait for a turn on the processor: real-time scheduling where the system grants it."""

from __future__ import annotations

import contextlib
import os
from concurrent.futures import ThreadPoolExecutor


def run_first() -> bool:
    """Put the calling thread before all ordinary ones; whether the system granted it (Linux: root, or a limit set by ``ulimit -r``).

    Round robin at the lowest real-time priority: sound servers and their callbacks still come first.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(os.sched_get_priority_min(os.SCHED_RR)))
    except (AttributeError, OSError):  # another system, or not allowed
        return False
    return True


def run_as_others() -> None:
    """Take that back for the calling thread."""
    with contextlib.suppress(AttributeError, OSError):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def may_run_first() -> bool:
    """Whether ``run_first`` would be granted; asks with a thread that is gone at once."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(run_first).result()
