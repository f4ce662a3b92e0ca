"""``python -m export.contract``: ``marssep_rt/contract.json`` as constants for C++ and JavaScript."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from marssep_rt.contract import SOURCE

HEADER = Path(__file__).parent / "plugin" / "source" / "core" / "contract.hpp"
MODULE = Path(__file__).parent / "web" / "page" / "contract.mjs"
ABOUT = (
    "// Written by python -m export.contract from marssep_rt/contract.json; do not edit.\n"
    "// marssep_rt/contract.py says what each constant means.\n"
)
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


def main() -> None:
    """Write both files."""
    for path, text in ((HEADER, cpp()), (MODULE, javascript())):
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
