"""Functions stay short, and take few parameters: more travel in an options object."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LONGEST = 60  # lines
MOST_PARAMETERS = 8
# the public face, whose keywords are the interface
MANY = {"marssep_rt/separator.py": {"__init__"}}

FILES = sorted(
    path.relative_to(ROOT)
    for package in ("marssep_rt", "offline_training", "export", "tests")
    for path in (ROOT / package).rglob("*.py")
)


def too_large(source, many=()):
    """Names of the functions of a source that are too long or take too many parameters."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            args = node.args
            names = [a.arg for a in (*args.posonlyargs, *args.args, *args.kwonlyargs)]
            parameters = len([name for name in names if name not in ("self", "cls")])
            lines = node.end_lineno - node.lineno + 1
            if lines > LONGEST or (parameters > MOST_PARAMETERS and node.name not in many):
                found.append(f"{node.name}: {lines} lines, {parameters} parameters")
    return found


@pytest.mark.parametrize("path", FILES, ids=str)
def test_functions_are_short_and_take_few_parameters(path):
    assert too_large((ROOT / path).read_text(encoding="utf-8"), MANY.get(str(path), ())) == []


def test_the_check_finds_what_it_is_for():
    lines = "\n".join("    pass" for _ in range(LONGEST))
    assert too_large(f"def long():\n{lines}") == ["long: 61 lines, 0 parameters"]
    assert too_large("def many(a, b, c, d, e, f, g, *, h, i): pass") == ["many: 1 lines, 9 parameters"]
    assert too_large("def fine(self, a, b, c, d, e, f, g, h): pass") == []
