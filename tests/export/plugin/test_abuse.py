"""A plug-in in a host that does what it should not: checks of pluginval and clap-validator, re-created."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from daw_tools import plugins

HELPERS = Path(__file__).parents[2] / "helpers"


@pytest.mark.parametrize(
    ("script", "plugin", "checks"),
    [
        ("plugin_abuse.py", "marssep-clap/marssep.clap", 6),
        ("lv2_abuse.py", "marssep.lv2", 7),
        ("vst3_abuse.py", "marssep.vst3", 5),
    ],
)
def test_a_careless_host_does_no_harm(script, plugin, checks):
    """In a process of its own, whose end the tests would not outlive."""
    if plugin.endswith(".vst3"):
        pytest.importorskip("pedalboard")
    done = subprocess.run(
        [sys.executable, HELPERS / script, plugins(2) / plugin],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(HELPERS)},
        timeout=400,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert done.stdout.count("ok ") == checks
