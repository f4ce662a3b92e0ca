"""``marssep train``: all its commands."""

from __future__ import annotations

import typer

from marssep_rt.cli.options import HELP_NAMES, PlainGroup
from offline_training.cli import aligning, corpora, encoders, experiment, measuring, papers, training

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
