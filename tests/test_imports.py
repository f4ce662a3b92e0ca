"""Arrows point one way: export -> offline_training -> marssep_rt; the runtime never imports torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FORBIDDEN = {
    "marssep_rt": {"torch", "torchaudio", "transformers", "onnx", "offline_training", "export", "matplotlib"},
    "offline_training": {"export"},
}


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("package", FORBIDDEN)
def test_package_imports_only_what_it_may(package):
    files = list((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        assert not imported(path) & FORBIDDEN[package], path


def test_running_the_runtime_loads_no_torch():
    code = (
        "import sys, numpy as np, marssep_rt; s = marssep_rt.Separator(query='rain'); s.process(np.zeros(999, 'f'));"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd="/").returncode == 0
