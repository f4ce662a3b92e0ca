"""The one exception that command lines turn into a sentence and an exit code."""

from __future__ import annotations


class MarssepError(Exception):
    """Something a user can act on; the message is one sentence that says what is wrong and what to do. ``code``: exit code 1 or 2."""

    code = 1


class UsageError(MarssepError):
    """Wrong usage: a bad option, query, device name or bundle path (exit code 2)."""

    code = 2


class BundleError(UsageError):
    """A bundle is missing, incomplete, damaged or too new."""


class QueryError(UsageError):
    """A query cannot be embedded or a ``.query`` file cannot be used."""


class SoundError(UsageError):
    """A recording cannot be used as a query; the message says why in one sentence."""


class ImageError(UsageError):
    """A picture cannot be used as a query; the message says why in one sentence."""


class NoDeviceError(MarssepError):
    """There is no usable sound device; the message suggests ``--demo``."""


class FileError(MarssepError):
    """One file could not be processed; the message says which and why."""
