"""Real-time conditions: thread priority, and the interpreter's settings while an engine runs."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

SWITCH_INTERVAL_SECONDS = 5e-4


def set_realtime_priority() -> bool:
    """Give the calling thread real-time priority: round robin at the lowest real-time level.

    Sound servers and their callbacks still come first.

    Returns:
        Whether the system granted it (Linux: root, or a limit set by ``ulimit -r``).
    """
    try:
        lowest = os.sched_param(os.sched_get_priority_min(os.SCHED_RR))
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, lowest)
    except (AttributeError, OSError):  # another system, or not allowed
        return False
    return True


def reset_priority() -> None:
    """Give the calling thread ordinary priority again."""
    with contextlib.suppress(AttributeError, OSError):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def can_set_realtime_priority() -> bool:
    """Whether ``set_realtime_priority`` would be granted; a short-lived thread tries it."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(set_realtime_priority).result()


class InterpreterTuning:
    """Settings of the whole process while at least one engine runs.

    Garbage collection is off, because it stops all threads, and threads take turns more often. The first
    ``acquire`` makes the settings, and the last ``release`` restores what it found. Any thread may call both.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._collected = True
        self._unfreeze = True
        self._switch_interval = sys.getswitchinterval()

    def acquire(self) -> None:
        """Count one more engine; the first one changes the settings."""
        with self._lock:
            self._users += 1
            if self._users > 1:
                return
            self._collected, self._switch_interval = gc.isenabled(), sys.getswitchinterval()
            self._unfreeze = gc.get_freeze_count() == 0  # else somebody else's objects are frozen as well
            sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
            gc.collect()
            gc.freeze()
            gc.disable()

    def release(self) -> None:
        """Count one engine less; the last one restores the settings."""
        with self._lock:
            self._users -= 1
            if self._users:
                return
            if self._collected:
                gc.enable()
            if self._unfreeze:
                gc.unfreeze()
            sys.setswitchinterval(self._switch_interval)


INTERPRETER = InterpreterTuning()
