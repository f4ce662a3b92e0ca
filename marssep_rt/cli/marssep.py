"""``marssep``: one command with all others inside, ``marssep live``, ``marssep file``, ``marssep train`` ...

Only the sub-command that is asked for is imported. Training and export are packages of their own; they join
by the entry-point group ``marssep.commands``.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import Annotated, Any

import typer

from marssep_rt import __version__
from marssep_rt.cli.options import HELP_NAMES, PlainGroup
from marssep_rt.console import print_error

GROUP = "marssep.commands"
# sub-command -> module of this package with its Typer application, and what it does in one line
OWN = {
    "live": ("live", "Separate a live input: from the input device to the output device."),
    "file": ("file", "Separate audio files and folders of them."),
    "query": ("query", "Embed a query once, into a .query file."),
    "devices": ("devices", "List the audio devices."),
    "doctor": ("doctor", "Print diagnostics: what works here, and for a bug report."),
}
JOINED = {
    "train": "Train, align, measure: everything offline (needs the extra train).",
    "export": "Bundles, graphs, plug-ins and web pages from a trained separator.",
}


class Commands(PlainGroup):
    """A group whose members are imported when they are run; its help needs none of them."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of the sub-commands, in the order of the help."""
        return [*OWN, *JOINED]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The name and the line of a sub-command, which is all that the group's own help shows."""
        line = OWN[cmd_name][1] if cmd_name in OWN else JOINED.get(cmd_name)
        return None if line is None else _described(cmd_name, line)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The sub-command that is to be run, imported now."""
        if args and (args[0] in OWN or args[0] in JOINED):
            return args[0], _loaded(args[0]), args[1:]
        return super().resolve_command(ctx, args)


def _described(name: str, line: str) -> Any:
    described = typer.Typer(add_completion=False)

    @described.command(name=name, help=line)
    def nothing() -> None: ...

    return typer.main.get_command(described)


def _loaded(name: str) -> Any:
    """Import a sub-command; exits with one sentence where its package is not installed."""
    try:
        application = import_module(f"marssep_rt.cli.{OWN[name][0]}").app if name in OWN else _joined(name)
    except ImportError as e:
        print_error(f'marssep {name} needs more than the runtime ({e}): pip install "marssep[{name}]"')
        raise typer.Exit(2) from e
    made = typer.main.get_command(application)
    made.name = name
    made.context_settings.update(HELP_NAMES)
    return made


def _joined(name: str) -> typer.Typer:
    for entry in entry_points(group=GROUP):
        if entry.name == name:
            return entry.load()  # type: ignore[no-any-return]
    raise ImportError(f"no package offers the command {name}")


app = typer.Typer(
    cls=Commands,
    add_completion=True,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings=HELP_NAMES,
    help='Say what you want to hear, and hear only that: marssep live --query "dog barking"',
)


def _version(asked: bool) -> None:
    if asked:
        print(f"marssep {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True),
    ] = False,
) -> None:
    """Say what you want to hear, and hear only that: marssep live --query "dog barking" """
