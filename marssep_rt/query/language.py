"""What a sentence asks for: what to keep, what to steer away from, and whether the named sound is to go.

An encoder embeds words, not logic: to it "no dog" is a dog. So negation is read before anything is embedded.
The grammar is small and deliberate; what it does not know stays a description of one sound.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

# A sentence that begins so asks for everything but what follows.
ALL_BUT = (
    r"(?:everything|anything|all|all sounds?|all (?:the )?rest)\s+"
    r"(?:but|except(?:\s+for)?|besides|without|minus|other than|apart from)"
)
REMOVE = (
    r"(?:please\s+)?(?:remove|removing|delete|drop|mute|silence|suppress|reduce|cancel|kill|eliminate|exclude|"
    r"discard|stop|get rid of|cut(?:\s+out)?|take\s+(?:out|away)|filter\s+out|leave\s+out|clean\s+(?:up|out)|"
    r"turn\s+off)"
)
UNWANTED = (
    r"(?:i\s+)?(?:do\s+not|don(?:'|\u2019)?t|never)\s+(?:want|need|like|play|keep|hear|let\s+me\s+hear)"
    r"(?:\s+to\s+hear)?"
)
BARE = rf"(?:{UNWANTED}|no|not|less|without|except(?:\s+for)?|minus|non|never|neither)"
LEADING = re.compile(rf"^(?:{ALL_BUT}|{REMOVE}|{BARE})\s+(?P<rest>.+)$", re.IGNORECASE)
TRAILING = re.compile(
    r"^(?P<rest>.+?)\s+(?:removal|removed|remover|suppression|reduction|cancellation)$", re.IGNORECASE
)
# A sentence that names what to keep first and what to leave out after it.
KEEP_NOT = re.compile(
    rf"^(?P<keep>.+?)(?:[,;]\s*(?:(?:and|but)\s+)?(?:no|{REMOVE})|"
    r"[,;]?\s+(?:but\s+(?:not|no|without|neither)|and\s+(?:not|no)|not|without|except(?:\s+for)?|minus|"
    r"rather\s+than|instead\s+of))\s+(?P<drop>.+)$",
    re.IGNORECASE,
)
WANT = re.compile(
    r"^(?:please\s+)?(?:only|just|keep|isolate|extract|solo|separate|give\s+me|i\s+(?:only\s+)?want(?:\s+to\s+hear)?|"
    r"let\s+me\s+hear|play|hear)\s+(?:only\s+|just\s+)?(?P<rest>.+)$",
    re.IGNORECASE,
)
ONLY_BEHIND = re.compile(r"^(?P<rest>.+?)\s+(?:only|alone)$", re.IGNORECASE)
ARTICLE = re.compile(
    r"^(?:(?:all|any|of|the|a|an|that|those|these|this|my|some|other)\s+)+(?=\S)", re.IGNORECASE
)
SEVERAL = re.compile(
    r"\s*(?:,\s*(?:and\s+)?|;\s*|\s+(?:and|nor)\s+|\s*&\s*|\s+plus\s+|\s*\+\s*)\s*", re.IGNORECASE
)
# Inside a list of what is to go: "no drums and no bass", "no cat or dog".
NO_AGAIN = re.compile(r"(?P<before>^|[\s,;])(?:no|not|without)\s+", re.IGNORECASE)
OR = re.compile(r"\s+or\s+", re.IGNORECASE)
NOTHING_ELSE = re.compile(r"[,;]?\s+(?:and\s+)?nothing\s+else$", re.IGNORECASE)
# One sound with "and" in its name.
NAMES = frozenset(
    {
        "bits and pieces",
        "call and response",
        "cats and dogs",
        "crashes and hats",
        "dogs and wolves",
        "drum & bass",
        "drum and bass",
        "hustle and bustle",
        "knife and fork",
        "lambs and kids",
        "lions and tigers",
        "marimba and xylophone",
        "nuts and bolts",
        "planes and helicopters",
        "pots and pans",
        "r and b",
        "r&b",
        "rhythm and blues",
        "rock and roll",
        "sheep and goats",
        "song and dance",
        "violins and cellos",
    }
)


@dataclass(frozen=True)
class Wish:
    """A sentence, understood.

    Attributes:
        keep: The sounds that it names; with ``remove`` those that are to go.
        drop: Sounds to steer away from.
        remove: Whether the residual is asked for: everything but ``keep``.
    """

    keep: tuple[str, ...]
    drop: tuple[str, ...] = ()
    remove: bool = False

    @property
    def plain(self) -> bool:
        """Whether it is one description of one sound, with nothing to explain."""
        return len(self.keep) == 1 and not self.drop and not self.remove

    def __str__(self) -> str:
        """The wish in words: "dog and rain without wind", "everything but the dog"."""
        kept = " and ".join(self.keep)
        if self.remove:
            return f"everything but {kept}"
        return f"{kept} without {' and '.join(self.drop)}" if self.drop else kept


def understand(sentence: str) -> Wish:
    """Read one sentence.

    Args:
        sentence: What the user typed, such as "the dog but not the rain".

    Returns:
        The wish; a sentence without negation or "and" is one description, unchanged.
    """
    text = NOTHING_ELSE.sub("", " ".join(sentence.split()).rstrip(".!?"))
    if text.lower() in NAMES:
        return Wish((text,))
    for pattern in (LEADING, TRAILING):
        if (match := pattern.match(text)) is not None:
            return Wish(unwanted(match["rest"]), remove=True)
    if (match := KEEP_NOT.match(text)) is not None:
        kept = wanted(match["keep"])
        if kept.lower() in ("everything", "anything", "all", "all sounds"):
            return Wish(unwanted(match["drop"]), remove=True)
        return Wish(parts(kept), unwanted(match["drop"]))
    named = wanted(text)
    several = parts(named)
    return Wish(several if len(several) > 1 else (named,))


def wanted(text: str) -> str:
    """The description in "only the dog", "I want to hear a dog", "dog alone"."""
    for pattern in (WANT, ONLY_BEHIND):
        if (match := pattern.match(text)) is not None:
            return without_article(match["rest"])
    return text


def parts(text: str) -> tuple[str, ...]:
    """The sounds that a list names, articles taken off."""
    if text.lower() in NAMES or without_article(text).lower() in NAMES:
        return (without_article(text),)
    found = [without_article(part) for part in SEVERAL.split(text) if part.strip()]
    return tuple(part for part in found if part) or (without_article(text),)


def unwanted(text: str) -> tuple[str, ...]:
    """The sounds of a list that is to go: "or" lists them too, and "no" may come again."""
    return parts(OR.sub(" and ", NO_AGAIN.sub(r"\g<before>", text)))


def without_article(text: str) -> str:
    """A description without the words before its noun."""
    return ARTICLE.sub("", text.strip()) or text.strip()


def combined(sentences: Sequence[str]) -> Wish:
    """Several sentences as one wish: all that they keep and drop; a residual if every one asks for it."""
    wishes = [understand(sentence) for sentence in sentences]
    removing = [wish for wish in wishes if wish.remove]
    if wishes and len(removing) == len(wishes):
        return Wish(tuple(name for wish in wishes for name in wish.keep), remove=True)
    kept = tuple(name for wish in wishes if not wish.remove for name in wish.keep)
    dropped = tuple(name for wish in wishes for name in (wish.keep if wish.remove else wish.drop))
    return Wish(kept, dropped)
