from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from marssep_rt.dsp.levels import decibels
from marssep_rt.dsp.mixer import Controls
from marssep_rt.dsp.stream_processor import StreamProcessor
from marssep_rt.live.control.controller import LiveController
from marssep_rt.live.devices.demo_signals import demo_parts
from marssep_rt.live.realtime.audio_bridge import EngineConfig
from marssep_rt.live.realtime.engine import Engine
from marssep_rt.live.realtime.stats import HopTimes
from marssep_rt.live.view.dashboard import RunInfo, dashboard, meter
from marssep_rt.query.types import Query


def test_quantiles_are_within_their_resolution():
    times, values = HopTimes(), np.random.default_rng(0).lognormal(0.5, 0.6, 20_000)
    for v in values:
        times.add(v)
    for q in (0.5, 0.99, 0.999):
        assert times.quantile(q) == pytest.approx(np.quantile(values, q), rel=0.03)
    assert times.worst == values.max()
    assert times.quantile(1.0) <= times.worst


def test_extremes_do_not_break_the_histogram():
    times = HopTimes()
    assert times.quantile(0.5) == 0.0
    times.add(0.0)
    times.add(1e9)
    assert times.count == 2
    assert times.worst == 1e9


def test_view_says_what_the_issue_asks_for(session, vector, bundle):
    parts = dict.fromkeys(("algorithmic", "blocks", "slack", "device_in", "device_out", "total"), 1.0)
    info = RunInfo("mic", "speaker", 48_000, 480, "m", "cpu", parts)
    hops = StreamProcessor(session, "cpu", 1, vector, Controls())
    engine = Engine(hops, EngineConfig(48_000, 480, 1, 1))
    engine.stats.hop_times.add(2.0)
    control = LiveController(
        engine, bundle, [Query(vector, bundle.encoder, "dog barking")], Controls(wet=0.5), Path
    )
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(dashboard(info, control, "q quit", 61.0))
    text = console.export_text()
    for word in (
        "dog barking",
        "mic",
        "speaker",
        "48000",
        "cpu",
        "algorithmic",
        "p50",
        "p99",
        "misses 0",
        "1:01",
        "in ",
        "out ",
        "wet 50%",
        "q quit",
        "presence",
    ):
        assert word in text
    assert "hop_p50=2.0" in info.plain_line(engine.stats, 3, 0.25)
    assert "presence=0.25" in info.plain_line(engine.stats, 3, 0.25)


def test_meter_levels():
    assert decibels(1.0) == 0.0
    assert decibels(0.0) == -60.0
    assert meter(1.0).plain.count("#") == 36
    assert meter(0.0).plain.count("#") == 0


def test_demo_is_parametric_repeatable_and_does_not_clip():
    a, b = demo_parts(4.0), demo_parts(4.0)
    assert list(a) == ["dog barking", "siren", "acoustic guitar", "rain"]
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])
        assert 0.01 < np.abs(a[name]).max() < 1.0
    assert np.abs(sum(a.values())).max() < 1.0
