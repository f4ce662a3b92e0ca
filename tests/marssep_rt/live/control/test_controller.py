"""Changes during a run: queries, mixer, recordings, learning; keys, presets, remembered devices, OSC."""

import io
import json
import socket
import sys
import threading
import time

import numpy as np
import pytest
import soundfile
from rich.console import Console

from marssep_rt.dsp.mixer import Controls
from marssep_rt.dsp.presence import PRESENCE_THRESHOLD, PresenceCurve, PresenceMeter, share_db
from marssep_rt.dsp.stream_processor import StreamProcessor
from marssep_rt.errors import MarssepError, UsageError
from marssep_rt.live.control import presets as settings
from marssep_rt.live.control.controller import LiveController, learn_query
from marssep_rt.live.control.keyboard import Keys
from marssep_rt.live.devices.demo_signals import demo_parts
from marssep_rt.live.devices.device_memory import last_devices, remember_devices
from marssep_rt.live.realtime.audio_bridge import EngineConfig
from marssep_rt.live.realtime.engine import Engine
from marssep_rt.live.view.dashboard import NOTHING, RunInfo, dashboard
from marssep_rt.live.view.display import PlainDisplay
from marssep_rt.query.build import embed_text
from marssep_rt.query.types import Query
from marssep_rt.utils.config_folder import FOLDER_VARIABLE
from signals import RATE, mixture
from simulated_device import simulate
from waiting import wait_until


@pytest.fixture
def control(session, vector, bundle, tmp_path):
    engine = Engine(StreamProcessor(session, "cpu", 1, vector, Controls()), EngineConfig(RATE, 480, 1, 1))
    made = LiveController(
        engine,
        bundle,
        [Query(vector, bundle.encoder, "dog barking")],
        Controls(),
        lambda: tmp_path / "live.wav",
    )
    yield made
    made.close()


def play(control, seconds=0.2, x=None):
    return simulate(control.engine, (mixture(int(seconds * RATE)) if x is None else x)[:, None])


def test_words_are_embedded_elsewhere_and_heard_from_the_next_hop_on(control, bundle):
    control.ask("siren").result(30)
    play(control, 0.02)
    np.testing.assert_array_equal(control.engine.processor.stream.query[0], embed_text("siren", bundle))
    assert control.query.label == "siren"
    assert [label for _, label in control.asked] == ["dog barking", "siren"]
    assert "siren" in control.message


def test_a_query_that_is_none_changes_nothing(control, vector):
    control.ask("???").result(30)
    play(control, 0.02)
    np.testing.assert_array_equal(control.engine.processor.stream.query[0], vector)
    assert "empty" in control.message
    control.ask("quarterly tax returns").result(30)
    assert "unlike every sound" in control.message


def test_learning_listens_to_what_comes_and_takes_it_as_the_query(control, bundle):
    siren = demo_parts(3.0)["siren"]
    waiting = control.learn(1.0)
    wait_until(lambda: control.engine.worker.input_tap is not None)
    play(control, x=siren)
    waiting.result(30)
    play(control, 0.02)
    assert control.engine.worker.input_tap is None
    np.testing.assert_array_equal(control.engine.processor.stream.query[0], control.query.vector)
    assert control.query.label.startswith("what was heard")
    assert float(control.query.vector @ learn_query(bundle, siren[:RATE], RATE).vector) > 0.999


def test_what_is_there_is_said_and_the_query_stays(control, vector):
    waiting = control.list_sounds()
    wait_until(lambda: control.engine.worker.input_tap is not None)
    play(control, x=demo_parts(3.0)["siren"])
    waiting.result(30)
    assert control.message.startswith("audible: ")
    assert "siren (0." in control.message
    assert control.message.endswith(" dBFS")
    np.testing.assert_array_equal(control.query.vector, vector)


def test_learning_from_silence_is_refused(control, vector):
    done = []
    waiting = control.learn(0.5, then=lambda: done.append(1))
    wait_until(lambda: control.engine.worker.input_tap is not None)
    play(control, x=np.zeros(RATE, np.float32))
    waiting.result(30)
    assert "silent" in control.message
    assert not done
    np.testing.assert_array_equal(control.query.vector, vector)


def test_impossible_values_are_refused_and_said(control):
    control.change(wet=3.0)
    assert "wet is 3" in control.message
    assert control.controls == Controls()


def test_knobs_step_within_their_ranges(control):
    for _ in range(20):
        control.step("wet", up=False)
    assert control.controls.wet == 0.0
    control.step("wet", up=True)
    assert control.controls.wet == pytest.approx(0.1)
    control.step("limit", up=False)
    assert control.controls.limit_db == 30.0
    for _ in range(9):
        control.step("limit", up=False)
    assert control.controls.limit_db == 0.0
    for _ in range(9):
        control.step("limit", up=True)
    assert control.controls.limit_db is None
    control.change(strength=100)  # a wish for no limit: one step beyond the largest, too
    control.step("limit", up=False)
    assert control.controls.limit_db == 30.0
    control.step("limit", up=True)
    control.step("gain", up=False)
    play(control, 0.05)
    assert control.engine.processor.controls == control.controls


def test_changes_from_several_threads_are_all_made(control):
    """Each thread toggles one switch an odd number of times; a lost update would leave it where it was."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(20):
            controls = control.controls
            threads = [
                threading.Thread(target=lambda name=name: [control.toggle(name) for _ in range(101)])
                for name in ("remove", "bypass")
            ]
            threads += [
                threading.Thread(target=lambda: [control.change(gain_db=float(i)) for i in range(31)])
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            changed = controls.with_changes(
                remove=not controls.remove, bypass=not controls.bypass, gain_db=30.0
            )
            assert control.controls == changed
    finally:
        sys.setswitchinterval(before)
    play(control, 0.02)
    assert control.engine.processor.controls == control.controls  # the engine has the last change, too


def test_two_presses_before_a_hop_are_one_recording(control, tmp_path):
    control.record()
    control.record()
    assert "finishing" in control.message
    play(control, 0.1)
    control.close()
    assert len(control.recorders) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["live.wav"]


def test_a_recording_that_ends_with_the_run_is_left_to_it(control):
    control.record()
    control.record()
    control.close()
    control.engine.stop()  # which makes the change that the second press asked for
    (recorder,) = control.recorders
    assert not recorder.done
    recorder.close()


def test_a_recording_that_is_begun_and_ended_while_it_runs(control, tmp_path):
    control.record()
    played = play(control, 0.5)
    control.record()
    play(control, 0.1)
    control.close()
    heard, _ = soundfile.read(tmp_path / "live.wav", dtype="float32")
    late = control.engine.adaptation
    np.testing.assert_array_equal(heard[: len(played) - late], played[late:, 0])
    assert not list(tmp_path.glob("*.part"))


def test_keys(control):
    keys = Keys(control)
    keys.feed("b")
    assert control.controls.bypass
    keys.feed("brwG")
    assert control.controls == Controls(remove=True, wet=0.9, gain_db=1.0)
    keys.feed("SsssS")
    assert control.controls == Controls(remove=True, limit_db=18.0, gain_db=1.0)
    assert "strength 60%" in control.shown()
    keys.feed("tsirenx\x7f")
    assert keys.typed == "siren"
    assert "listen for: siren_" in keys.line()
    keys.feed("\n")
    control.close()
    assert control.query.label == "siren"
    keys.feed("train\x1b")
    assert keys.typed is None
    keys.feed("\x1b[A")  # an arrow
    assert not control.quit
    keys.feed("q")
    assert control.quit


def test_presence_curve():
    assert share_db(1.0, 1.0) == 0.0
    assert share_db(0.0, 1.0) == -60.0
    curve = PresenceCurve()
    assert curve.probability(-3.0, 0.6) > PRESENCE_THRESHOLD > curve.probability(-15.0, 0.1)
    assert curve.probability(-3.0, None) > PRESENCE_THRESHOLD > curve.probability(-20.0, None)
    assert 0.0 <= curve.probability(-60.0, -1.0) < curve.probability(0.0, 1.0) <= 1.0


def test_a_model_brings_its_own_presence_curve():
    assert PresenceCurve.of({}) == PresenceCurve()
    curve = PresenceCurve.of({"both": [0.0, 1.0, 2.0], "share": [0.0, 1.0]})
    assert curve.probability(-1.0, 0.5) == pytest.approx(0.5)
    assert curve.probability(0.0, None) == pytest.approx(0.5)
    meter = PresenceMeter(1, 480, RATE, PresenceCurve(share=(-100.0, 0.0)))
    loud = np.full((1, 480), 0.1, np.float32)
    meter.add(loud, loud)
    assert meter.presence() < 1e-6


def test_presence_of_silence_is_none_and_of_the_sound_is_some():
    meter = PresenceMeter(2, 480, RATE)
    quiet = np.zeros((2, 480), np.float32)
    loud = np.full((2, 480), 0.1, np.float32)
    for _ in range(100):
        meter.add(quiet, quiet)
    assert meter.presence() == 0.0
    for _ in range(200):
        meter.add(loud, loud)
    assert meter.presence() > PRESENCE_THRESHOLD
    for _ in range(300):
        meter.add(quiet, loud)
    assert meter.presence() < PRESENCE_THRESHOLD
    meter.forget()
    assert meter.presence() == 0.0


@pytest.mark.slow
def test_presence_of_a_run(control, bundle):
    """A dog among other sounds: there when it is asked for, not when something else is."""
    parts = demo_parts(5.0)
    x = 0.7 * parts["dog barking"] + 0.05 * parts["rain"]
    control.ask("dog barking").result(30)
    control.watch()
    play(control, x=x)
    time.sleep(1.0)
    dog = control.note()
    control.ask("rain").result(30)
    play(control, x=x)
    time.sleep(1.0)
    rain = control.note()
    assert dog > PRESENCE_THRESHOLD > rain
    assert [value for _, value in control.timeline] == [round(dog, 3), round(rain, 3)]
    control.last_present -= 10
    assert control.unmatched
    control.toggle("bypass")
    assert not control.unmatched


def test_nothing_matches_has_a_line_of_its_own(control, capsys):
    info = RunInfo("mic", "speaker", RATE, 480, "m", "cpu", dict.fromkeys(LATENCY, 0.0))
    play(control)
    control.message = "recording x.wav"
    control.last_present -= 10
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(dashboard(info, control, "keys", 1.0))
    lines = [line.strip() for line in console.export_text().splitlines()]
    assert NOTHING[False] in lines
    assert "recording x.wav" in lines
    plain = PlainDisplay(info, control)
    plain.update()
    plain.update()
    control.last_present += 10
    plain.update()
    said = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("t=")]
    assert said == [NOTHING[False], "recording x.wav", "the query matches again"]


def test_where_nothing_is_there_to_remove_the_line_says_so(control, capsys):
    info = RunInfo("mic", "speaker", RATE, 480, "m", "cpu", dict.fromkeys(LATENCY, 0.0))
    play(control)
    control.change(remove=True)
    control.last_present -= 10
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(dashboard(info, control, "keys", 1.0))
    assert "there is hardly anything to remove" in console.export_text()
    PlainDisplay(info, control).update()
    assert "there is hardly anything to remove" in capsys.readouterr().out.splitlines()


LATENCY = ("total", "algorithmic", "blocks", "slack", "device_in", "device_out")
PRESETS = """
[dogs]
query = ["dog barking", "dog howling"]
not = "wind"
limit = 20
[bird]
query = "birds chirping"
audio = "bird.wav"
remove = true
wet = 0.5
[wrong]
speed = 3
[twice]
query = "rain"
strength = 50
wet = 0.5
"""


def test_presets(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(UsageError, match="there are no presets"):
        settings.read_preset("dogs")
    (tmp_path / "presets.toml").write_text(PRESETS)
    dogs = settings.read_preset("dogs")
    assert (dogs.request.texts, dogs.request.negative, dogs.limit, dogs.wet) == (
        ["dog barking", "dog howling"],
        "wind",
        20.0,
        None,
    )
    bird = settings.read_preset("bird")
    assert (bird.request.texts, bird.request.audios, bird.remove, bird.wet) == (
        ["birds chirping"],
        [tmp_path / "bird.wav"],
        True,
        0.5,
    )
    with pytest.raises(UsageError, match="there is: bird, dogs, twice, wrong"):
        settings.read_preset("cats")
    with pytest.raises(UsageError, match="speed = 3 is no setting"):
        settings.read_preset("wrong")
    with pytest.raises(UsageError, match="strength sets mix and limit; leave out wet and limit"):
        settings.read_preset("twice")
    (tmp_path / "presets.toml").write_text("= nonsense")
    with pytest.raises(UsageError, match="cannot be read"):
        settings.read_preset("dogs")


def test_devices_are_remembered(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "new" / "folder"))
    assert last_devices() == (None, None)
    remember_devices("mic", None)
    assert last_devices() == ("mic", None)
    (tmp_path / "new" / "folder" / "devices.json").write_text("broken")
    assert last_devices() == (None, None)


def free_port():
    """A port of which the next is free, too."""
    for _ in range(50):
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as two,
        ):
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
            try:
                two.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port
    raise AssertionError("no free ports")


def test_osc_on_loopback(control):
    pytest.importorskip("pythonosc")
    from pythonosc.dispatcher import Dispatcher
    from pythonosc.osc_server import ThreadingOSCUDPServer
    from pythonosc.udp_client import SimpleUDPClient

    from marssep_rt.live.control.osc import OscControl

    port, got = free_port(), {}
    dispatcher = Dispatcher()
    dispatcher.set_default_handler(lambda address, *values: got.update({address: values}))
    listener = ThreadingOSCUDPServer(("127.0.0.1", port + 1), dispatcher)
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    client = SimpleUDPClient("127.0.0.1", port)

    def until(what):
        deadline = time.monotonic() + 15
        while not what() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert what(), (control.message, got)

    with OscControl(control, port):
        with pytest.raises(MarssepError, match="choose another"):
            OscControl(control, port)
        client.send_message("/marssep/query", "siren")
        until(lambda: control.query.label == "siren")
        client.send_message("/marssep/strength", 50)
        until(lambda: control.controls == Controls(limit_db=15.0))
        client.send_message("/marssep/wet", 0.25)
        client.send_message("/marssep/limit", 12.0)
        client.send_message("/marssep/bypass", 1)
        until(lambda: control.controls == Controls(wet=0.25, limit_db=12.0, bypass=True))
        for value in range(200):  # messages of one sender are taken in its order
            client.send_message("/marssep/gain", value / 10)
        until(lambda: control.controls.gain_db == pytest.approx(19.9))
        client.send_message("/marssep/gain", 0.0)
        client.send_message("/marssep/limit", -1)
        until(lambda: control.controls.limit_db is None)
        client.send_message("/marssep/wet", "much")
        until(lambda: "one number is expected" in control.message)
        until(lambda: "one number" in got.get("/marssep/message", [""])[0])
        for odd in (
            None,
            [[1.0, 2.0]],
            b"blob",
            [],
        ):  # OSC knows nil, arrays, blobs and messages without arguments
            control.message = ""
            client.send_message("/marssep/gain", odd)
            until(lambda: "one number is expected (/marssep/gain)" in control.message)
        client.send_message("/marssep/nonsense", 1)
        until(lambda: "there is no /marssep/nonsense" in control.message)
        until(lambda: "/marssep/meters" in got)
        assert len(got["/marssep/meters"]) == 3
        client.send_message("/marssep/quit", 1)
        until(lambda: control.quit)
    listener.shutdown()
    listener.server_close()
    json.dumps(control.asked)


def test_no_thread_outlives_a_closed_controller(control):
    """A thread in the middle of the audio encoder would abort the process as the interpreter ends."""
    control.watch()
    wait_until(lambda: any(t.name == "marssep-listener" for t in threading.enumerate()))
    control.close()
    assert not [t.name for t in threading.enumerate() if t.name in ("marssep-listener", "marssep-queries_0")]


def test_a_doubted_query_is_limited_as_long_as_the_user_sets_no_limit(control, bundle):
    doubted = Query(control.queries[0].vector, bundle.encoder, "geyser", limit_db=12.0)
    control.take(doubted)
    play(control)
    assert control.engine.processor.controls.limit_db == 12.0
    assert "limit 12 dB" in control.shown()
    control.change(limit_db=30.0)
    play(control)
    assert control.engine.processor.controls.limit_db == 30.0
    control.change(limit_db=None)
    control.take(Query(control.queries[0].vector, bundle.encoder, "dog barking"))
    play(control)
    assert control.engine.processor.controls.limit_db is None
    assert "no limit" in control.shown()
