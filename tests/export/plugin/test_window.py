"""The plug-in's window in a real host: a query that is typed is heard."""

import os
import subprocess
import time

import pytest

from daw_tools import OWN, need, windowed
from x_window import User, display

FIELD = (200, 58)  # in the window
OUTPUTS = (28, 192), 130  # the buttons Target and Residual: left of their words
ACCENT = (76, 175, 130)  # of the one that is chosen


def window_at(name, env):
    """Where a window is on the display, as soon as it is there."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        said = subprocess.run(["xwininfo", "-name", name], capture_output=True, text=True, env=env).stdout
        found = [int(line.split()[-1]) for line in said.splitlines() if "Absolute upper-left" in line]
        if found:
            return found
        time.sleep(0.5)
    pytest.fail("the window does not open")


def statuses(path):
    return [line.split()[-1] for line in path.read_text().splitlines() if line.startswith("status = ")]


def test_a_query_is_typed_in_the_window(jack_server, tmp_path):
    need("jalv", "Xvfb", "xwininfo")
    _, env = jack_server
    folder, log = windowed(), tmp_path / "log"
    with display() as screen, log.open("w") as output:
        env = {**env, "DISPLAY": screen, "LV2_PATH": f"{folder}:/usr/lib/lv2"}
        host = subprocess.Popen(
            ["stdbuf", "-oL", "jalv", "-x", "-s", "-p", "-c", f"query={OWN}", "urn:marssep:marssep"],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=env,
        )
        try:
            x, y = window_at("marssep", env)
            time.sleep(2)
            assert set(statuses(log)) == {"1.000000"}  # no query
            user = User(screen)
            user.click(x + FIELD[0], y + FIELD[1])
            time.sleep(0.5)
            user.type("raim\bn\r")
            until = time.monotonic() + 30
            while statuses(log)[-1] != "0.000000" and time.monotonic() < until:
                time.sleep(0.5)
            assert host.poll() is None
            for before, words, lit in ((4, "background noise", 1), (len("speech and music"), "rain", 0)):
                user.type("\b" * before + words + "\r")
                shown, until = [], time.monotonic() + 30
                while shown != [i == lit for i in range(2)] and time.monotonic() < until:
                    time.sleep(0.5)
                    shown = [user.colour(x + left, y + OUTPUTS[1]) == ACCENT for left in OUTPUTS[0]]
                assert shown.index(True) == lit  # the residual of speech and music; then the target again
        finally:
            host.kill()
            host.wait(10)
    assert statuses(log)[-1] == "0.000000"


def test_the_jack_program_says_that_it_has_no_display():
    env = {name: value for name, value in os.environ.items() if name != "DISPLAY"}
    done = subprocess.run(
        [windowed() / "marssep-jack" / "marssep"], capture_output=True, text=True, env=env, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr == "marssep: there is no display for the window; export the plug-in with --no-window\n"


def test_a_plugin_with_a_window_runs_without_one():
    """Its LV2 library needs no display's libraries."""
    said = subprocess.run(
        ["ldd", windowed() / "marssep.lv2" / "marssep_dsp.so"],
        capture_output=True,
        text=True,
    ).stdout
    assert "libc.so" in said
    assert "libX11" not in said
    assert "libGL" not in said
