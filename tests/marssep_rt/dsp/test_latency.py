"""The closed-form delays are the smallest that work: brute force over sequences of blocks."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marssep_rt.dsp.latency import (
    any_block_delay,
    bursty_delay,
    slack_for,
    synchronous_delay,
    worker_delay,
)

BLOCKS = [
    1,
    2,
    3,
    7,
    16,
    31,
    64,
    100,
    128,
    240,
    255,
    256,
    441,
    479,
    480,
    481,
    512,
    960,
    1000,
    1024,
    2048,
    4096,
]
HOPS = [1, 2, 48, 128, 240, 256, 480, 512]


def smallest_worker_delay(block: int, hop: int) -> int:
    """By definition: callback k must find (k + 1) blocks of output, made of the hops in k blocks of input."""
    return max((k + 1) * block - k * block // hop * hop for k in range(2 * hop + 2))


def smallest_synchronous_delay(block: int, hop: int) -> int:
    return max(k * block - k * block // hop * hop for k in range(1, 2 * hop + 2))


@pytest.mark.parametrize("hop", HOPS)
def test_closed_forms_for_named_blocks(hop):
    for block in BLOCKS:
        assert worker_delay(block, hop) == smallest_worker_delay(block, hop)
        assert synchronous_delay(block, hop) == smallest_synchronous_delay(block, hop)


@settings(max_examples=300, deadline=None)
@given(block=st.integers(1, 4096), hop=st.integers(1, 512))
def test_closed_forms_for_any_block(block, hop):
    assert worker_delay(block, hop) == smallest_worker_delay(block, hop)
    assert synchronous_delay(block, hop) == smallest_synchronous_delay(block, hop)


def smallest_bursty_delay(burst, unit, hop):
    """By definition: whatever came before, in units, a whole burst must be played without another hop."""
    return max(came + burst - came // hop * hop for came in range(0, unit * hop + 1, unit))


@settings(max_examples=300, deadline=None)
@given(count=st.integers(1, 20), unit=st.integers(1, 1100), hop=st.integers(1, 512))
def test_closed_form_for_bursts(count, unit, hop):
    assert bursty_delay(count * unit, unit, hop) == smallest_bursty_delay(count * unit, unit, hop)
    assert bursty_delay(unit, unit, hop, 7) == worker_delay(unit, hop, 7)


@given(hop=st.integers(1, 512), blocks=st.lists(st.integers(1, 700), min_size=1, max_size=60))
def test_delay_for_blocks_of_any_size(hop, blocks):
    """Every block is played from the hops of the blocks before it."""
    came, delay = 0, bursty_delay(max(blocks), 1, hop)
    for n in blocks:
        assert delay + came // hop * hop >= came + n
        came += n


@given(hop=st.integers(1, 512), blocks=st.lists(st.integers(1, 700), min_size=1, max_size=60))
def test_any_block_delay_is_enough_for_every_sequence(hop, blocks):
    total = 0
    for n in blocks:
        total += n
        assert total // hop * hop + any_block_delay(hop) >= total


def test_any_block_delay_is_not_too_long():
    assert any_block_delay(480) == max(total - total // 480 * 480 for total in range(2000))


def test_slack_is_whole_blocks_and_none_when_a_hop_fits():
    assert slack_for(0.005, 480, 48_000) == 0
    assert slack_for(0.0101, 480, 48_000) == 480
    assert slack_for(0.004, 64, 48_000) % 64 == 0
    assert slack_for(0.004, 64, 48_000) + 64 >= 0.004 * 48_000
