"""A plug-in in a host that does what it should not: checks of pluginval and clap-validator, re-created."""

import os
import subprocess
import sys
from pathlib import Path

from daw_tools import plugins

HELPERS = Path(__file__).parents[2] / "helpers"


def test_clap_survives_a_careless_host():
    """In a process of its own, whose end the tests would not outlive."""
    done = subprocess.run(
        [sys.executable, HELPERS / "plugin_abuse.py", plugins(2) / "marssep-clap" / "marssep.clap"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(HELPERS)},
        timeout=400,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert done.stdout.count("ok ") == 6
