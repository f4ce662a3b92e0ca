"""Supervised training of the separator: losses, loop, several processes, change of the query space."""
