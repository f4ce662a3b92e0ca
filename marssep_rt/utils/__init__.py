"""Helpers without a subject of their own: atomic writes, timing, unit vectors."""
