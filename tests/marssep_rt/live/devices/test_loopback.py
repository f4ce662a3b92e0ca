"""The latency check: chirps that are found to the sample, and a loop through JACK whose length is known."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from marssep_rt.live.devices.loopback import CLEAR, chirp, find
from signals import RATE

BIN = Path(sys.executable).parent


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
@pytest.mark.parametrize("delay", [0, 1, 511, 7000])
def test_a_chirp_is_found_to_the_sample(rate, delay):
    rng = np.random.default_rng(delay)
    sent = chirp(rate)
    heard = 0.003 * rng.standard_normal(len(sent) + 8000).astype(np.float32)
    heard[delay : delay + len(sent)] += -0.1 * sent  # a loop may turn the sign over
    assert find(sent, heard) == (delay, pytest.approx(1.0, abs=0.05))


def test_an_echo_is_not_taken_for_the_sound_and_noise_not_for_a_chirp():
    sent = chirp(RATE)
    heard = np.zeros(len(sent) + 9000, np.float32)
    heard[2000 : 2000 + len(sent)] += 0.3 * sent
    heard[5000 : 5000 + len(sent)] += 0.15 * sent
    assert find(sent, heard)[0] == 2000
    assert find(sent, 0.1 * np.random.default_rng(0).standard_normal(20_000).astype(np.float32))[1] < CLEAR
    assert find(sent, np.zeros(20_000, np.float32)) == (0, 0.0)


def looped(jack, env, tmp_path, extra):
    """Samples that marssep-live measures where the loop goes through a client that delays by ``extra``."""
    client = jack.Client("loop", servername=env["JACK_DEFAULT_SERVER"], no_start_server=True)
    came, went = client.inports.register("in"), client.outports.register("out")
    kept = np.zeros(extra, np.float32)

    @client.set_process_callback
    def _(frames):
        nonlocal kept
        kept = np.concatenate([kept, came.get_array()])
        went.get_array()[:] = kept[:frames]
        kept = kept[frames:]

    process = subprocess.Popen(
        [
            "timeout",
            "60",
            BIN / "marssep-live",
            "--measure-latency",
            "--blocksize",
            "256",
            "--input",
            "system",
            "--output",
            "system",
        ],
        env={**env, "MARSSEP_CONFIG": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with client:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            outs, ins = (
                client.get_ports("marssep.*", is_audio=True, is_output=o, is_input=not o)
                for o in (True, False)
            )
            if outs and ins:
                client.connect(outs[0], came)
                for port in ins:
                    client.connect(went, port)
                break
            time.sleep(0.005)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    measured = re.search(r"measured, (\d+) samples at 48000 Hz;", out)
    assert measured, out  # no spread: every chirp came equally late
    return int(measured[1])


def test_a_loop_through_jack_is_measured_to_the_sample(jack_server, tmp_path):
    _, env = jack_server
    os.environ.update({k: env[k] for k in ("JACK_DEFAULT_SERVER", "JACK_NO_START_SERVER")})
    jack = pytest.importorskip("jack")
    plain = looped(jack, env, tmp_path, 0)
    assert plain % 256 == 0  # whole periods
    assert looped(jack, env, tmp_path, 777) == plain + 777


def test_nothing_comes_back(jack_server, tmp_path):
    _, env = jack_server
    done = subprocess.run(
        [BIN / "marssep-live", "--measure-latency"],
        env={**env, "MARSSEP_CONFIG": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "the chirp did not come back" in done.stderr
