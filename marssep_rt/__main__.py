"""``python -m marssep_rt``: the same as the command ``marssep``."""

from marssep_rt.cli.entry import marssep

marssep()
