"""The LV2 plug-in in Ardour, headless: two tracks with the same recording, one of them through marssep. By
hand, not part of the tests:

    apt-get install ardour jackd2
    python tests/ardour/run.py [--block 1024] [--seconds 4]

Bypassed, the track must be its dry neighbour to the sample; separating, it must be what the runtime makes of
the neighbour.
"""

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import jack
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))
from daw_tools import need, plugins, sound
from marssep_rt import Separator

SERVER, RATE, HOP = "marssep-ardour", 48_000, 480
os.environ.update(JACK_DEFAULT_SERVER=SERVER, JACK_NO_AUDIO_RESERVATION="1", JACK_NO_START_SERVER="1")


class Deck:
    """A JACK client that plays [2, n] into both tracks when it is told, and records their outputs."""

    def __init__(self) -> None:
        self.client = jack.Client("deck", servername=SERVER, no_start_server=True)
        self.give = [self.client.outports.register(f"give_{i}") for i in range(2)]
        self.take = [self.client.inports.register(f"take_{i}") for i in range(4)]
        self.tape, self.at = np.zeros((2, 0), np.float32), 0
        self.heard: list[np.ndarray] | None = None
        self.client.set_process_callback(self.cycle)
        self.client.activate()

    def cycle(self, frames: int) -> None:
        part = self.tape[:, self.at : self.at + frames]
        self.at += frames
        for port, row in zip(self.give, part, strict=True):
            out = port.get_array()
            out[: len(row)] = row
            out[len(row) :] = 0
        if self.heard is not None:
            self.heard.append(np.stack([port.get_array().copy() for port in self.take]))

    def connect(self) -> None:
        until = time.monotonic() + 10
        while len(self.client.get_ports("ardour:(dry|separated)/audio_")) < 8 and time.monotonic() < until:
            time.sleep(0.1)
        for track in ("dry", "separated"):
            for side in range(2):
                self.client.connect(self.give[side], f"ardour:{track}/audio_in {side + 1}")
        outs = [f"ardour:{track}/audio_out {side + 1}" for track in ("dry", "separated") for side in range(2)]
        for out, port in zip(outs, self.take, strict=True):
            self.client.connect(out, port)

    def play(self, x: np.ndarray) -> None:
        self.at, self.tape = 0, x

    @contextlib.contextmanager
    def recording(self):
        """What is heard meanwhile, a list of [4, n]."""
        self.heard = heard = []
        yield heard
        self.heard = None


class Ardour:
    """``ardour7-lua session.lua``, a command at a time."""

    def __init__(self, program: str, folder: Path) -> None:
        env = {
            **os.environ,
            "HOME": str(folder),
            "SESSION_FOLDER": str(folder / "session"),
            "SAMPLE_RATE": str(RATE),
            "PLUGIN_URI": "urn:marssep:marssep",
            "LV2_PATH": f"{plugins(2)}:/usr/lib/lv2",
        }
        self.log = (folder / "ardour.log").open("w+")
        self.process = subprocess.Popen(
            [program, Path(__file__).with_name("session.lua")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env=env,
        )
        self.answer("ready")

    def answer(self, begin: str) -> str:
        for line in self.process.stdout:
            if line.startswith("failed"):
                raise SystemExit(f"Ardour: {line.strip()}")
            if line.startswith(begin):
                return line.strip()
        raise SystemExit("Ardour ended:\n" + Path(self.log.name).read_text()[-2000:])

    def __call__(self, command: str) -> str:
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.answer("ok").removeprefix("ok ")

    def close(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write("quit\n")
            self.process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        self.process.kill()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--block", type=int, default=1024)
    options.add_argument("--seconds", type=float, default=4.0)
    given = options.parse_args()
    need("jackd")
    program = next((found for n in range(9, 6, -1) if (found := shutil.which(f"ardour{n}-lua"))), None)
    if program is None:
        raise SystemExit("there is no ardour7-lua (or 8, 9) here: apt-get install ardour")
    plugins(2)
    server = subprocess.Popen(
        ["jackd", "-n", SERVER, "-S", "-R", "-d", "dummy", "-r", str(RATE), "-p", str(given.block)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        subprocess.run(["jack_wait", "-s", SERVER, "-w", "-t", "8"], check=True, capture_output=True)
        with tempfile.TemporaryDirectory() as folder:
            ardour = Ardour(program, Path(folder))
            try:
                proof(ardour, Deck(), given.seconds)
            finally:
                ardour.close()
    finally:
        server.terminate()
        server.wait(10)


def proof(ardour: Ardour, deck: Deck, seconds: float) -> None:
    """Record, insert, compare; raises AssertionError where Ardour and the runtime disagree."""
    deck.connect()
    threading.Timer(0.8, deck.play, [sound(seconds)]).start()
    print(ardour(f"record {seconds + 2}"))
    print(ardour("insert"), "samples, as Ardour compensates them")
    found = {}
    for name, output in (("separating", 0), ("bypassed", 2)):
        ardour(f"output {output}")
        time.sleep(1)
        with deck.recording() as heard:
            ardour(f"play {seconds + 1.5}")
        y = np.concatenate(heard, axis=1)
        found[name] = y[:2], y[2:]
        assert np.abs(y[:2]).max() > 0.1, "the dry track is silent"
    dry, bypassed = found["bypassed"]
    assert np.array_equal(bypassed, dry), f"bypassed and dry differ by {np.abs(bypassed - dry).max()}"
    print(f"bypassed: equal to the dry track in every one of {dry.shape[1]} samples")
    dry, separated = found["separating"]
    expected = in_its_hops(dry, separated)
    error = np.abs(separated - expected).max()
    print(
        f"separating: differs from the runtime by {error:.1e} "
        f"(peak {np.abs(expected).max():.2f}, dry {np.abs(dry).max():.2f})"
    )
    assert error < 1e-4


def in_its_hops(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """What the runtime makes of x [2, n], its hops beginning where those of the plug-in that made y began.

    That was at some sample of a session that had been silent for long: the one is looked for with which the
    first sound comes out best.
    """
    s = Separator(query="dog barking")

    def made(part: np.ndarray, phase: int) -> np.ndarray:
        s.reset()
        before = 300 * HOP + phase  # longer than the model remembers
        return s.process(
            np.concatenate(
                [np.zeros((2, before), np.float32), part, np.zeros((2, s.latency), np.float32)], axis=1
            )
        )[:, s.latency + before :]

    begin = int(np.flatnonzero(np.abs(x[0]) > 0.01)[0]) // HOP * HOP - 2 * HOP
    some = x[:, begin : begin + 8 * HOP]
    wanted = y[:, begin : begin + 6 * HOP]  # the end would want what comes after
    best, reach = 0, HOP // 2
    for step in (20, 5, 1):
        phases = range(best - reach, best + reach + 1, step)
        best = min(phases, key=lambda phase: np.abs(made(some, phase % HOP)[:, : 6 * HOP] - wanted).max())
        reach = step
    return made(x, best % HOP)


if __name__ == "__main__":
    main()
