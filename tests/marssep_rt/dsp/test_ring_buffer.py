import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from marssep_rt.dsp.ring_buffer import RingBuffer


@given(
    capacity=st.integers(1, 50),
    moves=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60), st.booleans()), max_size=60),
)
def test_ring_is_a_bounded_queue(capacity, moves):
    ring, model, next_value = RingBuffer(2, capacity), [], 1.0
    for write, read, skip in moves:
        n = min(write, ring.space())
        values = np.arange(next_value, next_value + n, dtype=np.float32)
        next_value += n
        ring.write(np.stack([values, -values]))
        model += list(values)
        assert ring.available() == len(model) <= capacity
        n = min(read, ring.available())
        if skip:
            ring.skip(n)
        else:
            out = np.zeros((2, n), np.float32)
            ring.read(out)
            np.testing.assert_array_equal(out, np.stack([model[:n], -np.array(model[:n])]).reshape(2, n))
        del model[:n]
