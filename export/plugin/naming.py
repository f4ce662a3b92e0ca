"""Names of a plug-in: in hosts, in files, and in C."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from export.slugs import slug_of


@dataclass(frozen=True)
class Naming:
    """What a plug-in is called: ``title`` in hosts, ``slug`` in files and identifiers."""

    title: str
    slug: str

    @classmethod
    def of(cls, title: str, channels: int) -> Naming:
        """The name for a title; the mono variant says so. Raises UsageError for a title without letters."""
        slug = slug_of(title)
        return cls(f"{title} (mono)", f"{slug}-mono") if channels == 1 else cls(title, slug)

    @property
    def uri(self) -> str:
        return f"urn:marssep:{self.slug}"

    @property
    def unique(self) -> str:
        """Four letters by which a host tells plug-ins apart."""
        digest = hashlib.sha256(self.uri.encode()).digest()
        return "".join("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"[b % 52] for b in digest[:4])


def c_string(text: str) -> str:
    """A C literal; what is not printable ASCII becomes octal escapes of its UTF-8."""
    return (
        '"'
        + "".join(chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else f"\\{b:03o}" for b in text.encode())
        + '"'
    )
