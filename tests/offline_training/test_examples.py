"""Every command of ``marssep train`` has a group and an example whose options exist."""

import shlex

import pytest
import typer

from offline_training.cli.app import app
from offline_training.cli.examples import GROUPS

COMMANDS = typer.main.get_command(app).commands
EXAMPLES = {name: example for group in GROUPS.values() for name, example in group.items()}


def test_every_command_is_in_one_group():
    assert sum(map(len, GROUPS.values())) == len(EXAMPLES)
    assert EXAMPLES.keys() == COMMANDS.keys()
    assert all(command.epilog.startswith("Example: ") for command in COMMANDS.values())


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_can_be_parsed(name):
    """Names of options, required options and the number of arguments; files need not exist."""
    COMMANDS[name].make_context(name, shlex.split(EXAMPLES[name]))
