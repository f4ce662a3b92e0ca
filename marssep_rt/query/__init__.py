"""Queries: from text, audio files, images and query files to one unit vector."""
