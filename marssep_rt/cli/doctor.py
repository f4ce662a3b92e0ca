"""``marssep doctor``: what works on this machine."""

from __future__ import annotations

import typer

from marssep_rt.cli.options import Model, PlainCommand, Provider, plain_errors

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(cls=PlainCommand)
@plain_errors
def main(model: Model = None, provider: Provider = "auto") -> None:
    """Print diagnostics: what works here, and for a bug report: marssep doctor"""
    from marssep_rt.cli.live import LiveOptions, print_diagnostics

    print_diagnostics(LiveOptions(model=model, provider=provider))
