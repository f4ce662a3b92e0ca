"""Atomic writes and timing; nothing here knows about audio."""
