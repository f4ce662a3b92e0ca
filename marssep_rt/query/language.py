"""What a sentence asks for: what to keep, what to steer away from, and whether the named sound is to go.

An encoder embeds words, not logic: to it "no dog" is a dog. So negation is read before anything is embedded.
The grammar is small and deliberate; what it does not know stays a description of one sound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from marssep_rt.errors import QueryError
from marssep_rt.query import grammar


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
        return len(self.keep) == 1 and not self.negated

    @property
    def negated(self) -> bool:
        """Whether anything is to go."""
        return bool(self.drop) or self.remove

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

    Raises:
        QueryError: The sentence can be read in two ways, as "don't remove the dog" and "not only the dog".
    """
    text, asked = without_asking(without_signs(" ".join(sentence.split()).rstrip(".!?")))
    if text.lower() in grammar.NAMES:
        return Wish((text,))
    if (match := grammar.KEEP_ONLY.match(text)) is not None:
        return understand(f"only {match['rest']}")
    if (match := grammar.TWICE.match(text)) is not None:
        raise unclear(text, match["rest"])
    for pattern in (grammar.LEADING, grammar.TRAILING, grammar.AROUND):
        if (match := pattern.match(text)) is not None:
            return without(text, match["rest"])
    if (match := grammar.KEEP_NOT.match(text)) is not None:
        if (twice := grammar.LEADING.match(match["drop"])) is not None:
            raise unclear(text, twice["rest"])
        kept = wanted(without_asking(match["keep"])[0], asked)
        if grammar.EVERYTHING.match(kept):
            return Wish(unwanted(match["drop"]), remove=True)
        return Wish(parts(kept), unwanted(match["drop"]))
    named = wanted(text, asked)
    several = parts(named)
    return Wish(several if len(several) > 1 else (named,))


def without_signs(text: str) -> str:
    """A sentence with words for signs ("-dog" is "no dog"), in one piece, with a negated aside at its end."""
    text = grammar.SIGN_AFTER.sub(", no ", grammar.SIGN_FIRST.sub("no ", grammar.STOP.sub(", ", text)))
    if (match := grammar.ASIDE.match(grammar.SIGN_INSIDE.sub("(no ", text))) is None:
        return text
    named = f"{match['before']}{match['after']}".strip()
    return f"{named}, {match['aside']}" if named else match["aside"]


def without_asking(text: str) -> tuple[str, bool]:
    """A sentence without "please", "I want to hear" and the like, and whether it had any such words."""
    short = text
    while (shorter := grammar.THANKS.sub("", grammar.ASKING.sub("", short))) != short:
        short = shorter
    return short, short != text


def without(text: str, rest: str) -> Wish:
    """The wish of a sentence in which ``rest`` is to go.

    Raises:
        QueryError: ``rest`` negates, too.
    """
    if (twice := grammar.TRAILING.match(rest)) is not None:
        raise unclear(text, twice["rest"])
    for pattern in (grammar.NOT_KEEP, grammar.NOT_ONLY):
        if (match := pattern.match(rest)) is not None:
            return Wish(parts(match["keep"]), unwanted(match["drop"]))
    return Wish(unwanted(grammar.BUT_NOT.sub("", rest)), remove=True)


def unclear(text: str, rest: str) -> QueryError:
    """The error for a sentence with two negations, or with "not only"."""
    name = " and ".join(unwanted(rest))
    return QueryError(
        f"“{text}” can be read in two ways; say “{name}” to hear it, or “no {name}” to take it out"
    )


def wanted(text: str, asked: bool) -> str:
    """The description in "the dog only"; after words that ask for it (``asked``), without its article."""
    if (match := grammar.ONLY_BEHIND.match(text)) is not None:
        return without_article(match["rest"])
    return without_article(text) if asked else text


def parts(text: str) -> tuple[str, ...]:
    """The sounds that a list names, articles taken off."""
    if text.lower() in grammar.NAMES or without_article(text).lower() in grammar.NAMES:
        return (without_article(text),)
    found = [without_article(part) for part in grammar.SEVERAL.split(text) if part.strip()]
    return tuple(part for part in found if part) or (without_article(text),)


def unwanted(text: str) -> tuple[str, ...]:
    """The sounds of a list that is to go: "or" lists them too, and "no" may come again."""
    listed = grammar.NO_INSIDE.sub(", ", grammar.NO_AGAIN.sub(r"\1", text))
    return parts(grammar.OR.sub(" and ", listed))


def negatives(text: str) -> tuple[str, ...]:
    """The sounds of a negative query.

    Raises:
        QueryError: The text negates, so that it would negate twice.
    """
    wish = understand(text)
    if wish.negated:
        names = " and ".join(wish.keep if wish.remove else wish.drop)
        raise QueryError(
            f"a negative query names the sounds that are to go, and “{text}” negates again; say “{names}”"
        )
    return tuple(name for part in wish.keep for name in unwanted(part))


def without_article(text: str) -> str:
    """A description without the words before its noun."""
    return grammar.ARTICLE.sub("", text.strip()) or text.strip()


def combined(sentences: Sequence[str]) -> Wish:
    """Several sentences as one wish: all that they keep and drop; a residual if every one asks for it."""
    wishes = [understand(sentence) for sentence in sentences]
    if wishes and all(wish.remove for wish in wishes):
        return Wish(tuple(name for wish in wishes for name in wish.keep), remove=True)
    kept = tuple(name for wish in wishes if not wish.remove for name in wish.keep)
    dropped = tuple(name for wish in wishes for name in (wish.keep if wish.remove else wish.drop))
    return Wish(kept, dropped)
