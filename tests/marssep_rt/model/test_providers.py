"""Sessions with state on a device, and the choice between two providers."""

import numpy as np
import pytest

from marssep_rt.model import providers
from marssep_rt.model.stream import GraphStream


@pytest.mark.parametrize(("channels", "streams", "hops"), [(1, 1, 1), (2, 1, 1), (1, 3, 2)])
def test_state_on_a_device_gives_the_same(session, vector, channels, streams, hops):
    a, b = (
        GraphStream(session, "cpu", channels, streams, hops),
        GraphStream(session, "cuda", channels, streams, hops, device="cpu"),
    )
    rng = np.random.default_rng(0)
    for _ in range(2):
        for _ in range(6):
            x = rng.standard_normal(a.audio.shape).astype(np.float32)
            for s in (a, b):
                s.audio[...], s.query[...] = x, vector
                s.run()
            np.testing.assert_array_equal(a.target, b.target)
        assert np.abs(a.target).max() > 0
        a.reset()
        b.reset()


@pytest.mark.parametrize("device", [None, "cpu"])
def test_more_streams_go_on_where_one_is(session, vector, device):
    one, three = (GraphStream(session, "cpu", 1, streams, 1, device) for streams in (1, 3))
    x = np.random.default_rng(0).standard_normal((8, one.audio.shape[-1])).astype(np.float32)
    one.query[...] = three.query[...] = vector
    for i, hop in enumerate(x):
        if i == 5:
            three.take_state(one, (0, 0, 0))
        for stream in (one, three)[: 1 + (i >= 5)]:
            stream.audio[...] = hop
            stream.run()
    np.testing.assert_allclose(three.target, np.repeat(one.target, 3, axis=0), atol=1e-6)


@pytest.mark.parametrize(("gpu_ms", "best"), [(1.0, "cuda"), (9.0, "cpu")])
def test_auto_takes_the_faster_one_and_says_so(bundle, monkeypatch, gpu_ms, best):
    def timed(session, used, seconds):
        return np.full(5, gpu_ms if used == "cuda" else 3.0)

    monkeypatch.setattr(providers, "has_cuda_driver", lambda: True)
    monkeypatch.setattr(providers.ort, "get_available_providers", lambda: [*providers.PROVIDERS.values()])
    monkeypatch.setattr(
        providers, "open_graph", lambda bundle, provider: (provider, "cpu" if provider == "cpu" else "cuda")
    )
    monkeypatch.setattr(providers, "time_hops", timed)
    said = []
    session, used = providers.open_fastest(bundle, "auto", said.append)
    assert (session, used) == ("cpu" if best == "cpu" else "auto", best)
    assert said[0].startswith(f"running on {best}: p99")


def test_without_a_gpu_nothing_is_timed(bundle, monkeypatch):
    monkeypatch.setattr(providers, "has_cuda_driver", lambda: False)
    monkeypatch.setattr(providers, "time_hops", lambda *_: pytest.fail("timed"))
    assert providers.open_fastest(bundle, "auto")[1] == "cpu"
