"""A systemd user unit that runs marssep live after login."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from marssep_rt.errors import UsageError
from marssep_rt.utils.atomic_io import write_whole

NAME = "marssep.service"
MARK = "# written by marssep live --install-service"
OPTION = "--install-service"
ENV = "/usr/bin/env"


def unit_path() -> Path:
    """Where systemd looks for the user's units."""
    folder = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(folder) / "systemd" / "user" / NAME


def quoted(argument: str) -> str:
    """An argument of ``ExecStart``: systemd expands %, $ and backslashes, and ends at quotes."""
    for character, written in (("\\", "\\\\"), ('"', '\\"'), ("%", "%%"), ("$", "$$"), ("\n", "\\n")):
        argument = argument.replace(character, written)
    return f'"{argument}"'


def unit(arguments: Sequence[str], folder: Path) -> str:
    """The text of the unit.

    Args:
        arguments: The arguments of marssep live.
        folder: Where relative paths among them start.
    """
    kept = [argument for argument in arguments if argument != OPTION]
    plain = [] if "--plain" in kept else ["--plain"]
    # systemd refuses quotes and backslashes in a program's path, and leaves $$ as it is there
    by_env = [ENV] if set(sys.executable) & set("\"'\\$") else []
    command = [*by_env, sys.executable, "-m", "marssep_rt", "live", *kept, *plain]
    return f"""{MARK}
[Unit]
Description=marssep live
After=pipewire-pulse.service pulseaudio.service

[Service]
ExecStart={" ".join(quoted(argument) for argument in command)}
WorkingDirectory={str(folder).replace("%", "%%")}
# the log line of every second is for terminals; warnings and errors go to the journal
StandardOutput=null
Restart=on-failure
RestartSec=5

[Install]
WantedBy=default.target
"""


def install(arguments: Sequence[str], folder: Path) -> Path:
    """Write the unit of these arguments.

    Returns:
        Its path.

    Raises:
        UsageError: The system has no systemd, or a unit of this name was written by somebody else.
        MarssepError: It cannot be written.
    """
    if sys.platform != "linux":
        raise UsageError(f"{OPTION} writes a systemd unit, which only Linux has")
    path = unit_path()
    if path.exists() and not path.read_text(encoding="utf-8", errors="replace").startswith(MARK):
        raise UsageError(f"{path} exists and was not written by marssep; move it away first")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, unit(arguments, folder))
    return path
