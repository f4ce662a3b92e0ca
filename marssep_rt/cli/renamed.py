"""Options by their earlier names: they still work for one release, and a sentence says the new name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from marssep_rt.console import print_warning

# earlier name -> what it means today; only where the command has the new option
RENAMED: dict[str, tuple[str, ...]] = {
    "--remove": ("--mode", "residual"),
    "--limit": ("--attenuation-limit",),
    "--residual": ("--write-residual",),
    "--to": ("--output-channel",),
    "--spare": ("--extra-latency",),
    "--tower": ("--text-encoder",),
    "--towers": ("--encoders",),
    "--photos": ("--images",),
    "--pictures": ("--plots",),
    "--crossed": ("--cross-fitted",),
    "--changed": ("--allow-recipe-change",),
    "--left-out-by": ("--unseen-from",),
    "--unseen": ("--unseen-from",),
}


def modern(args: Sequence[str], parameters: Sequence[Any]) -> list[str]:
    """Replace earlier names of options, each with a warning.

    Args:
        args: The command line of one command.
        parameters: The command's options and arguments.

    Returns:
        The command line with today's names. Values of options stay as they are.
    """
    flags = {name for p in parameters if getattr(p, "is_flag", False) for name in p.opts}
    names = {name for p in parameters for name in p.opts}
    result: list[str] = []
    value = False  # whether the next word is the value of an option
    for at, word in enumerate(args):
        if word == "--" and not value:
            return [*result, *args[at:]]
        name, equals, given = word.partition("=")
        new = RENAMED.get(name, ())
        if value or name in names or not new or new[0] not in names:
            result.append(word)
            value = not value and not equals and name in names - flags
            continue
        print_warning(f"{name} is called {' '.join(new)} now; the old name goes with the next release")
        result += [new[0] + equals + given, *new[1:]]
        value = not equals and new[0] not in flags and len(new) == 1
    return result
