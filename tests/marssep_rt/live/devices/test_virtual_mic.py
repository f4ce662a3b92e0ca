"""The virtual microphone, against a stand-in for pactl that writes down what it is asked; the unit.

``test_virtual_mic_server.py`` asks a real server.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from marssep_rt.errors import DeviceError, UsageError
from marssep_rt.live import service
from marssep_rt.live.devices.virtual_mic import VirtualMic, default_source, own_clients, streams_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="pactl and systemd are Linux's")
LIVE = Path(sys.executable).parent / "marssep-live"
STAND_IN = """#!/bin/sh
echo "$@" >> {log}
case "$*" in
"load-module {refused} "*) echo "Failure: Module initialization failed" >&2; exit 1;;
"load-module "*) wc -l < {log};;
"info") printf 'Default Sink: a\nDefault Source: mic\n';;
"list short modules") printf '{modules}';;
"list short sinks") printf '0\ta\tx\n3\tmarssep_sink\tx\n';;
"list short sources") printf '0\tmic\tx\n4\tmarssep_mic\tx\n';;
"-f json list clients") printf '%s' '{clients}';;
"-f json list sink-inputs") printf '%s' '{playing}';;
"-f json list source-outputs") printf '%s' '{recording}';;
esac
"""


@pytest.fixture
def pactl(tmp_path, monkeypatch):
    """Installs a stand-in; what it is asked stands in the file that is returned."""

    def install(refused="none", modules="", clients="[]", playing="[]", recording="[]"):
        log, program = tmp_path / "asked", tmp_path / "pactl"
        answers = {"modules": modules, "clients": clients, "playing": playing, "recording": recording}
        program.write_text(STAND_IN.format(log=log, refused=refused, **answers))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        return log

    return install


def listed(*streams):
    """(number, client, kind of place, place) of each stream as pactl lists them."""
    return json.dumps([{"index": i, "client": client, kind: place} for i, client, kind, place in streams])


def test_sink_and_source_are_there_while_it_lasts(pactl, monkeypatch):
    monkeypatch.delenv("PULSE_SOURCE", raising=False)
    monkeypatch.setenv("PULSE_SINK", "a")
    own, other = ({"application.process.id": str(process)} for process in (os.getpid(), 1))
    log = pactl(
        clients=json.dumps([{"index": 70, "properties": own}, {"index": 71, "properties": other}]),
        playing=listed((7, "70", "sink", 0), (8, "71", "sink", 0), (9, "70", "sink", 3)),
        recording=listed((17, "70", "source", 4), (18, "71", "source", 4), (19, "70", "source", 0)),
    )
    with VirtualMic() as mic:
        assert (os.environ["PULSE_SINK"], os.environ["PULSE_SOURCE"]) == ("marssep_sink", "mic")
        mic.route()
    asked = log.read_text().splitlines()
    assert [line for line in asked if not line.startswith(("list", "-f json", "info"))] == [
        "load-module module-null-sink sink_name=marssep_sink sink_properties=device.description=marssep",
        "load-module module-remap-source source_name=marssep_mic master=marssep_sink.monitor "
        "source_properties=\"device.description='marssep microphone'\"",
        "move-sink-input 7 marssep_sink",
        "move-source-output 17 mic",
        "unload-module 4",
        "unload-module 3",
    ]
    assert os.environ["PULSE_SINK"] == "a"
    assert "PULSE_SOURCE" not in os.environ


def test_a_source_that_the_user_has_chosen_stays(pactl, monkeypatch):
    pactl()
    monkeypatch.setenv("PULSE_SOURCE", "other")
    with VirtualMic():
        assert os.environ["PULSE_SOURCE"] == "other"
    assert os.environ["PULSE_SOURCE"] == "other"


def test_what_a_killed_run_left_is_removed_first(pactl):
    log = pactl(modules=r"4\tmodule-null-sink\tsink_name=marssep_sink\n5\tmodule-x\ty\n")
    with VirtualMic():
        pass
    assert log.read_text().splitlines()[1] == "unload-module 4"


def test_a_refusal_leaves_nothing_behind(pactl):
    log = pactl(refused="module-remap-source")
    with (
        pytest.raises(DeviceError, match="refuses pactl load-module module-remap-source: Failure"),
        VirtualMic(),
    ):
        pass
    assert log.read_text().splitlines()[-1] == "unload-module 3"


@pytest.mark.slow
def test_without_pactl_the_command_says_what_to_do(tmp_path):
    done = subprocess.run(
        [LIVE, "--query", "rain", "--virtual-mic"],
        capture_output=True,
        text=True,
        env=os.environ | {"PATH": ""},
    )
    assert done.returncode == 1
    assert "pulseaudio-utils" in done.stderr
    done = subprocess.run([LIVE, "--virtual-mic", "--demo"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "leave out --output and --demo" in done.stderr


def test_a_stream_that_cannot_be_moved_is_a_warning(pactl, tmp_path, capfd):
    log = pactl()
    with VirtualMic() as mic:
        (tmp_path / "pactl").write_text("#!/bin/sh\necho no >&2\nexit 1\n")
        mic.route()
    assert "by hand" in capfd.readouterr().err
    assert log.exists()


def test_an_answer_that_is_no_json_moves_nothing():
    assert own_clients("Client #7") == set()
    assert streams_of({"7"}, "Sink Input #7", "sink") == []
    assert default_source("Default Source: @DEFAULT_SOURCE@\n") == default_source("") == ""


def test_the_unit_quotes_what_systemd_would_expand(tmp_path):
    text = service.unit(["--query", 'a "50%" $x', "--install-service", "--virtual-mic"], Path("/home/a b"))
    (line,) = (line for line in text.splitlines() if line.startswith("ExecStart="))
    assert line.endswith('"live" "--query" "a \\"50%%\\" $$x" "--virtual-mic" "--plain"')
    assert sys.executable in line
    assert "WorkingDirectory=/home/a b" in text


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
@pytest.mark.parametrize("place", ["plain", "with space %h é", "a $x", 'it\'s "quoted" b\\s'])
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path, monkeypatch, place):
    """Wherever Python is installed and whatever is asked; systemd also looks whether the program is there."""
    program = tmp_path / place / "python"
    program.parent.mkdir()
    program.symlink_to(Path(sys.executable).resolve())
    monkeypatch.setattr(sys, "executable", str(program))
    path = tmp_path / service.NAME
    path.write_text(service.unit(["--query", 'a "50%" $x \\ é'], program.parent), encoding="utf-8")
    environment = os.environ | {"XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path)}
    command = ["systemd-analyze", "--user", "verify", path]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.slow
def test_the_unit_is_written_and_another_program_s_is_left_alone(tmp_path, monkeypatch):
    env = os.environ | {"XDG_CONFIG_HOME": str(tmp_path)}
    command = [LIVE, "--query", "rain", "--virtual-mic", "--install-service"]
    for _ in range(2):  # the second time it is replaced
        done = subprocess.run(command, capture_output=True, text=True, env=env)
        assert done.returncode == 0, done.stderr
    path = tmp_path / "systemd" / "user" / "marssep.service"
    assert '"--query" "rain" "--virtual-mic" "--plain"' in path.read_text()
    assert "systemctl --user" in done.stdout
    done = subprocess.run([*command, "--query", "?"], capture_output=True, text=True, env=env)
    assert done.returncode == 2
    path.write_text("[Unit]\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with pytest.raises(UsageError, match="not written by marssep"):
        service.install([], tmp_path)
