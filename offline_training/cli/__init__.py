"""The console command ``marssep train``."""


def run() -> None:
    """Entry point."""
    from offline_training.cli.app import app

    app()
