"""Messages for people: they go to standard error, one sentence each.

Names of files are printed as they are: brackets and colons in them are neither markup nor emoji.
"""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.text import Text

console = Console(stderr=True, highlight=False)


def print_line(message: str) -> None:
    """Print a line as it is."""
    console.print(Text(message), soft_wrap=True)


def print_error(message: str) -> None:
    """Print an error."""
    console.print(Text.assemble(("error:", "bold red"), f" {message}"), soft_wrap=True)


def print_warning(message: str) -> None:
    """Print a warning."""
    console.print(Text.assemble(("warning:", "yellow"), f" {message}"), soft_wrap=True)


def print_understood(sentences: Iterable[str]) -> None:
    """Print how queries were read; empty sentences are left out."""
    for sentence in sentences:
        if sentence:
            print_line(f"understood: {sentence}")


def print_warnings(messages: Iterable[str]) -> None:
    """Print one warning a line."""
    for message in messages:
        print_warning(message)
