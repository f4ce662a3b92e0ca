"""Presets: named queries with their settings, which the user writes in ``presets.toml``."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer

from marssep_rt.errors import UsageError

FOLDER_VARIABLE = "MARSSEP_CONFIG"
PRESETS = "presets.toml"
LISTS = ("query", "image", "audio", "query_file")
NUMBERS = ("wet", "limit", "gain")


def folder() -> Path:
    """Where settings lie: $MARSSEP_CONFIG, else the system's place for them."""
    return Path(os.environ.get(FOLDER_VARIABLE) or typer.get_app_dir("marssep"))


@dataclass(frozen=True)
class Preset:
    """A table of ``presets.toml``. Paths are meant from the file's folder; what is None was not said."""

    query: list[str] = field(default_factory=list)
    image: list[Path] = field(default_factory=list)
    audio: list[Path] = field(default_factory=list)
    query_file: list[Path] = field(default_factory=list)
    negative: str | None = None
    remove: bool = False
    wet: float | None = None
    limit: float | None = None
    gain: float | None = None


def read_preset(name: str, path: Path | None = None) -> Preset:
    """The preset of that name; raises UsageError where there is no file, no such preset, or a setting that is none.

    [dogs]
    query = ["dog barking", "dog howling"]     # or "dog barking"; also image, audio, query_file
    not = "wind"
    remove = false
    wet = 1.0
    limit = 20
    gain = 0
    """
    path = path or folder() / PRESETS
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f'there are no presets; write them into {path}, such as: [{name}] query = "dog barking"') from None
    except (OSError, ValueError) as e:
        raise UsageError(f"{path} cannot be read: {str(e).splitlines()[0]}") from e
    if name not in tables:
        known = ", ".join(sorted(tables)) or "none"
        raise UsageError(f"there is no preset {name!r} in {path}; there is: {known}")
    return _preset(tables[name], f"preset {name} in {path}", path.parent)


def _preset(table: Any, where: str, base: Path) -> Preset:
    if not isinstance(table, dict):
        raise UsageError(f"{where} is no table; write [name] and the settings below it")
    found: dict[str, Any] = {}
    for key, value in table.items():
        if key in LISTS:
            several = [value] if isinstance(value, str) else value
            if not (isinstance(several, list) and all(isinstance(v, str) for v in several)):
                raise UsageError(f"{where}: {key} must be a text or a list of texts")
            found[key] = several if key == "query" else [base / v for v in several]
        elif key in NUMBERS and isinstance(value, int | float) and not isinstance(value, bool):
            found[key] = float(value)
        elif key == "remove" and isinstance(value, bool):
            found[key] = value
        elif key == "not" and isinstance(value, str):
            found["negative"] = value
        else:
            raise UsageError(f"{where}: {key} = {value!r} is no setting; there are {', '.join((*LISTS, 'not', 'remove', *NUMBERS))}")
    return Preset(**found)
