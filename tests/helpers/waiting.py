"""Waiting for something that another thread does, with an end."""

import time


def wait_until(done, seconds=10.0):
    """Return when ``done()`` is true; fail after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"not done within {seconds} s"
        time.sleep(0.001)
