"""``python -m export.contract``: what C++ and JavaScript share with Python.

``marssep_rt/contract.json`` becomes constants, ``marssep_rt/query/grammar.py`` patterns of both languages.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from marssep_rt.contract import SOURCE
from marssep_rt.query.grammar import NAMES, PATTERNS

CORE = Path(__file__).parent / "plugin" / "source" / "core"
PAGE = Path(__file__).parent / "web" / "page"
ABOUT = (
    "// Written by python -m export.contract from marssep_rt/contract.json; do not edit.\n"
    "// marssep_rt/contract.py says what each constant means.\n"
)
ABOUT_GRAMMAR = (
    "// Written by python -m export.contract from marssep_rt/query/grammar.py; do not edit.\n"
    "// That file says what each pattern is.\n"
)
GROUP = re.compile(r"\(\?P<\w+>")
OLD = "old_bundles"
OLD_FOR_CPP = ("presence_share",)  # of what stands in for an older bundle's own numbers; the page reads none
CPP_TYPES = {int: "int", float: "double", str: "const char*"}


def sections(old: Sequence[str] = ()) -> dict[str, dict[str, Any]]:
    """The sections that all three languages share; ``old``: the numbers of older bundles to keep."""
    data: dict[str, dict[str, Any]] = json.loads(SOURCE.read_text(encoding="utf-8"))
    data[OLD] = {key: value for key, value in data[OLD].items() if key in old}
    return {name: values for name, values in data.items() if values}


def cpp() -> str:
    """The header: ``marssep::contract::mixer::GAIN_DB_MIN``."""
    text = f"{ABOUT}#pragma once\n"
    for section, values in sections(OLD_FOR_CPP).items():
        text += f"\nnamespace marssep::contract::{section} {{\n"
        for key, value in values.items():
            if isinstance(value, list):
                numbers = json.dumps(value)[1:-1]
                text += f"inline constexpr double {key.upper()}[] = {{{numbers}}};\n"
            else:
                text += f"inline constexpr {CPP_TYPES[type(value)]} {key.upper()} = {json.dumps(value)};\n"
        text += f"}} // namespace marssep::contract::{section}\n"
    return text


def javascript() -> str:
    """The module: ``MIXER.gain_db_min``."""
    text = ABOUT
    for section, values in sections().items():
        text += f"\nexport const {section.upper()} = Object.freeze({{\n"
        text += "".join(f"  {key}: {json.dumps(value)},\n" for key, value in values.items())
        text += "});\n"
    return text


def cpp_grammar() -> str:
    """The header: ``marssep::grammar::LEADING``, whose groups have numbers instead of names."""
    text = f"{ABOUT_GRAMMAR}#pragma once\n\nnamespace marssep::grammar {{\n"
    for name, pattern in PATTERNS.items():
        plain = GROUP.sub("(", pattern.pattern)
        text += f'inline constexpr const char* {name} = R"~({plain})~";\n'
    names = ", ".join(json.dumps(name) for name in sorted(NAMES))
    return f"{text}inline constexpr const char* NAMES[] = {{{names}}};\n}} // namespace marssep::grammar\n"


def javascript_grammar() -> str:
    """The module: ``LEADING``, a regular expression with the same groups."""
    text = ABOUT_GRAMMAR + "\n"
    for name, pattern in PATTERNS.items():
        source = json.dumps(pattern.pattern.replace("(?P<", "(?<"), ensure_ascii=False)
        text += f'export const {name} = new RegExp({source}, "iu");\n'
    return f"{text}export const NAMES = new Set({json.dumps(sorted(NAMES))});\n"


FILES = {
    CORE / "contract.hpp": cpp,
    PAGE / "contract.mjs": javascript,
    CORE / "grammar.hpp": cpp_grammar,
    PAGE / "grammar.mjs": javascript_grammar,
}


def main() -> None:
    """Write all files."""
    for path, text in FILES.items():
        path.write_text(text(), encoding="utf-8")
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
