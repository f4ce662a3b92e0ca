"""``marssep devices``: list the audio devices."""

from __future__ import annotations

import typer

from marssep_rt.cli.options import PlainCommand, plain_errors

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(cls=PlainCommand)
@plain_errors
def main() -> None:
    """List the audio devices, as marssep live --input and --output take them: marssep devices"""
    from marssep_rt.cli.live import print_devices

    print_devices()
