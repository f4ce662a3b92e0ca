"""Where the user's own settings lie."""

from __future__ import annotations

import os
from pathlib import Path

import typer

FOLDER_VARIABLE = "MARSSEP_CONFIG"


def config_folder() -> Path:
    """$MARSSEP_CONFIG, else the system's place for settings."""
    return Path(os.environ.get(FOLDER_VARIABLE) or typer.get_app_dir("marssep"))
