"""Separation of many files, on threads or on a Ray cluster."""
