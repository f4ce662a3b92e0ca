"""Imports go one way: export -> offline_training -> marssep_rt, from high floors to low ones inside a
package, and never in a circle.
"""

import ast
import subprocess
import sys
from collections.abc import Collection
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FORBIDDEN = {
    "marssep_rt": {"torch", "torchaudio", "transformers", "onnx", "offline_training", "export", "matplotlib"},
    "offline_training": {"export"},
}
# The rooms of a package (sub-packages, and modules at its top) from the lowest floor to the highest: a room
# imports only from floors below its own.
FLOORS = {
    "marssep_rt": [
        {"errors", "arrays", "console", "contract"},
        {"utils"},
        {"model", "audio_io"},
        {"query"},
        {"dsp"},
        {"separator", "live", "batch"},
        {"cli", "one_shot"},
        {"commands", "__init__", "__main__"},
    ],
    "marssep_rt.live": [
        {"realtime"},
        {"control", "devices"},
        {"view"},
        {"run", "diagnostics", "service"},
    ],
    "offline_training": [
        {"utils"},
        {"models", "data"},
        {"encoders"},
        {"alignment"},
        {"evaluation"},
        {"training"},
        {"reinforce"},
        {"cli"},
    ],
    "export": [{"slugs", "contract", "words"}, {"onnx", "plugin", "web"}, {"bundle"}, {"cli"}],
}


def imports(path: Path, modules: Collection[str] = ()) -> set[str]:
    """The full names of all modules that a file imports, those of ``TYPE_CHECKING`` blocks and functions
    included.

    ``from package import name`` imports the package, or the module ``package.name`` where that is among
    ``modules``.
    """
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            full = [f"{node.module}.{alias.name}" for alias in node.names]
            names |= {name if name in modules else node.module for name in full}
    return names


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)


def modules(package: str) -> dict[str, set[str]]:
    """Module -> the modules of the same package that it imports."""
    found = {module_of(path): path for path in ROOT.joinpath(*package.split(".")).rglob("*.py")}
    return {
        name: {other for other in imports(path, found) if other in found and other != name}
        for name, path in found.items()
    }


def rooms(package: str) -> dict[str, set[str]]:
    """Room of a package or of a room -> the rooms beside it that it imports from."""
    depth = len(package.split("."))
    result: dict[str, set[str]] = {}

    def room_of(module: str) -> str:
        return [*module.split("."), "__init__"][depth]

    for name, others in modules(package).items():
        room = room_of(name)
        result.setdefault(room, set()).update({room_of(other) for other in others} - {room})
    return result


def first_cycle(arrows: dict[str, set[str]]) -> list[str]:
    """The nodes of one cycle; empty where there is none."""
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as e:
        return list(e.args[1])
    return []


@pytest.mark.parametrize("package", FORBIDDEN)
def test_package_imports_only_what_it_may(package):
    files = list((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        assert not {name.split(".")[0] for name in imports(path)} & FORBIDDEN[package], path


@pytest.mark.parametrize("package", FLOORS)
def test_no_room_imports_from_its_own_floor_or_from_above(package):
    floor = {room: number for number, floor in enumerate(FLOORS[package]) for room in floor}
    arrows = rooms(package)
    assert set(arrows) <= {*floor, "__init__"}, "a room without a floor: add it to FLOORS"
    upward = [
        f"{room} -> {other}"
        for room, others in arrows.items()
        for other in others
        if floor[other] >= floor[room]
    ]
    assert not upward


@pytest.mark.parametrize("package", FLOORS)
def test_no_import_cycle(package):
    assert not first_cycle(rooms(package))
    assert not first_cycle(modules(package))


def test_the_checks_find_what_they_are_for():
    assert first_cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}})
    assert "marssep_rt.model.stream" in modules("marssep_rt")["marssep_rt.dsp.stream_processor"]
    assert "model" in rooms("marssep_rt")["dsp"]
    assert rooms("marssep_rt.live")["view"] >= {"control", "realtime"}
    assert (
        "offline_training.models.registry" in modules("offline_training")["offline_training.training.trainer"]
    )
    assert "evaluation" in rooms("offline_training")["training"]


def test_running_the_runtime_loads_no_torch():
    code = (
        "import sys, numpy as np, marssep_rt; s = marssep_rt.Separator(query='rain');"
        "s.process(np.zeros(999, 'f'));"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd="/").returncode == 0
