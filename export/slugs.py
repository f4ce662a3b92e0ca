"""File names out of people's words."""

from __future__ import annotations

import re

from marssep_rt.errors import UsageError


def slug_of(title: str) -> str:
    """``marssep-dog-barking``: lower-case ASCII letters, digits, hyphens; UsageError if none is left."""
    slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
    if not slug:
        raise UsageError(f"the name {title!r} has no letters or digits")
    return slug if slug.startswith("marssep") else f"marssep-{slug}"
