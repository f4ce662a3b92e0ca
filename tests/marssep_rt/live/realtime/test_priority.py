"""Real-time priority of the worker, and the interpreter's settings while engines run."""

import gc
import os
import sys
import time

import numpy as np
import pytest

from marssep_rt.dsp.mixer import Controls
from marssep_rt.dsp.stream_processor import StreamProcessor
from marssep_rt.live.realtime import priority, worker
from marssep_rt.live.realtime.audio_bridge import EngineConfig
from marssep_rt.live.realtime.engine import Engine

needs_scheduler = pytest.mark.skipif(
    not hasattr(os, "sched_setscheduler"), reason="this system has no sched_setscheduler"
)


def engine_of(session, vector):
    return Engine(StreamProcessor(session, "cpu", 1, vector, Controls()), EngineConfig(48_000, 480, 1, 1))


def scheduler_seen_by(engine, seconds=2.0):
    """The policy of the worker's thread while it runs."""
    seen = []
    engine.start()
    engine.worker.post(lambda: seen.append(os.sched_getscheduler(0)))
    engine.callback(np.zeros((480, 1), np.float32), np.zeros((480, 1), np.float32))
    until = time.monotonic() + seconds
    while not seen and time.monotonic() < until:
        time.sleep(0.005)
    engine.stop()
    assert engine.failure is None
    return seen[0] & ~os.SCHED_RESET_ON_FORK


@needs_scheduler
def test_the_worker_runs_first_where_that_is_granted_and_the_caller_does_not(session, vector):
    engine = engine_of(session, vector)
    policy = scheduler_seen_by(engine)
    assert policy == (os.SCHED_RR if priority.can_set_realtime_priority() else os.SCHED_OTHER)
    assert engine.stats.counters()["real_time_priority"] == (policy == os.SCHED_RR)
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


@needs_scheduler
def test_where_it_is_refused_the_worker_runs_all_the_same(session, vector, monkeypatch):
    def refused(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refused)
    engine = engine_of(session, vector)
    assert scheduler_seen_by(engine) == os.SCHED_OTHER
    assert not engine.stats.real_time
    assert not priority.can_set_realtime_priority()


@pytest.fixture
def interpreter(monkeypatch):
    """The interpreter's settings, unusual ones, and back; engines of other tests do not count."""
    monkeypatch.setattr(worker, "INTERPRETER", priority.InterpreterTuning())
    gc.unfreeze()
    gc.enable()
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.003)
    yield
    sys.setswitchinterval(before)
    gc.enable()


def test_settings_of_the_process_hold_while_any_engine_runs(session, vector, interpreter):
    engines = [engine_of(session, vector) for _ in range(2)]
    for engine in engines:
        engine.start()
    assert not gc.isenabled()
    assert sys.getswitchinterval() == pytest.approx(5e-4)
    assert engines[0].pause()
    assert engines[0].pause()  # a second time changes nothing
    assert not gc.isenabled()
    assert sys.getswitchinterval() == pytest.approx(5e-4)
    assert engines[1].pause()
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
    assert sys.getswitchinterval() == pytest.approx(0.003)  # what it was, not a default


def test_a_process_without_garbage_collection_stays_so(session, vector, interpreter):
    gc.disable()
    gc.freeze()
    frozen = gc.get_freeze_count()
    try:
        engine = engine_of(session, vector)
        engine.start()
        engine.pause()
        assert not gc.isenabled()
        assert gc.get_freeze_count() > frozen // 2  # objects may still have died
    finally:
        gc.unfreeze()


def test_a_system_without_it(monkeypatch):
    monkeypatch.delattr(os, "sched_setscheduler", raising=False)
    assert not priority.set_realtime_priority()
    priority.reset_priority()


@needs_scheduler
@pytest.mark.skipif(
    not priority.can_set_realtime_priority(), reason="the system grants no real-time priority here"
)
def test_a_model_that_never_rests_gives_it_back(session, vector):
    engine = engine_of(session, vector)
    policies = []

    def never_done(most):
        policies.append(os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK)
        engine.worker.stopping = len(policies) == 10
        return most

    engine.worker.work = never_done
    engine.start()
    engine.worker.thread.join(5.0)
    assert not engine.worker.thread.is_alive()
    engine.pause()
    assert policies[:5] == [os.SCHED_RR] * 5  # five times 64 hops are more than 300
    assert policies[5:] == [os.SCHED_OTHER] * 5
