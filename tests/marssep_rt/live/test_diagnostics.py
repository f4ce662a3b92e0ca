"""What ``--doctor`` recommends, from times that are made up."""

import numpy as np
import pytest

from marssep_rt.errors import DeviceError
from marssep_rt.live import diagnostics
from marssep_rt.live.devices.audio_device import Device
from marssep_rt.live.devices.jack import HOST_API
from marssep_rt.live.diagnostics import BlockAdvice, advice, jack_period

RATE, HOP, GRAPH_LATENCY = 48_000, 480, 480


def lines(ms, period=None):
    return list(advice(np.full(1000, ms), HOP, GRAPH_LATENCY, RATE, period))


def test_a_fast_machine_takes_every_block_size():
    said = "\n".join(lines(1.0))
    assert (
        "block sizes that work here: 64, 128, 256, 480, 512, 1024, 2048; --blocksize 480 is the best" in said
    )
    assert "--blocksize 480: 20.0 ms and the device's own   <- least" in said
    assert "JACK" not in said


def test_block_sizes_with_more_hops_than_time():
    """Hops of 8 ms fit, but not the three that a block of 1024 may complete within its 21.3 ms."""
    said = "\n".join(lines(8.0))
    assert "--blocksize 1024: 40.7 ms and the device's own   (this machine may be too slow for it)" in said
    assert "1024" not in said[said.index("that work here") :].split(";")[0]
    assert lines(11.0)[0].startswith("advice     too slow")
    assert len(lines(11.0)) == 1


@pytest.mark.parametrize(("period", "better"), [(1024, True), (480, False)])
def test_the_period_of_a_jack_server(period, better):
    said = lines(1.0, period)
    jack = next(line for line in said if line.startswith("JACK"))
    expected = BlockAdvice.of(period, 0.001, HOP, GRAPH_LATENCY, RATE)
    assert f"delivers {period} samples at a time" in jack
    assert f"{expected.latency_ms:.1f} ms" in jack
    assert any("jackd -p 480" in line for line in said) == better


def test_only_a_server_that_is_there_is_asked(monkeypatch):
    monkeypatch.setattr(diagnostics, "server_period", lambda: 1024)
    for api, period in (("ALSA", None), (HOST_API, 1024)):
        monkeypatch.setattr(diagnostics, "list_devices", lambda api=api: [Device(0, "a", api, 2, 2, RATE)])
        assert jack_period() == period

    def missing():
        raise DeviceError("no PortAudio")

    monkeypatch.setattr(diagnostics, "list_devices", missing)
    assert jack_period() is None
