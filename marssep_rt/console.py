"""Messages for people: they go to standard error, one sentence each."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console

console = Console(stderr=True, highlight=False)


def print_error(message: str) -> None:
    """Print an error."""
    console.print(f"[bold red]error:[/] {_escape(message)}", soft_wrap=True)


def print_warning(message: str) -> None:
    """Print a warning."""
    console.print(f"[yellow]warning:[/] {_escape(message)}", soft_wrap=True)


def print_understood(sentences: Iterable[str]) -> None:
    """Print how queries were read; empty sentences are left out."""
    for sentence in sentences:
        if sentence:
            console.print(f"understood: {sentence}", markup=False, soft_wrap=True)


def print_warnings(messages: Iterable[str]) -> None:
    """Print one warning a line."""
    for message in messages:
        print_warning(message)


def _escape(text: str) -> str:
    return text.replace("[", "\\[")
