"""Plug-ins and web pages out of a bundle; nothing here needs torch."""
