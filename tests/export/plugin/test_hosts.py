"""Built plug-ins in real hosts: VST3 in pedalboard, LV2 in lilv's tools and jalv, CLAP in our own host."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

import marssep_rt
from clap_host import ClapHost, state_of, states_in
from clap_presets import found_presets, load_preset
from daw_tools import OWN, QUERIES, helper, need, plugins, sound
from export.plugin.presets import MIXER, PRESETS
from marssep_rt import Separator, contract
from marssep_rt.dsp.presence import PresenceMeter
from marssep_rt.query.build import build_query
from marssep_rt.query.query_file import as_plain, write_query
from marssep_rt.query.types import QueryRequest

BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def stereo(tmp_path_factory):
    """A file and what marssep-file makes of it in one pass, as a plug-in does."""
    return separated(tmp_path_factory.mktemp("stereo"), sound(1.2), 48_000)


def separated(folder, x, rate):
    soundfile.write(folder / "x.wav", x.T, rate, subtype="FLOAT")
    command = [BIN / "marssep-file", "--query", QUERIES[0], "--no-second-look"]
    done = subprocess.run(
        [*command, folder / "x.wav", "-o", folder / "y.wav"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder / "x.wav", soundfile.read(folder / "y.wav", dtype="float32", always_2d=True)[0].T


def read(path):
    return soundfile.read(path, dtype="float32", always_2d=True)[0].T


def vst3(channels=2):
    pedalboard = pytest.importorskip("pedalboard")
    return pedalboard.load_plugin(str(plugins(channels) / f"marssep{'-mono' if channels == 1 else ''}.vst3"))


@pytest.mark.parametrize("block", [64, 480, 1024, 4096])
def test_vst3_in_a_juce_host_equals_the_file(stereo, block):
    """The host takes the reported latency off."""
    source, expected = stereo
    y = vst3()(read(source), 48_000, buffer_size=block)
    assert y.shape == expected.shape
    np.testing.assert_allclose(y, expected, atol=1e-4)


def test_vst3_in_mono_and_at_another_rate(tmp_path):
    x = sound(1.2, 1)
    _, expected = separated(tmp_path, x, 48_000)
    np.testing.assert_allclose(vst3(1)(x, 48_000, buffer_size=512), expected, atol=1e-4)
    # both resample in their own way; the plug-in's filter takes 32 frames, which are left out so that both
    # cut the same hops of 441
    (tmp_path / "44").mkdir()
    x = np.pad(sound(1.2, 2, 44_100), [(0, 0), (441, 0)])
    _, expected = separated(tmp_path / "44", x, 44_100)
    y = vst3()(x[:, 32:], 44_100, buffer_size=512)
    wanted = expected[:, 32:]
    errors = {
        frames: 10 * np.log10(np.square(np.roll(y, frames, axis=1) - wanted).sum() / np.square(wanted).sum())
        for frames in (-1, 0, 1)
    }
    assert errors[0] < -55  # how much depends on the model: the resamplers differ near their upper edge
    assert errors[0] < min(errors[-1], errors[1]) - 3, errors


def test_vst3_parameters_and_state(stereo, tmp_path):
    source, expected = stereo
    x, p = read(source), vst3()
    assert set(p.parameters) >= {
        "query",
        "wet",
        "mix",
        "max_attenuation_db",
        "gain_db",
        "output",
        "offline_render",
    }
    p.output = "Bypass"
    np.testing.assert_array_equal(p(x, 48_000, buffer_size=512), x)
    p.output, p.query = "Target", QUERIES[1]
    s = Separator(query=QUERIES[1])
    y = s.process(np.concatenate([x, np.zeros((2, s.latency), np.float32)], axis=1))[:, s.latency :]
    np.testing.assert_allclose(p(x, 48_000, buffer_size=512), y, atol=1e-4)
    other = vst3()
    other.raw_state = p.raw_state
    assert other.query == QUERIES[1]
    assert np.abs(y - expected).max() > 1e-3


def lv2_environment(env=os.environ):
    return {**env, "LV2_PATH": f"{plugins(2)}:/usr/lib/lv2"}


def test_lv2_describes_itself_without_a_fault():
    need("sord_validate")
    files = [*Path("/usr/lib/lv2").rglob("*.ttl"), *(plugins(2) / "marssep.lv2").glob("*.ttl")]
    done = subprocess.run(["sord_validate", *files], capture_output=True, text=True)
    assert "Found 0 errors" in done.stdout + done.stderr
    ttl = (plugins(2) / "marssep.lv2" / "marssep.ttl").read_text()
    for words in ("lv2:freeWheeling", "lv2:reportsLatency", "marssep#query_file", "dog barking"):
        assert words in ttl


def test_lv2_rendered_equals_the_file(stereo, tmp_path):
    need("lv2apply")
    source, expected = stereo
    x = read(source)
    padded = np.concatenate([x, np.zeros((2, 8192), np.float32)], axis=1)
    soundfile.write(tmp_path / "in.wav", padded.T, 48_000, subtype="FLOAT")
    done = subprocess.run(
        [
            "lv2apply",
            "-i",
            tmp_path / "in.wav",
            "-o",
            tmp_path / "out.wav",
            "-c",
            "offline",
            "1",
            "urn:marssep:marssep",
        ],
        capture_output=True,
        text=True,
        env=lv2_environment(),
    )
    assert done.returncode == 0, done.stderr
    y = read(tmp_path / "out.wav")
    # lv2apply names no block length, so the longest is assumed, and it takes no latency off
    latency = 480 + 479 + 4096
    np.testing.assert_allclose(y[:, latency : latency + x.shape[1]], expected, atol=1e-4)


def test_lv2_runs_under_jack(jack_server):
    need("jalv")
    _, env = jack_server
    seconds = float(os.environ.get("MARSSEP_JALV_SECONDS", "5"))
    host = subprocess.Popen(
        ["jalv", "-x", "-n", "marssep", "urn:marssep:marssep"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=lv2_environment(env),
    )
    try:
        time.sleep(seconds)
        assert host.poll() is None, host.stdout.read()
        host.stdin.write("monitors\n")
        host.stdin.flush()
        time.sleep(1)
        host.send_signal(signal.SIGINT)
        said, _ = host.communicate(timeout=10)
    finally:
        host.kill()
    missed = [line for line in said.splitlines() if "missed" in line]
    assert missed, said
    if "MARSSEP_JALV_SECONDS" in os.environ:  # by hand, on a machine that does nothing else
        assert float(missed[-1].split("=")[-1]) == 0.0, said


def test_clap_scans_processes_saves_and_restores(stereo):
    source, expected = stereo
    x = read(source)
    path = plugins(2) / "marssep-clap" / "marssep.clap"
    host = ClapHost(path)
    assert (host.id, host.name) == ("org.marssep.marssep", "marssep")
    assert host.parameters()["Query"][1:] == (0.0, 2.0, 0.0, 0.0)
    padded = np.concatenate([x, np.zeros((2, host.latency), np.float32)], axis=1)
    np.testing.assert_allclose(host.run(padded)[:, host.latency :], expected, atol=1e-4)
    host.stop()
    host.start()  # as fresh
    np.testing.assert_allclose(host.run(padded)[:, host.latency :], expected, atol=1e-4)
    host.reset()
    np.testing.assert_allclose(host.run(padded)[:, host.latency :], expected, atol=1e-4)
    host.set("Query", 1.0)
    host.set("Gain", -6.0)
    host.run(padded[:, :512])
    other = ClapHost(path)
    assert other.load(host.save())
    assert other.parameters()["Query"][4] == 1.0
    assert other.parameters()["Gain"][4] == pytest.approx(-6.0)
    host.close()
    other.close()


@pytest.fixture
def clap():
    """CLAP instances that render offline, so that nothing comes too late; they are closed in the end."""
    made = []

    def make(**settings):
        made.append(ClapHost(plugins(2) / "marssep-clap" / "marssep.clap", **settings))
        made[-1].set("Offline Render", 1.0)
        made[-1].process(np.zeros((2, 64), np.float32))
        made[-1].reset()
        return made[-1]

    yield make
    for host in made:
        host.close()


def embedded(*texts):
    return build_query(marssep_rt.model.bundle.load(None), QueryRequest(texts=texts))


def own_query(host):
    """The query in a host's state."""
    return json.loads(states_in(host.save())["query"])


def status(host):
    return host.text("Status", host.parameters()["Status"][4])


def typed(text, **others):
    return state_of({"query": OWN}, query="", query_file="", query_text=text, **others)


TYPED = ("rain", "the dog and the rain, but not the wind", "žába 狗 frogs", "no dog", "background noise")


@pytest.mark.parametrize("text", TYPED)
def test_clap_hears_a_query_that_is_typed(clap, stereo, text):
    """Against the runtime: the vector, and what it lets through."""
    host, x = clap(), read(stereo[0])
    assert host.load(typed(text))
    query, expected = own_query(host), embedded(text)
    assert (query["label"], query["encoder"], query["text"]) == (expected.label, expected.encoder, text)
    np.testing.assert_allclose(query["vector"], expected.vector, atol=1e-5)
    for sounds, vectors in (("keep", expected.keep), ("drop", expected.drop)):
        if vectors is not None:
            np.testing.assert_allclose(query[sounds], vectors, atol=1e-5)
        assert (sounds in query) == (vectors is not None)
    assert query.get("remove", False) == expected.remove
    padded = np.concatenate([x, np.zeros((2, host.latency), np.float32)], axis=1)
    s = Separator(query=text, limit_db=contract.MIXER.no_limit_db)  # the parameter is the host's
    y = s.process(np.concatenate([x, np.zeros((2, s.latency), np.float32)], axis=1))[:, s.latency :]
    np.testing.assert_allclose(host.run(padded)[:, host.latency :], y, atol=1e-4)
    assert status(host) == ("ready" if expected.limit_db is None else "doubted words")


@pytest.mark.parametrize("text", ["don't remove the dog", "?!", "x" * 600])
def test_clap_says_that_a_text_is_no_query(clap, stereo, text, capfd):
    host = clap()
    assert host.load(typed("rain"))
    assert host.load(typed(text))
    assert status(host) == "no query"
    assert not host.run(read(stereo[0])).any()
    assert "marssep: " in capfd.readouterr().err
    host.set("Output", 1.0)  # the residual of nothing is the input
    host.run(np.zeros((2, 4096), np.float32))
    assert host.run(read(stereo[0])).any()


def test_clap_says_that_it_doubts_words_until_the_attenuation_is_limited(clap, stereo):
    x, text = read(stereo[0]), "quarterly tax returns"
    assert embedded(text).limit_db is not None
    host, moved = clap(), clap()
    assert host.load(typed(text))
    assert status(host) == "doubted words"
    assert moved.load(host.save())
    assert status(moved) == "doubted words"
    host.set("Max Attenuation", embedded(text).limit_db)
    host.run(x)
    assert status(host) == "ready"
    moved.set("Query", 0.0)
    moved.run(x)
    assert status(moved) == "ready"
    moved.set("Query", OWN)
    assert moved.load(typed("speech"))
    assert status(moved) == "ready"
    np.testing.assert_allclose(own_query(moved)["vector"], embedded("speech").vector, atol=1e-5)


@pytest.mark.parametrize("text", ["no dog", "background noise"])
def test_clap_keeps_a_residual_in_its_state(clap, stereo, text):
    """The state is what a host's own preset holds; the parameter Output stays where it is."""
    host, moved, x = clap(), clap(), read(stereo[0])
    assert host.load(typed(text))
    y = host.run(x)
    assert moved.load(host.save())
    assert moved.parameters()["Output"][4] == 0.0
    np.testing.assert_array_equal(moved.run(x), y)
    other = clap()
    assert other.load(typed(embedded(text).label.replace(" + ", " and ")))
    assert np.abs(other.run(x) - y).max() > 1e-3


def test_clap_takes_limit_and_residual_of_a_query_file(clap, stereo, tmp_path, capfd):
    host, x = clap(), read(stereo[0])
    write_query(tmp_path / "doubted.query", embedded("quarterly tax returns"))
    assert host.load(state_of({"query": OWN}, query="", query_file=str(tmp_path / "doubted.query")))
    assert status(host) == "doubted words"
    assert "“quarterly tax returns” is unlike the sounds" in capfd.readouterr().err
    host.set("Max Attenuation", embedded("quarterly tax returns").limit_db)
    host.run(x)
    assert status(host) == "ready"
    write_query(tmp_path / "noise.query", embedded("background noise"))
    state = state_of({"query": OWN, "limit": 100.0}, query="", query_file=str(tmp_path / "noise.query"))
    assert host.load(state)
    host.reset()
    padded = np.concatenate([x, np.zeros((2, host.latency), np.float32)], axis=1)
    s = Separator("background noise")
    expected = np.concatenate([s.process(x), s.flush()], axis=1)[:, s.latency :]
    host.run(np.zeros((2, 4096), np.float32))  # the ramp
    host.reset()
    np.testing.assert_allclose(host.run(padded)[:, host.latency :], expected, atol=1e-4)


def test_queries_that_are_built_in_may_ask_for_a_residual(stereo, tmp_path):
    shutil.copytree(plugins(2) / "marssep-clap", tmp_path / "p")
    built = [embedded("no dog"), embedded("quarterly tax returns")]
    (tmp_path / "p" / "queries.json").write_text(json.dumps([as_plain(query) for query in built]))
    host, x = ClapHost(tmp_path / "p" / "marssep.clap"), read(stereo[0])
    host.set("Offline Render", 1.0)
    host.process(np.zeros((2, 64), np.float32))
    host.reset()
    s = Separator("no dog")
    expected = np.concatenate([s.process(x), s.flush()], axis=1)[:, s.latency :]
    padded = np.concatenate([x, np.zeros((2, host.latency), np.float32)], axis=1)
    np.testing.assert_allclose(host.run(padded)[:, host.latency :], expected, atol=1e-4)
    assert status(host) == "ready"
    host.set("Query", 1.0)
    host.run(x)
    assert status(host) == "doubted words"
    host.close()


def test_clap_keeps_the_query_not_the_path(clap, stereo, tmp_path):
    path, x = tmp_path / "rain.query", read(stereo[0])
    write_query(path, embedded("rain"))
    host = clap()
    assert host.load(state_of({"query": OWN}, query_file=str(path)))  # as earlier versions saved it
    kept, y = host.save(), host.run(x)
    assert y.any()
    np.testing.assert_allclose(own_query(host)["vector"], embedded("rain").vector, atol=1e-6)
    write_query(path, embedded("violin"))
    changed = clap()
    assert changed.load(kept)
    np.testing.assert_array_equal(changed.run(x), y)  # a project sounds as it was saved
    assert changed.load(state_of({"query": OWN}, query_file=str(path)))  # the user loads the file again
    np.testing.assert_allclose(own_query(changed)["vector"], embedded("violin").vector, atol=1e-6)
    path.unlink()
    moved = clap()
    assert moved.load(kept)
    assert status(moved) == "ready"
    np.testing.assert_array_equal(moved.run(x), y)
    assert states_in(moved.save()) == states_in(kept)


def test_clap_with_a_missing_query_file_is_silent_and_says_so(clap, stereo, tmp_path):
    host, x = clap(), read(stereo[0])
    assert host.load(state_of({"query": 0}, query_file=str(tmp_path / "gone.query")))
    assert status(host) == "ready"  # a built-in one is chosen
    assert host.run(x).any()
    host.set("Query", OWN)
    host.run(np.zeros((2, 4096), np.float32))
    assert status(host) == "no query"
    assert not host.run(x).any()
    assert host.parameters()["Presence"][4] < 0.2
    host.set("Query", 0.0)
    host.run(x)
    assert status(host) == "ready"
    assert host.run(x).any()


def test_clap_embeds_again_what_another_encoder_made(clap):
    host = clap()
    assert host.load(typed("rain"))
    query = own_query(host) | {"encoder": "older-1"}
    assert host.load(state_of({"query": OWN}, query=json.dumps(query), query_file="", query_text="rain"))
    assert own_query(host)["encoder"] == embedded("rain").encoder
    assert host.load(state_of({"query": OWN}, query=json.dumps(query), query_file="", query_text=""))
    assert status(host) == "no query"


def test_clap_shows_values_as_people_read_them(clap, stereo):
    host, x = clap(), read(stereo[0])
    assert host.text("Max Attenuation", 100.0) == "off"
    assert host.value("Max Attenuation", "off") == 100.0
    assert [host.text("Query", i) for i in range(OWN + 1)] == [*QUERIES, "Own query"]
    assert host.parameters()["Mix"][1:4] == (0.0, 100.0, 100.0)
    assert host.info("Wet").flags & 4  # hidden: for old projects
    y = []
    for parameters in ({"mix": 50.0}, {"wet": 0.5}):
        assert host.load(state_of({"mix": 100.0, "wet": 1.0, **parameters}))
        host.run(np.zeros((2, 48_000), np.float32))
        host.reset()
        y.append(host.run(x))
    np.testing.assert_array_equal(*y)


def test_clap_meters_are_the_runtimes(clap, stereo):
    """Presence is measured as a bundle without an audio encoder would; reduction is output below input."""
    host, x = clap(), np.tile(read(stereo[0]), 2)
    y = host.run(x)
    meter = PresenceMeter(2, 480, 48_000)
    s = Separator(query=QUERIES[0])
    target = s.process(x)
    dry = np.concatenate([np.zeros((2, s.latency), np.float32), x], axis=1)
    for at in range(0, x.shape[1] - 480 - host.latency, 480):
        meter.add(target[:, at : at + 480], dry[:, at : at + 480])
    values = {name: value[4] for name, value in host.parameters().items()}
    assert values["Presence"] == pytest.approx(meter.presence(), abs=0.05)
    late = [10 * np.log10(np.square(part[:, -24_000:]).mean()) for part in (x[:, : -host.latency], y)]
    assert values["Output level"] == pytest.approx(late[1], abs=3)
    assert values["Reduction"] == pytest.approx(late[0] - late[1], abs=3)
    assert values["Latency"] == pytest.approx(host.latency / 48)


@pytest.mark.parametrize("text", ["rain", "background noise"])
def test_lv2_hears_a_query_that_is_set_as_a_property(text):
    """patch:Set with a string through a worker, then the state in another instance; there is no window."""
    folder = plugins(2) / "marssep.lv2"
    done = subprocess.run(
        [helper("lv2_host"), folder / "marssep.so", f"{folder}/", "urn:marssep:marssep", text],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    said = {line.split()[0]: tuple(map(float, line.split()[1:])) for line in done.stdout.splitlines()}
    assert said["before"] == (1.0, -120.0)
    assert said["typed"][0] == said["restored"][0] == 0.0
    assert said["typed"][1] > -60
    assert said["restored"][1] == pytest.approx(said["typed"][1], abs=1)


def test_jalv_restores_a_query_that_is_typed(jack_server, tmp_path):
    """A state in a file, as a host writes it, with the text alone."""
    need("jalv")
    _, env = jack_server
    uri = "urn:marssep:marssep"
    (tmp_path / "state.ttl").write_text(
        "@prefix lv2: <http://lv2plug.in/ns/lv2core#> . @prefix pset: <http://lv2plug.in/ns/ext/presets#> .\n"
        "@prefix state: <http://lv2plug.in/ns/ext/state#> .\n"
        f'<> a pset:Preset ; lv2:appliesTo <{uri}> ; lv2:port [ lv2:symbol "query" ; pset:value {OWN}.0 ] ;\n'
        f' state:state [ <{uri}#query_text> "rain" ] .\n'
    )
    statuses = []
    for more in ([], ["-l", tmp_path]):
        host = subprocess.Popen(
            ["jalv", "-x", "-c", f"query={OWN}", *more, uri],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=lv2_environment(env),
        )
        try:
            time.sleep(3)
            host.stdin.write("monitors\n")
            host.stdin.flush()
            time.sleep(1)
            host.send_signal(signal.SIGINT)
            said, _ = host.communicate(timeout=10)
        finally:
            host.kill()
        statuses += [
            float(line.split("=")[-1]) for line in said.splitlines() if line.lower().startswith("status")
        ]
    assert statuses == [1.0, 0.0], said


def test_lv2_presets_are_found_and_set_the_mixer():
    need("lv2info", "lv2apply")
    said = subprocess.run(
        ["lv2info", "urn:marssep:marssep"], capture_output=True, text=True, env=lv2_environment()
    ).stdout
    for name in PRESETS:
        assert name in said


def test_vst3_presets_set_the_mixer_and_leave_the_query():
    """The host compares the plug-in's id with the one in the file."""
    folder, p = plugins(2) / "marssep.vst3" / "Contents" / "Resources" / "Presets", vst3()
    p.query = QUERIES[1]
    for name, changes in PRESETS.items():
        p.mix, p.gain_db = 30.0, 6.0
        p(sound(0.1), 48_000)  # a host hands parameters over with the next block
        p.load_preset(str(folder / f"{name}.vstpreset"))
        expected = {**MIXER, **changes}
        assert p.output == ("Target", "Residual")[expected["output"]]
        assert (p.mix, p.gain_db) == pytest.approx((expected["mix"], expected["gain"]), abs=0.1)
        assert p.parameters["max_attenuation_db"].raw_value == pytest.approx(
            expected["limit"] / 100, abs=0.01
        )
        assert p.query == QUERIES[1]


def test_clap_presets_are_found_and_leave_the_query(clap):
    host = clap()
    assert [preset[:2] for preset in found_presets(host)] == [(name, name) for name in PRESETS]
    assert {preset[2] for preset in found_presets(host)} == {host.id}
    assert len(found_presets(host, most=2)) == 2
    assert host.load(typed("dog and rain"))
    query = own_query(host)
    for name, changes in PRESETS.items():
        host.set("Mix", 30.0)
        host.set("Gain", 6.0)
        host.process(np.zeros((2, 512), np.float32))
        assert load_preset(host, name)
        values = {shown: value[4] for shown, value in host.parameters().items()}
        expected = {**MIXER, **changes}
        shown = [values[key] for key in ("Output", "Mix", "Max Attenuation", "Gain")]
        assert shown == [expected[key] for key in ("output", "mix", "limit", "gain")], name
        assert own_query(host) == query
        assert (values["Query"], values["Offline Render"]) == (OWN, 1)
    for key, kind in (("no such preset", 1), ("Target only", 0)):
        assert not load_preset(host, key, kind)


def test_clap_is_deaf_to_what_is_no_number(clap, stereo):
    """Through the build that ships: one NaN was NaN for ever."""
    x = read(stereo[0])
    x = np.concatenate([x, x], axis=1)
    bad = x.copy()
    bad[:, 1000], bad[0, 30_000], bad[1, 40_000:40_500] = np.nan, np.inf, 1e-42
    made = [clap().run(given) for given in (bad, np.nan_to_num(bad, posinf=0.0))]
    assert np.isfinite(made[0]).all()
    assert np.abs(made[0][:, -20_000:]).max() > 0.05
    np.testing.assert_array_equal(*made)


def test_clap_lives_in_a_host_without_extensions(stereo):
    source, expected = stereo
    x = read(source)
    host = ClapHost(plugins(2) / "marssep-clap" / "marssep.clap", bare=True)
    assert host.load(host.save())
    padded = np.concatenate([x, np.zeros((2, host.latency), np.float32)], axis=1)
    np.testing.assert_allclose(host.run(padded)[:, host.latency :], expected, atol=1e-4)
    host.close()


@pytest.mark.parametrize("fault", ["separator.onnx", "queries.json", "libonnxruntime"])
def test_with_a_file_missing_or_broken_it_is_silent_and_the_host_lives(fault, tmp_path):
    """In a process of its own, as a host would be."""
    folder = tmp_path / "p"
    shutil.copytree(plugins(2) / "marssep-clap", folder)
    victim = next(folder.glob(f"{fault}*"))
    victim.unlink() if fault != "separator.onnx" else victim.write_bytes(b"broken")
    code = (
        "import sys, numpy as np; from clap_host import ClapHost\n"
        f"h = ClapHost({str(folder / 'marssep.clap')!r})\n"
        "y = h.run(np.full((2, 4096), 0.1, np.float32)); assert not y.any()\n"
        "h.set('Output', 2.0)\n"
        "for _ in range(2): h.process(np.zeros((2, 512), np.float32))\n"
        "y = h.run(np.full((2, 4096), 0.1, np.float32)); assert y.any()\n"
        "h.close(); print('alive')\n"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "helpers")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert "alive" in done.stdout, done.stderr
    assert "the plug-in is silent" in done.stderr
