"""The one command with all others inside."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import marssep_rt
from marssep_rt.cli.marssep import JOINED, OWN

BIN = Path(sys.executable).parent / "marssep"


def marssep(*args):
    done = subprocess.run([str(BIN), *args], capture_output=True, text=True, timeout=120)
    assert "Traceback" not in done.stdout + done.stderr
    return done


def test_the_version():
    assert marssep("--version").stdout.strip() == f"marssep {marssep_rt.__version__}"
    module = subprocess.run([sys.executable, "-m", "marssep_rt", "--version"], capture_output=True, text=True)
    assert module.stdout.strip() == f"marssep {marssep_rt.__version__}"


def test_help_names_every_command():
    shown = marssep("-h")
    assert shown.returncode == 0
    for name in (*OWN, *JOINED):
        assert f" {name} " in shown.stdout


@pytest.mark.parametrize("name", [*OWN, *JOINED])
def test_every_command_is_there_and_shows_flags_as_flags(name):
    shown = marssep(name, "--help")
    assert shown.returncode == 0
    assert f"marssep {name}" in shown.stdout
    options = re.findall(r"^[^\w-]*--\w.*", shown.stdout, re.MULTILINE)
    assert options
    assert not [line for line in options if re.search(r"<\w", line)]  # as <bool> or <int range>


@pytest.mark.parametrize("command", [[str(BIN)], [f"{BIN}-train"], [f"{BIN}-export", "verify"]])
def test_h_is_help_and_flags_are_flags(command):
    shown = subprocess.run([*command, "-h"], capture_output=True, text=True)
    assert shown.returncode == 0
    assert "--help" in shown.stdout
    assert "<bool>" not in shown.stdout


@pytest.mark.parametrize("name", ["live", "file"])
def test_options_are_shown_in_groups(name):
    shown = marssep(name, "-h").stdout
    assert all(f"─ {group} " in shown for group in ("Query", "Mixer settings", "Model", "Run"))


def test_a_command_is_the_same_as_its_older_name(tmp_path):
    new = marssep("query", "--query", "dog", "-o", str(tmp_path / "dog.txt"))
    old = subprocess.run(
        [f"{BIN}-query", "--query", "dog", "-o", str(tmp_path / "dog.txt")], capture_output=True, text=True
    )
    assert (new.returncode, new.stderr) == (old.returncode, old.stderr)
    assert new.returncode == 2


def test_an_unknown_command_is_refused():
    done = marssep("listen")
    assert done.returncode == 2
    assert "No such command 'listen'" in done.stderr


def test_the_public_api_is_what_dir_shows():
    assert set(dir(marssep_rt)) == {*marssep_rt.__all__, "__version__"}


@pytest.mark.parametrize("command", [["train", "corpus", "x.csv", "-o", "y"], ["export", "verify", "x"]])
def test_without_the_extra_a_command_says_which_one_it_needs(tmp_path, command):
    """A torch that cannot be found stands for an installation without the extra."""
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')")
    done = subprocess.run(
        [str(BIN), *command],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert 'needs the package torch: pip install "marssep[train]"' in done.stderr
