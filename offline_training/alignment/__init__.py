"""Alignment of the audio and image encoders with the query space: data, losses, stages, validation, the
judge.
"""
