"""The page's JavaScript under Node's own test runner."""

import subprocess
from pathlib import Path

import pytest

from daw_tools import need

FILES = sorted(Path(__file__).parent.glob("*.test.mjs"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_javascript(file):
    need("node")
    done = subprocess.run(["node", "--test", file], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
