"""Delay of block adaptation, as closed forms; each is checked against brute force in the tests.

All lengths are in samples at one rate. ``hop`` is the number of samples that the model processes at a time,
``block`` the number that the host or device delivers at a time.
"""

from __future__ import annotations

from math import gcd

from marssep_rt.contract import LATENCY


def synchronous_delay(block: int, hop: int) -> int:
    """Smallest delay if the output is computed in the call that brings the input: hop - gcd(block, hop)."""
    return hop - gcd(block, hop)


def any_block_delay(hop: int) -> int:
    """Smallest delay that serves every sequence of block sizes: hop - 1."""
    return hop - 1


def worker_delay(block: int, hop: int, slack: int = 0) -> int:
    """Smallest delay if a worker has until the next callback: block + hop - gcd(block, hop) + slack.

    Example: block 256, hop 480: 256 + 480 - 32 = 704.
    """
    return bursty_delay(block, block, hop, slack)


def bursty_delay(burst: int, unit: int, hop: int, slack: int = 0) -> int:
    """Smallest delay if blocks come in bursts: burst + hop - gcd(unit, hop) + slack.

    A host whose period is not the block size calls back several times at once, and the worker runs only
    between two bursts. Example: bursts of up to 1440 in blocks of 480, hop 480: 1440 + 480 - 480 = 1440.

    Args:
        burst: The most samples that come before the worker can run again.
        unit: A divisor of the size of every block; 1 serves all sizes.
        hop: Samples that the model processes at a time.
        slack: Additional samples for the worker.
    """
    return burst + hop - gcd(unit, hop) + slack


def slack_for(compute_seconds: float, block: int, sample_rate: int) -> int:
    """Slack, a multiple of the block, with which one hop may take ``compute_seconds``."""
    blocks = -(-int(compute_seconds * sample_rate) // block) - 1
    return max(0, blocks) * block


def live_slack(slowest_hop: float, block: int, sample_rate: int) -> int:
    """Slack of a live run: twice the slowest hop in seconds, and 3 ms that a Python thread may oversleep."""
    seconds = LATENCY.live_hop_factor * slowest_hop + LATENCY.live_oversleep_seconds
    return slack_for(seconds, block, sample_rate)
