"""End to end through PortAudio and a JACK server: live equals file, signals, a server that dies."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from marssep_rt.dsp.latency import worker_delay
from signals import RATE, mixture

BIN = Path(sys.executable).parent


def live(env, cwd, *args):
    full = ["timeout", "60", str(BIN / "marssep-live"), "--plain", *map(str, args)]
    return subprocess.Popen(full, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_line(process, start):
    for line in process.stdout:
        if line.startswith(start):
            return
    raise AssertionError(process.stderr.read())


@pytest.fixture
def player(jack_server):
    """A client in the JACK graph that plays a mixture again and again, and its port."""
    _, env = jack_server
    os.environ.update({k: env[k] for k in ("JACK_DEFAULT_SERVER", "JACK_NO_START_SERVER")})
    jack = pytest.importorskip("jack")
    x = mixture(8 * RATE)
    client = jack.Client("player", servername=env["JACK_DEFAULT_SERVER"], no_start_server=True)
    port = client.outports.register("out")
    position = 0

    @client.set_process_callback
    def _(frames):
        nonlocal position
        port.get_array()[:] = x[(position + np.arange(frames)) % len(x)]
        position += frames

    with client:
        yield client, port


def inputs_of_programs(client, others=()):
    """Input ports of the marssep programs, but for ``others``; waits for them."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        ports = client.get_ports("marssep.*", is_audio=True, is_input=True)
        if new := [port for port in ports if port not in others]:
            return new
        time.sleep(0.05)
    raise AssertionError("nobody came")


@pytest.mark.parametrize("block", [256, 480])
def test_live_equals_file_to_the_sample(jack_server, player, tmp_path, block):
    """A JACK client plays to marssep-live; its recording and marssep-file on its input must agree."""
    _, env = jack_server
    client, port = player
    process = live(
        env,
        tmp_path,
        "--query",
        "dog barking",
        "--blocksize",
        block,
        "--record",
        "out.wav",
        "--record-input",
        "in.wav",
        "--duration",
        5,
        "--stats",
        "s.json",
    )
    wait_for_line(process, "latency")
    for target in inputs_of_programs(client):
        client.connect(port, target)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert ("--blocksize 480 is not used" in err) == (block == 480)  # the server's period is 256
    stats = json.loads((tmp_path / "s.json").read_text())
    assert stats["overflows"] == 0
    assert stats["blocksize"] == 256
    came, rate = soundfile.read(tmp_path / "in.wav", dtype="float32", always_2d=True)
    heard, _ = soundfile.read(tmp_path / "out.wav", dtype="float32", always_2d=True)
    assert rate == RATE
    assert np.abs(came).max() > 0.1  # the player was really heard
    done = subprocess.run(
        [BIN / "marssep-file", "--query", "dog barking", "--no-second-look", "in.wav", "-o", "file.wav"],
        cwd=tmp_path,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    file, _ = soundfile.read(tmp_path / "file.wav", dtype="float32", always_2d=True)
    parts = stats["latency_ms"]
    late = round((parts["algorithmic"] + parts["blocks"] + parts["slack"]) * RATE / 1e3)
    n = min(len(heard) - late, len(file))
    assert n > 4 * RATE
    np.testing.assert_allclose(heard[late : late + n], file[:n], atol=1e-5)


@pytest.mark.parametrize("jack_server", [64, 256, 1024, 2048], indirect=True)
def test_the_servers_period_is_played_without_gaps(jack_server, tmp_path, request):
    """Noise without a zero goes through; every zero in what comes out is a gap."""
    _, env = jack_server
    period = request.node.callspec.params["jack_server"]
    os.environ.update({k: env[k] for k in ("JACK_DEFAULT_SERVER", "JACK_NO_START_SERVER")})
    jack = pytest.importorskip("jack")
    rng = np.random.default_rng(0)
    x = (rng.uniform(0.1, 0.5, RATE) * rng.choice([-1, 1], RATE)).astype(np.float32)
    client = jack.Client("player", servername=env["JACK_DEFAULT_SERVER"], no_start_server=True)
    out, back = client.outports.register("out"), client.inports.register("in")
    position, heard = 0, []

    @client.set_process_callback
    def _(frames):
        nonlocal position
        out.get_array()[:] = x[(position + np.arange(frames)) % len(x)]
        position += frames
        heard.append(back.get_array().copy())

    with client:
        process = live(
            env, tmp_path, "--query", "rain", "--wet", "0", "--duration", "2.5", "--stats", "s.json"
        )
        wait_for_line(process, "latency")
        for target in inputs_of_programs(client):
            client.connect(out, target)
        for port in client.get_ports("marssep.*", is_audio=True, is_output=True)[:1]:
            assert port.name == "marssep:out_0"  # the first: names do not change from run to run
            client.connect(port, back)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    stats = json.loads((tmp_path / "s.json").read_text())
    assert stats["blocksize"] == period
    parts = stats["latency_ms"]
    adaptation = (parts["algorithmic"] + parts["blocks"]) * RATE / 1e3 - 480
    assert adaptation == pytest.approx(worker_delay(period, 480), abs=0.1)
    assert parts["device_in"] == parts["device_out"] == pytest.approx(period / RATE * 1e3, abs=1e-3)
    played = np.concatenate(heard)
    sounding = np.flatnonzero(played)
    assert len(sounding) > RATE
    played = played[sounding[0] : sounding[-1] + 1]
    silent = np.mean(played == 0)
    print(f"period {period}: {silent:.3%} silent, {stats['underruns']} underruns")
    assert silent < 0.1  # 53 % and 76 % at 1024 and 2048 in blocks of 480; late workers cost single blocks
    assert stats["underruns"] or not silent


def test_two_instances_do_not_meet(jack_server, player, tmp_path):
    """One hears a player, the other nothing; the one that ends first takes nothing from the other."""
    _, env = jack_server
    client, port = player
    first = live(env, tmp_path, "--query", "dog barking", "--record-input", "first.wav")
    wait_for_line(first, "latency")
    for target in inputs_of_programs(client):
        client.connect(port, target)
    taken = client.get_ports("marssep.*", is_audio=True, is_input=True)
    second = live(env, tmp_path, "--query", "rain", "--record-input", "second.wav", "--duration", 2)
    wait_for_line(second, "latency")
    inputs_of_programs(client, taken)
    _, err = second.communicate(timeout=60)
    assert second.returncode == 0, err
    time.sleep(1)  # the first one plays on
    first.send_signal(signal.SIGINT)
    _, err = first.communicate(timeout=60)
    assert first.returncode == 0, err
    heard, silent = (
        soundfile.read(tmp_path / name, dtype="float32")[0] for name in ("first.wav", "second.wav")
    )
    assert len(heard) > 2.5 * RATE
    assert np.abs(heard[-RATE:]).max() > 0.1
    assert len(silent) > RATE
    assert not silent.any()


def test_devices_are_listed_and_chosen(jack_server, tmp_path):
    _, env = jack_server
    done = subprocess.run(
        [BIN / "marssep-live", "--list-devices"], env=env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    assert "JACK" in done.stdout
    process = live(env, tmp_path, "--query", "rain", "--input", "no such thing")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "--list-devices" in err
    process = live(
        env, tmp_path, "--query", "rain", "--input", "system", "--output", "jack", "--duration", "1"
    )
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err


@pytest.mark.parametrize("kill", [signal.SIGTERM, signal.SIGINT])
def test_signals_close_the_recording(jack_server, tmp_path, kill):
    _, env = jack_server
    process = subprocess.Popen(
        [BIN / "marssep-live", "--plain", "--query", "rain", "--record", "r.wav"],
        cwd=tmp_path,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for_line(process, "t=2")
    process.send_signal(kill)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    assert soundfile.info(tmp_path / "r.wav").frames > RATE


def test_a_server_that_dies_is_noticed_and_nothing_hangs(jack_server, tmp_path):
    jackd, env = jack_server
    process = live(env, tmp_path, "--query", "rain", "--record", "r.wav", "--stats", "s.json")
    wait_for_line(process, "t=2")
    jackd.send_signal(signal.SIGKILL)
    began = time.monotonic()
    _, err = process.communicate(timeout=40)
    took = time.monotonic() - began
    print(f"left {took:.1f} s after the server died")
    assert took < 8  # 2.3 s beside two trainings
    assert process.returncode == 1, err
    assert "sound device" in err
    assert "Traceback" not in err
    assert soundfile.info(tmp_path / "r.wav").frames > RATE
    assert json.loads((tmp_path / "s.json").read_text())["seconds"] > 1
