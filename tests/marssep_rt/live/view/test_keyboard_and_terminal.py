"""marssep-live in a terminal: keys, learning, presets, a terminal that closes, OSC's port, the doctor."""

import itertools
import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import soundfile

BIN = Path(sys.executable).parent


class Terminal:
    """A command on a terminal of its own; ``said`` grows while it runs."""

    def __init__(self, cwd, *args):
        self.near, far = pty.openpty()
        self.process = subprocess.Popen(
            [BIN / "marssep-live", *map(str, args)],
            cwd=cwd,
            stdin=far,
            stdout=far,
            stderr=far,
            start_new_session=True,
            env={**os.environ, "COLUMNS": "120", "MARSSEP_CONFIG": str(cwd)},
        )
        os.close(far)
        self.said = ""
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        try:
            while part := os.read(self.near, 65536):
                self.said += part.decode("utf-8", "replace")
        except OSError:
            pass

    def until(self, words, seconds=30):
        deadline = time.monotonic() + seconds
        while words not in self.said and time.monotonic() < deadline:
            time.sleep(0.05)
        assert words in self.said, self.said[-3000:]

    def type(self, keys):
        os.write(self.near, keys.encode())
        time.sleep(0.3)

    def end(self, seconds=30):
        code = self.process.wait(seconds)
        self.reader.join(2)
        os.close(self.near)
        return code


def test_keys_change_what_is_heard_while_it_runs(tmp_path):
    run = Terminal(tmp_path, "--demo", "--query", "dog barking", "--stats", "s.json")
    run.until("target   strength")
    run.type("r")
    run.until("residual   strength")
    run.type("b")
    run.until("bypass")
    run.type("b")
    run.type("wl")
    run.until("wet 90%")
    run.until("limit 30 dB")
    run.type("tsiren")
    run.until("listen for: siren_")
    run.type("\r")
    run.until("listening for siren")
    run.type("q")
    assert run.end() == 0, run.said[-3000:]
    stats = json.loads((tmp_path / "s.json").read_text())
    assert [label for _, label in stats["queries"]] == ["dog barking", "siren"]
    assert stats["query"] == "siren"
    assert stats["presence"]
    assert all(0 <= value <= 1 for _, value in stats["presence"])
    assert soundfile.info(tmp_path / "marssep-demo.wav").frames > 48_000


def test_learning_at_the_start(tmp_path):
    run = Terminal(tmp_path, "--demo", "--learn", "2", "--stats", "s.json")
    run.until("bypass")
    run.until("listening for what was heard")
    run.until("target   strength")
    run.type("q")
    assert run.end() == 0, run.said[-3000:]
    assert json.loads((tmp_path / "s.json").read_text())["query"].startswith("what was heard")


def test_a_terminal_that_closes_ends_the_run_and_keeps_the_recording(tmp_path):
    run = Terminal(tmp_path, "--demo", "--query", "rain", "--record", "r.wav")
    run.until("target   strength")
    time.sleep(2)
    os.kill(run.process.pid, signal.SIGHUP)
    os.close(run.near)
    run.near = os.open(os.devnull, os.O_RDONLY)
    assert run.end() == 0
    assert soundfile.info(tmp_path / "r.wav").frames > 48_000


def live(cwd, *args):
    return subprocess.run(
        [BIN / "marssep-live", *map(str, args)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=90,
        env={**os.environ, "MARSSEP_CONFIG": str(cwd), "JACK_NO_START_SERVER": "1"},
    )


def test_a_preset_and_what_the_command_line_says_instead(tmp_path):
    (tmp_path / "presets.toml").write_text(
        '[dogs]\nquery = ["dog barking", "dog howling"]\nlimit = 20\nwet = 0.5\n'
    )
    done = live(tmp_path, "--demo", "--plain", "--preset", "dogs", "--duration", "1.5", "--stats", "s.json")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "s.json").read_text())["query"] == "dog barking + dog howling"
    done = live(
        tmp_path,
        "--demo",
        "--plain",
        "--preset",
        "dogs",
        "--query",
        "rain",
        "--duration",
        "1.5",
        "--stats",
        "s.json",
    )
    assert json.loads((tmp_path / "s.json").read_text())["query"] == "rain"
    done = live(tmp_path, "--demo", "--preset", "cats")
    assert done.returncode == 2
    assert "there is: dogs" in done.stderr


def test_a_taken_osc_port_is_said_before_anything_is_heard(tmp_path):
    pytest.importorskip("pythonosc")
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        done = live(tmp_path, "--demo", "--query", "rain", "--osc", taken.getsockname()[1])
    assert done.returncode == 1
    assert "choose another with --osc" in done.stderr
    assert not list(tmp_path.glob("*.wav*"))


def test_the_log_says_the_mode_beside_the_query(tmp_path):
    done = live(tmp_path, "--demo", "--plain", "--query", "no siren", "--duration", "1.2")
    assert done.returncode == 0, done.stderr
    query, mode = next(pair for pair in itertools.pairwise(done.stdout.splitlines()) if "query  " in pair[0])
    assert query.split() == ["query", "siren"]
    assert mode.split()[:2] == ["mode", "residual"]


def test_the_doctor(tmp_path):
    done = live(tmp_path, "--doctor")
    assert done.returncode == 0, done.stderr
    for words in ("marssep ", "processor", "onnxruntime", "CUDA", "PortAudio", "p99.9", "advice"):
        assert words in done.stdout


def test_two_targets_on_two_channels(tmp_path):
    done = live(
        tmp_path,
        "--demo",
        "--plain",
        "--query",
        "dog barking",
        "--output-channel",
        "1",
        "--query",
        "siren",
        "--output-channel",
        "2",
        "--duration",
        "3",
        "--record",
        "both.wav",
        "--stats",
        "s.json",
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "s.json").read_text())["query"] == "[dog barking to 1], siren to 2"
    both, _ = soundfile.read(tmp_path / "both.wav")
    assert both.shape[1] == 2
    assert abs(both[:, 0] - both[:, 1]).max() > 0.01
    done = live(tmp_path, "--demo", "--query", "dog barking", "--query", "siren", "--output-channel", "1")
    assert done.returncode == 2
    assert "2 queries and 1 output channels" in done.stderr
