"""Presets: named queries with their settings, which the user writes in ``presets.toml``."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from marssep_rt.errors import UsageError
from marssep_rt.query.types import QueryRequest
from marssep_rt.utils.config_folder import config_folder

PRESETS = "presets.toml"
# key of the file -> part of the request
PARTS = {"query": "texts", "image": "images", "audio": "audios", "query_file": "files"}
NUMBERS = ("wet", "limit", "gain", "strength")


@dataclass(frozen=True)
class Preset:
    """A table of ``presets.toml``; None stands for a setting that is not there.

    Attributes:
        request: The query. Relative paths start at the folder of the file.
        remove: Whether the output is the residual.
        wet: Mix, 0..1.
        limit: Attenuation limit in dB.
        gain: Output gain in dB.
        strength: Mix and limit in one, in percent.
    """

    request: QueryRequest = field(default_factory=QueryRequest)
    remove: bool = False
    wet: float | None = None
    limit: float | None = None
    gain: float | None = None
    strength: float | None = None


def read_preset(name: str, path: Path | None = None) -> Preset:
    """Read the preset of that name; raises UsageError if there is none or a setting is invalid.

    [dogs]
    query = ["dog barking", "dog howling"]     # or "dog barking"; also image, audio, query_file
    not = "wind"                               # or ["wind", "rain"]
    remove = false
    wet = 1.0
    limit = 20
    gain = 0
    strength = 80                              # instead of wet and limit
    """
    path = path or config_folder() / PRESETS
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise UsageError(
            f'there are no presets; write them into {path}, such as: [{name}] query = "dog barking"'
        ) from None
    except (OSError, ValueError) as e:
        raise UsageError(f"{path} cannot be read: {str(e).splitlines()[0]}") from e
    if name not in tables:
        known = ", ".join(sorted(tables)) or "none"
        raise UsageError(f"there is no preset {name!r} in {path}; there is: {known}")
    return _preset(tables[name], f"preset {name} in {path}", path.parent)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(v, str) for v in value)


def _preset(table: Any, where: str, base: Path) -> Preset:
    if not isinstance(table, dict):
        raise UsageError(f"{where} is no table; write [name] and the settings below it")
    parts: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    for key, value in table.items():
        if key in PARTS:
            several = [value] if isinstance(value, str) else value
            if not _texts(several):
                raise UsageError(f"{where}: {key} must be a text or a list of texts")
            parts[PARTS[key]] = several if key == "query" else [base / v for v in several]
        elif key in NUMBERS and isinstance(value, int | float) and not isinstance(value, bool):
            settings[key] = float(value)
        elif key == "remove" and isinstance(value, bool):
            settings[key] = value
        elif key == "not" and (isinstance(value, str) or _texts(value)):
            parts["negative"] = value
        else:
            known = ", ".join((*PARTS, "not", "remove", *NUMBERS))
            raise UsageError(f"{where}: {key} = {value!r} is no setting; there are {known}")
    if "strength" in settings and settings.keys() & {"wet", "limit"}:
        raise UsageError(f"{where}: strength sets mix and limit; leave out wet and limit")
    return Preset(QueryRequest(**parts), **settings)
