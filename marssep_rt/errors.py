"""All errors of the project, in one family.

The command line turns every MarssepError into one sentence and an exit code. A traceback is a bug.
"""

from __future__ import annotations


class MarssepError(Exception):
    """An error that a user can act on.

    The message is one sentence: what is wrong, and what to do about it.

    Attributes:
        code: The exit code of the command, 1 or 2.
    """

    code = 1


class UsageError(MarssepError):
    """Wrong usage: an invalid option, query, device name or bundle path (exit code 2)."""

    code = 2


class ArgumentError(UsageError, TypeError):
    """An argument that a function does not have, or one that it lacks; also a TypeError, as Python's is."""


class BundleError(UsageError):
    """A bundle is missing, incomplete, damaged or too new."""


class QueryError(UsageError):
    """A query cannot be embedded, or a ``.query`` file cannot be used."""


class SoundError(QueryError):
    """An audio file cannot be used as a query."""


class ImageError(QueryError):
    """An image cannot be used as a query."""


class AudioFileError(MarssepError):
    """An audio file cannot be read, written or processed; the message names the file."""


class DeviceError(MarssepError):
    """There is no usable audio device; the message suggests ``--demo``."""
