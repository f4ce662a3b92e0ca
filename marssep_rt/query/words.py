"""Words that people type and that are no label: for families of labels, for sounds that are like labels, and
for everything else.

A bundle's ``words.json`` has them; ``marssep export bundle`` writes it. Bundles without it embed every word.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from marssep_rt.errors import BundleError
from marssep_rt.model import bundle as bundles
from marssep_rt.model.bundle import Bundle
from marssep_rt.query.language import without_article

FILE = "words.json"
SPEAKING_OF = re.compile(r"^(?:sounds?|noises?) of | (?:sounds?|noises?|sound effects?)$")


@dataclass(frozen=True)
class Words:
    """What words mean to a bundle. All words are in lower case.

    Attributes:
        families: Word -> the labels that it stands for.
        residual: Word -> the sounds that it is everything but.
        own: Words for one person's voice -> the word that is nearest to it.
        alike: Word for a sound that has no label -> the labels that it is like.
    """

    families: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    residual: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    own: Mapping[str, str] = field(default_factory=dict)
    alike: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, bundle: Bundle) -> Words:
        """The words of a bundle, none if it has no such file; raises BundleError for a damaged one."""
        if not bundle.has(FILE):
            return cls()
        try:
            data = json.loads(bundle.read(FILE))
            families, residual, alike = (
                {str(word): tuple(map(str, sounds)) for word, sounds in table.items()}
                for table in (data["families"], data["residual"], data.get("alike", {}))
            )
            own = {str(word): str(near) for word, near in data["own"].items()}
            return cls(families, residual, own, alike)
        except (ValueError, KeyError, TypeError, AttributeError) as e:
            raise BundleError(f"{FILE} in the bundle {bundle.path} cannot be read") from e

    def dump(self) -> bytes:
        """The content of ``words.json``."""
        data = {
            "families": self.families,
            "residual": self.residual,
            "own": self.own,
            "alike": self.alike,
        }
        return (json.dumps(data, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()

    def own_warning(self, text: str) -> str | None:
        """One sentence if a text means one person's voice, which no word can name."""
        if (nearest := self.own.get(text.lower())) is None:
            return None
        return f"“{text}” is every {nearest} to the model; a recording may tell it from others: --audio FILE"

    def labels_of(self, text: str) -> tuple[str, ...]:
        """The labels of a family, and of the nearest one for one's own voice; else those that a sound without
        a label is like; () for other texts.
        """
        return self.family_of(text) or _found(self.alike, text)

    def family_of(self, text: str) -> tuple[str, ...]:
        """The labels of a family, and of the nearest one for one's own voice; () for other texts."""
        return _found(self.families, self.own.get(text.lower(), text))

    def kept_of(self, text: str) -> tuple[str, ...]:
        """The sounds that a word for everything else leaves; () for other texts."""
        return self.residual.get(_plain(text), ())


def _plain(text: str) -> str:
    return without_article(text).lower()


def _found(words: Mapping[str, tuple[str, ...]], text: str) -> tuple[str, ...]:
    """What a text means, or what it speaks of ("the sound of a geyser", "animal sounds"); () for others."""
    word = _plain(text)
    return words.get(word) or words.get(_plain(SPEAKING_OF.sub("", word)), ())


@lru_cache(maxsize=2)
def words_of(path: Path) -> Words:
    """The words of the bundle at ``path``, read once."""
    return Words.of(bundles.load(path))
