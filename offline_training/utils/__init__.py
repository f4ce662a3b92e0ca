"""Checkpoint files, run logs and signals, precision, shipped recipes."""
