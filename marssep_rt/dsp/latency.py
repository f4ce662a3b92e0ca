"""Delay of block adaptation, as closed forms; each is checked against brute force in the tests.

All lengths are in samples at one rate. ``hop``: what the model eats at a time; ``block``: what the host or device gives and takes.
"""

from __future__ import annotations

from math import gcd


def synchronous_delay(block: int, hop: int) -> int:
    """Smallest delay when the block's output is computed inside the call that brings its input: hop - gcd(block, hop)."""
    return hop - gcd(block, hop)


def any_block_delay(hop: int) -> int:
    """Smallest delay that serves every sequence of block sizes: hop - 1."""
    return hop - 1


def worker_delay(block: int, hop: int, slack: int = 0) -> int:
    """Smallest delay when a worker thread has until the next callback to compute, plus ``slack``: block + hop - gcd(block, hop) + slack.

    Example: block 256, hop 480: 256 + 480 - 32 = 704.
    """
    return block + hop - gcd(block, hop) + slack


def slack_for(compute_seconds: float, block: int, sample_rate: int) -> int:
    """Slack that lets one hop take ``compute_seconds``: a multiple of the block; none when it fits into the block's own time."""
    blocks = -(-int(compute_seconds * sample_rate) // block) - 1
    return max(0, blocks) * block


def live_slack(slowest_hop: float, block: int, sample_rate: int) -> int:
    """Slack of a live run whose slowest hop took so many seconds: twice that, and what a Python thread may oversleep."""
    return slack_for(2 * slowest_hop + 0.003, block, sample_rate)
