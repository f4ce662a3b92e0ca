"""The virtual microphone, against a stand-in for pactl that writes down what it is asked; the unit."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from marssep_rt.errors import DeviceError, UsageError
from marssep_rt.live import service
from marssep_rt.live.devices.virtual_mic import ROUTING, VirtualMic, playback_streams

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="pactl and systemd are Linux's")
LIVE = Path(sys.executable).parent / "marssep-live"
STAND_IN = """#!/bin/sh
echo "$@" >> {log}
case "$1 $2" in
"load-module {refused}") echo "Failure: Module initialization failed" >&2; exit 1;;
"load-module "*) wc -l < {log};;
"list short") printf '{modules}';;
"-f json") printf '%s' '{streams}';;
esac
"""


@pytest.fixture
def pactl(tmp_path, monkeypatch):
    """Installs a stand-in; what it is asked stands in the file that is returned."""

    def install(refused="none", modules="", streams="[]"):
        log, program = tmp_path / "asked", tmp_path / "pactl"
        program.write_text(STAND_IN.format(log=log, refused=refused, modules=modules, streams=streams))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        return log

    return install


def test_sink_and_source_are_there_while_it_lasts(pactl):
    streams = [
        {"index": 7, "sink": 0, "properties": {"application.process.id": str(os.getpid())}},
        {"index": 8, "sink": 0, "properties": {"application.process.id": "1"}},
    ]
    log = pactl(streams=json.dumps(streams))
    with VirtualMic() as mic:
        assert os.environ["PULSE_SINK"] == "marssep_sink"
        mic.route()
    asked = log.read_text().splitlines()
    assert [line.split()[:2] for line in asked] == [
        ["list", "short"],
        ["load-module", "module-null-sink"],
        ["load-module", "module-remap-source"],
        ["-f", "json"],
        ["move-sink-input", "7"],
        ["unload-module", "3"],
        ["unload-module", "2"],
    ]
    assert "sink_name=marssep_sink" in asked[1]
    assert "master=marssep_sink.monitor source_properties=device.description='marssep microphone'" in asked[2]
    assert not ROUTING.keys() & os.environ.keys()


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
    assert log.read_text().splitlines()[-1] == "unload-module 2"


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
    assert playback_streams("Sink Input #7", 1) == []


def test_the_unit_quotes_what_systemd_would_expand(tmp_path):
    text = service.unit(["--query", 'a "50%" $x', "--install-service", "--virtual-mic"], Path("/home/a b"))
    (line,) = (line for line in text.splitlines() if line.startswith("ExecStart="))
    assert line.endswith('"live" "--query" "a \\"50%%\\" $$x" "--virtual-mic" "--plain"')
    assert sys.executable in line
    assert "WorkingDirectory=/home/a b" in text


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
