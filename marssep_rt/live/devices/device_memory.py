"""The audio devices that a user last asked for, kept between runs."""

from __future__ import annotations

import contextlib
import json

from marssep_rt.errors import MarssepError
from marssep_rt.utils.atomic_io import write_whole
from marssep_rt.utils.config_folder import config_folder

DEVICES = "devices.json"


def last_devices() -> tuple[str | None, str | None]:
    """Names of the input and output that were last asked for; None where none was."""
    try:
        kept = json.loads((config_folder() / DEVICES).read_text(encoding="utf-8"))
        return kept.get("input"), kept.get("output")
    except (OSError, ValueError, AttributeError):
        return None, None


def remember_devices(source: str | None, sink: str | None) -> None:
    """Keep them for the next run; a folder that cannot be written is no reason to stop."""
    with contextlib.suppress(OSError, MarssepError):
        config_folder().mkdir(parents=True, exist_ok=True)
        write_whole(config_folder() / DEVICES, json.dumps({"input": source, "output": sink}) + "\n")
