"""Phrases that teach the text encoder what sounds are called: a hand-written lexicon of sound words, widened
by WordNet.

The lexicon's format stands at the head of ``recipes/lexicon/lexicon.txt``; the measured paraphrases
(``paraphrases.txt`` beside it) are never among the phrases made here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from offline_training.utils.recipe_files import LEXICON

PLACES = (
    "in the distance",
    "outside",
    "at night",
    "in the background",
    "nearby",
    "in my recording",
    "loudly",
    "softly",
    "in the kitchen",
    "in the street",
    "next door",
    "on the farm",
    "in a video",
    "somewhere",
    "all day",
    "at home",
)
FRAMES = (
    "the sound of {}",
    "{} noise",
    "noise of {}",
    "a recording of {}",
    "only {}",
    "I want to hear {}",
    "{} sound effect",
    "{} sounds",
)
MUSIC = ("{} melody", "{} solo", "someone playing the {}", "{} music", "{} track")


class LexiconError(ValueError):
    """A lexicon, paraphrase list or WordNet folder cannot be read; the message says why."""


@dataclass(frozen=True)
class Entry:
    """What a label's sound may be called."""

    label: str
    things: tuple[str, ...]
    actions: tuple[str, ...]
    phrases: tuple[str, ...]
    senses: tuple[str, ...]


def normalised(phrase: str) -> str:
    """Lower case, without articles and punctuation: two phrases that agree in this are the same phrase."""
    words = re.findall(r"[a-z0-9']+", phrase.lower())
    return " ".join(w for w in words if w not in ("a", "an", "the"))


def read_lines(path: Path) -> Iterator[tuple[str, str]]:
    """(label, rest) of every line that is not a comment."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as e:
        raise LexiconError(f"cannot read {path}: {e.strerror}") from e
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            label, colon, rest = line.partition(":")
            if not colon:
                raise LexiconError(f"{path}, line {number}: no colon after the label")
            yield label.strip(), rest.strip()


def read_lexicon(path: Path = LEXICON / "lexicon.txt") -> list[Entry]:
    """All entries; raises LexiconError where a line has not its four parts."""
    entries = []
    for label, rest in read_lines(path):
        parts = [
            tuple(x.strip() for x in part.split(",") if x.strip() not in ("", "-"))
            for part in rest.split(" / ")
        ]
        if len(parts) != 4:
            raise LexiconError(f"{path}: {label!r} has {len(parts)} parts, not four")
        entries.append(Entry(label, *parts))
    return entries


def phrases_for(labels: Collection[str]) -> set[str]:
    """Every phrase of the lexicon for one of ``labels``."""
    return {
        phrase
        for entry in read_lexicon()
        if entry.label in labels
        for phrase in (*entry.things, *entry.actions, *entry.phrases)
    }


def read_paraphrases(*paths: Path) -> list[tuple[str, str]]:
    """(paraphrase, label) pairs of the frozen lists, or of ``paths``."""
    lists = paths or (LEXICON / "paraphrases.txt", LEXICON / "paraphrases_2.txt")
    return [
        (phrase.strip(), label)
        for path in lists
        for label, rest in read_lines(path)
        for phrase in rest.split("|")
    ]


class WordNet:
    """The nouns and verbs of WordNet's plain files (Debian: wordnet-base), as much as is needed here."""

    def __init__(self, folder: Path = Path("/usr/share/wordnet")) -> None:
        if not (folder / "data.noun").exists():
            raise LexiconError(f"no WordNet in {folder}; on Debian and Ubuntu: apt-get install wordnet-base")
        self.senses: dict[str, list[int]] = {}
        self.tagged: list[str] = []  # lemmas that occur in WordNet's tagged texts: the common ones
        self.synsets: dict[int, tuple[list[str], list[int], str]] = {}
        for line in self.lines(folder / "index.noun"):
            fields = line.split()
            pointers = int(fields[3])
            self.senses[fields[0]] = [int(x) for x in fields[6 + pointers :]]
            if int(fields[5 + pointers]) > 0:
                self.tagged.append(fields[0].replace("_", " "))
        for line in self.lines(folder / "data.noun"):
            body, _, gloss = line.partition("|")
            fields = body.split()
            count = int(fields[3], 16)
            names = [fields[4 + 2 * i].replace("_", " ") for i in range(count)]
            at = 5 + 2 * count
            kinds = [
                int(fields[at + 4 * i + 1])
                for i in range(int(fields[at - 1]))
                if fields[at + 4 * i] in ("~", "~i")
            ]
            self.synsets[int(fields[0])] = (names, kinds, gloss.strip())
        self.verbs = [line.split()[0].replace("_", " ") for line in self.lines(folder / "index.verb")]

    @staticmethod
    def lines(path: Path) -> Iterator[str]:
        for line in path.read_text(encoding="utf-8").splitlines():
            if not line.startswith("  "):
                yield line

    def kinds_of(self, sense: str, most: int = 40) -> list[str]:
        """Names of a sense ("dog.1") and of what is a kind of it, two levels down, the nearest first."""
        lemma, _, number = sense.partition(".")
        offsets = self.senses.get(lemma, [])
        if not 0 < int(number) <= len(offsets):
            raise LexiconError(f"WordNet has no sense {sense}")
        names: list[str] = []
        level = [offsets[int(number) - 1]]
        for _ in range(3):
            for offset in level:
                names += [n for n in self.synsets[offset][0] if n not in names]
            level = [k for offset in level for k in self.synsets[offset][1]]
        return names[:most]

    def gloss_of(self, noun: str) -> str:
        """The first clause of the gloss of a noun's first sense; "" for what is no noun."""
        offsets = self.senses.get(noun.replace(" ", "_").lower())
        return re.split(r"[;(\"]", self.synsets[offsets[0]][2])[0].strip() if offsets else ""

    def glosses(self) -> Iterator[str]:
        """The first clause of every noun's gloss."""
        for _, _, gloss in self.synsets.values():
            yield re.split(r"[;(\"]", gloss)[0].strip()


def teaching_phrases(
    entries: list[Entry], wordnet: WordNet, rng: np.random.Generator, each: int = 160
) -> dict[str, list[str]]:
    """Up to ``each`` phrases of every label, the label itself first; none of them is a measured
    paraphrase."""
    measured = {normalised(p) for p, _ in read_paraphrases()}
    result: dict[str, list[str]] = {}
    for entry in entries:
        kinds = [k for sense in entry.senses for k in wordnet.kinds_of(sense)]
        musical = any(a.startswith(("playing", "strumming", "plucking")) for a in entry.actions)
        frames = FRAMES + (MUSIC if musical else ())
        core = [*entry.things, *entry.phrases, *entry.actions]
        core += [f"{thing} {action}" for thing in entry.things for action in entry.actions]
        wider = [f"{kind} {entry.actions[0]}" for kind in kinds if entry.actions] + kinds[:10]
        wider += [
            frames[int(rng.integers(len(frames)))].format(core[int(rng.integers(len(core)))])
            for _ in range(60)
        ]
        wider += [
            f"{core[int(rng.integers(len(core)))]} {PLACES[int(rng.integers(len(PLACES)))]}"
            for _ in range(40)
        ]
        wider += [f"a {thing} {action}" for thing in entry.things for action in entry.actions[:2]]
        wider += [frame.format(entry.label) for frame in frames]
        result[entry.label] = list(
            dict.fromkeys([entry.label, *core, *(wider[i] for i in rng.permutation(len(wider)))])
        )
    # "playing" or "a man" belongs to many labels, so it teaches none
    owners = Counter(p for phrases in result.values() for p in {normalised(p) for p in phrases})
    return {
        label: [
            p for p in phrases if p == label or (normalised(p) not in measured and owners[normalised(p)] == 1)
        ][:each]
        for label, phrases in result.items()
    }


def general_phrases(wordnet: WordNet, rng: np.random.Generator, count: int) -> list[tuple[str, str]]:
    """Words and short descriptions of everything else in the language, each with what explains it: the phrase
    and its noun's gloss.

    A sentence encoder knows "geyser" as a rare word; "a spring that discharges hot water and steam" tells it
    what that sounds like.
    """
    nouns, verbs, glosses = (
        wordnet.tagged,
        wordnet.verbs,
        [g for g in wordnet.glosses() if 2 <= len(g.split()) <= 9],
    )
    phrases = []
    for _ in range(count):
        kind = rng.random()
        noun = nouns[int(rng.integers(len(nouns)))]
        if kind < 0.25:
            phrase = noun
        elif kind < 0.45:
            phrase = f"{noun} {verbs[int(rng.integers(len(verbs)))]}"
        elif kind < 0.65:
            phrase = FRAMES[int(rng.integers(len(FRAMES)))].format(noun)
        elif kind < 0.8:
            phrase = f"a {noun} {PLACES[int(rng.integers(len(PLACES)))]}"
        else:
            noun, phrase = "", glosses[int(rng.integers(len(glosses)))]
        gloss = wordnet.gloss_of(noun)
        phrases.append((phrase, f"{phrase}: {gloss}" if gloss else phrase))
    return phrases
