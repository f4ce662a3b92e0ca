"""``marssep train``: all its commands."""

from __future__ import annotations

import typer

from marssep_rt.cli.options import HELP_NAMES, PlainGroup
from offline_training.cli import aligning, corpora, encoders, experiment, measuring, papers, training
from offline_training.cli.examples import GROUPS

app = typer.Typer(
    cls=PlainGroup,
    context_settings=HELP_NAMES,
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Train and measure the separator.",
)
for commands in (corpora, training, measuring, aligning, encoders, papers, experiment):
    commands.register(app)

for command in app.registered_commands:
    assert command.callback is not None
    name = command.name or command.callback.__name__.replace("_", "-")
    for group, examples in GROUPS.items():
        if name in examples:
            command.rich_help_panel = group
            command.epilog = f"Example: marssep train {name} {examples[name]}"
