"""What words mean to a bundle: ``words.json``, from ``recipes/lexicon``."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from marssep_rt.query.words import Words
from offline_training.data.lexicon import normalised, phrases_for, read_lines
from offline_training.encoders.sound_space import read_classes, read_families
from offline_training.utils.recipe_files import LEXICON


def words_for(known: Sequence[str], trained: int | None = None) -> Words:
    """What words mean to a separator, from ``recipes/lexicon``.

    Args:
        known: Its labels, then families and other words with a place in the space
            of sound. Each means itself.
        trained: The number of labels; None means all.
    """
    labels = known[:trained]
    families: dict[str, tuple[str, ...]] = {}
    for name, (synonyms, members) in read_families(labels).items():
        families |= {word.lower(): members for word in (name, *synonyms)}
    residual: dict[str, tuple[str, ...]] = {}
    own: dict[str, str] = {}
    for name, rest in read_lines(LEXICON / "everything_but.txt"):
        others, sounds = ([x.strip() for x in part.split(",")] for part in rest.split("/"))
        if name == "own":
            own |= dict.fromkeys(others, sounds[0])
        else:
            residual |= dict.fromkeys((name, *others), tuple(sounds))
    taken = set(labels)
    families = {word: members for word, members in families.items() if word not in taken}
    residual = {word: sounds for word, sounds in residual.items() if word not in taken}
    taught = {*taken, *families, *residual, *own, *known, *read_classes(known), *phrases_for(labels)}
    return Words(families, residual, own, sounds_alike(known, taught))


def sounds_alike(known: Collection[str], taught: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Words of ``recipes/lexicon/sounds_like.txt`` that are not ``taught`` -> the words that their sounds are
    like, where at least half of them are ``known``.
    """
    taken = {normalised(word) for word in taught}
    alike: dict[str, tuple[str, ...]] = {}
    for words, rest in read_lines(LEXICON / "sounds_like.txt"):
        members = [member.strip() for member in rest.split("|")]
        present = tuple(member for member in members if member in known)
        if 2 * len(present) >= len(members):
            for word in (word.strip() for word in words.split(",")):
                spelled = {word, word.replace("-", " ")}
                spelled |= {many(one) for one in spelled}
                if normalised(word) not in taken:
                    alike |= {one: present for one in spelled if normalised(one) not in taken}
    return alike


def many(word: str) -> str:
    """The plural of an English noun, by rule; a word that has one already, or is no noun, stays as it is."""
    if word.endswith(("s", "ing")):
        return word
    if word.endswith(("x", "ch", "sh", "z")):
        return word + "es"
    return word[:-1] + "ies" if re.search("[^aeiou]y$", word) else word + "s"
