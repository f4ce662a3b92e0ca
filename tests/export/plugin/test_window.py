"""The plug-in's window in a real host: a query that is typed is heard."""

import contextlib
import os
import subprocess
import time

import pytest

from daw_tools import OWN, need, windowed
from x_window import User, display

FIELD = (200, 58)  # in the window
OUTPUTS = (28, 192), 130  # the buttons Target and Residual: left of their words
ACCENT = (76, 175, 130)  # of the one that is chosen, and of sliders
GROUND = (27, 30, 36)
WIDTH = 520
SLIDER_ROWS = (164, 188, 212)  # 16 high


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


def lit(user, at):
    """Whether a button is shown as chosen, as soon as it is."""
    until = time.monotonic() + 30
    while not (shown := user.colour(*at) == ACCENT) and time.monotonic() < until:
        time.sleep(0.5)
    return shown


@contextlib.contextmanager
def opened(env, log, scale=1):
    """The window in jalv on a display of its own: the host, a user, and where the window is."""
    need("jalv", "Xvfb", "xwininfo")
    env = {**env, "LV2_PATH": f"{windowed()}:/usr/lib/lv2", "DPF_SCALE_FACTOR": str(scale)}
    with display("1600x1000x24") as screen, log.open("w") as output:
        env["DISPLAY"] = screen
        host = subprocess.Popen(
            ["stdbuf", "-oL", "jalv", "-x", "-s", "-p", "-c", f"query={OWN}", "urn:marssep:marssep"],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=env,
        )
        try:
            at = window_at("marssep", env)
            time.sleep(2)
            yield host, User(screen), at
        finally:
            host.kill()
            host.wait(10)


def test_a_query_is_typed_in_the_window(jack_server, tmp_path):
    _, env = jack_server
    log = tmp_path / "log"
    with opened(env, log) as (host, user, (x, y)):
        assert set(statuses(log)) == {"1.000000"}  # no query
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
    assert statuses(log)[-1] == "0.000000"


@pytest.mark.parametrize("scale", [1, 2])
def test_the_window_fits_displays_of_every_density(jack_server, tmp_path, scale):
    """The names of the sliders end before the sliders begin, and a button is where it is drawn."""
    _, env = jack_server
    with opened(env, tmp_path / "log", scale) as (_, user, (x, y)):
        target, residual = ((x + scale * left, y + scale * OUTPUTS[1]) for left in OUTPUTS[0])
        assert lit(user, target)
        for top in SLIDER_ROWS:
            rows = range(y + scale * top, y + scale * (top + 16))
            line = [{user.colour(x + column, row) for row in rows} for column in range(WIDTH * scale)]
            slider = next(i for i, colours in enumerate(line) if ACCENT in colours)
            name = max(i for i in range(slider - 2 * scale) if line[i] != {GROUND})  # not the slider's corner
            assert slider - name > 4 * scale
        assert user.colour(*residual) != ACCENT
        user.click(*residual)
        assert lit(user, residual)


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
