"""The one exception that command lines turn into a sentence and an exit code."""

from __future__ import annotations


class MarssepError(Exception):
    """Something a user can act on; the message is one sentence that says what is wrong and what to do. ``code``: exit code 1 or 2."""

    code = 1


class UsageError(MarssepError):
    """Wrong usage: a bad option, query, device name or bundle path (exit code 2)."""

    code = 2
