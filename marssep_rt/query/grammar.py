"""The patterns of ``language``, and of the same code in the plug-in (C++) and the page (JavaScript).

``python -m export.contract`` writes them for both. So they keep to what all three dialects share: named
groups, but neither look-behind nor conditions. All of them ignore case.
"""

from __future__ import annotations

import re


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


APOSTROPHE, SIGN = "(?:'|\N{RIGHT SINGLE QUOTATION MARK})", "(?:!|-|\N{MINUS SIGN})"
# Everything but what follows.
BUT = (
    r"(?:but(?:\s+(?:not|no|without))?(?!\s+(?:not|no|without)\s)|except(?:\s+for)?|besides|without|minus|"
    rf"other\s+than|apart\s+from|(?:(?:that|which)\s+)?(?:(?:is|are)\s+not|(?:isn|aren){APOSTROPHE}?t)|"
    rf"that{APOSTROPHE}s\s+not)"
)
EVERY = (
    r"(?:(?:everything|anything|whatever|what)(?:\s+else)?|"
    r"all(?:\s+else|\s+(?:the\s+)?(?:other\s+)?(?:sounds?|rest))?)"
)
ALL_BUT = rf"{EVERY},?\s+{BUT}"
# What follows is to go.
REMOVE = (
    r"(?:remove|removing|delete|drop|mute|silence|suppress|reduce|cancel|kill|eliminate|exclude|discard|stop|"
    r"hide|erase|attenuate|dampen|get rid of|cut(?:\s+out)?|take\s+(?:out|away)|filter\s+out|leave\s+out|"
    r"clean\s+out|block\s+out|strip\s+(?:out|away)|(?:block|lower|strip)(?=\s+(?:the|all|any)\s)|"
    r"turn\s+(?:off|down))"
)
DO_NOT = rf"(?:i\s+)?(?:do\s+not|don{APOSTROPHE}?t|never)"
UNWANTED = rf"{DO_NOT}\s+(?:want|need|like|play|keep|hear|let\s+me\s+hear)(?:\s+to\s+hear)?"
OPPOSITE = r"(?:the\s+)?(?:opposite|inverse|reverse|complement|absence|lack)\s+of"
NOT = (
    rf"(?:{UNWANTED}|{OPPOSITE}|no(?:\s+more)?|not(?:\s+any\s+more)?|less|fewer|without|except(?:\s+for)?|"
    r"minus|non|never|neither)"
)
GO = rf"(?:{REMOVE}|{NOT})"
PLEASE = r"(?:(?:please|also|then|now|can\s+you|could\s+you)\s+)*"
# What the sound is in, which says nothing of it: "remove the noise from my recording", "vocals from music".
RECORDING = (
    r"(?:recordings?|audio|sound|song|track|file|video|clip|mix|mixture|podcast|call|meeting|interview|film)"
)
SOURCE = (
    rf"(?:(?:the|my|our|this|that|an?|any|all|of)\s+)*(?:{RECORDING}|music|speech|voice|vocals|singing|talking|"
    r"dialogue|noise|background(?:\s+noise)?)"
)
INSIDE = rf"(?:from\s+{SOURCE}|(?:in|on)\s+(?:the|my|our|this|that|an?)\s+{RECORDING})"
# Everything that is not named, after what is: "keep the dog, remove the rest", "voice and no other sounds".
REST = (
    r"(?:(?:everything|anything|all)\s+else|(?:(?:all|any)\s+)?(?:of\s+)?(?:the\s+)?"
    r"(?:rest|others|other\s+(?:sounds?|noises?|things|stuff)))"
)
LEADING = _pattern(rf"^(?:{ALL_BUT}|{GO})\s+(?P<rest>.+)$")
# What stands before or between these words is to go.
TRAILING = _pattern(
    r"^(?P<rest>.+?)"
    r"(?:\s+(?:removal|removed|remover|suppression|reduction|cancellation|cancell?ing)|[-\s]free)$"
)
AROUND = _pattern(
    r"^(?:take|get|cut|filter|leave|block|strip|turn)\s+(?P<rest>.+?)\s+(?:out|away|off|down)"
    rf"(?:\s+of\s+{SOURCE})?$"
)
# Two negations that are one wish: "remove everything but the voice", "nothing but the voice".
KEEP_ONLY = _pattern(
    rf"^(?:{GO}\s+{ALL_BUT}|(?:nothing(?:\s+else)?|no\s+(?:other\s+)?(?:sounds?|noises?))\s+(?:{BUT}|than))\s+"
    r"(?P<rest>.+)$"
)
# Two negations, or "not only": what is to be heard is not clear. Nor is it after "clean up": the noise, or my
# voice?
TWICE = _pattern(rf"^(?:(?:{ALL_BUT}|{GO}|{DO_NOT})\s+(?:{GO}|only|just)|clean\s+up)\s+(?P<rest>.+)$")
# What to keep comes first, what to leave out after it.
KEEP_NOT = _pattern(
    rf"^(?P<keep>.+?)(?:[,;]\s*(?:(?:and|but)\s+)?{PLEASE}{GO}|[,;]?\s+(?:(?:and|but)\s+{PLEASE}{GO}|"
    r"(?:with\s+)?no|not|without|w/o|except(?:\s+for)?|minus|free\s+of|rather\s+than|instead\s+of))\s+"
    r"(?P<drop>.+)$"
)
EVERYTHING = _pattern(rf"^{EVERY}$")
# The other way round, behind "remove" or "no": "remove the dog, keep the voice", "no dog, voice only".
NOT_KEEP = _pattern(
    rf"^(?P<drop>.+?)[,;]?\s+(?:(?:(?:and|but)\s+)?{PLEASE}(?:keep|isolate|extract|leave(?!\s+out)|only|just)|"
    r"but(?!\s+(?:no|not)\s))\s+(?P<keep>.+)$"
)
NOT_ONLY = _pattern(r"^(?P<drop>.+?)[,;]\s*(?:(?:and|but)\s+)?(?P<keep>[^,;]+?)\s+(?:only|alone)$")
BUT_NOT = _pattern(r"[,;]?\s+but\s+not\s.+$")
# Signs right before a word: "-dog", "voice -dog", "!dog". Asides: "voice (no dog)".
SIGN_FIRST = _pattern(rf"^{SIGN}+(?=[^\s\d!-])")
SIGN_INSIDE = _pattern(rf"([(\[])\s*{SIGN}+(?=[^\s\d!-])")
SIGN_AFTER = _pattern(rf"[,;]?\s+{SIGN}+(?=[^\s\d!-])")
ASIDE = _pattern(
    rf"^(?P<before>[^()\[\]]*?)\s*[(\[]\s*(?:(?:and|but)\s+)?(?P<aside>{GO}\s[^()\[\]]+)[)\]](?P<after>[^()\[\]]*)$"
)
# A full stop inside: "Keep the voice. Remove the dog."
STOP = _pattern(rf"[.!?]+\s+(?={PLEASE}(?:{GO}|keep|isolate|extract|leave|only|just)\s)")
# Words around a wish that say nothing of the sound.
ASKING = _pattern(
    r"^(?:please|kindly|simply|only|just|(?:can|could|would|will)\s+(?:you|we)|"
    r"(?:can|could|may)\s+i(?:\s+(?:have|get))?|(?:i\s+(?:(?:only|just|really)\s+)?)?(?:want|need)|"
    rf"i(?:\s+woul|{APOSTROPHE}?)d\s+(?:like|love)|you\s+to|to\s+(?:hear|keep|have|listen\s+to)|"
    rf"to(?=\s+{REMOVE}\s)|let\s+me\s+hear|let{APOSTROPHE}?s\s+hear|(?:give|show|get)\s+me|listen\s+to|hear|"
    r"play|keep|isolate|extract|solo|separate|leave(?=\s+(?:only|just)\s)|(?:no|oh|ok|okay|yes|well)(?=[,;]))[,;]?\s+(?=\S)"
)
THANKS = _pattern(
    rf"[,;]?\s+(?:please|pls|thanks|thank\s+you|for\s+me|(?:(?:and|but)\s+)?nothing\s+else|{INSIDE}|"
    rf"(?:(?:and|but|with)\s+)?{PLEASE}(?:{GO}|keep|leave)\s+{REST})$"
)
ONLY_BEHIND = _pattern(r"^(?P<rest>.+?)\s+(?:only|alone)$")
# "my voice" stays: no other words ask for one person's.
ARTICLE = _pattern(
    r"^(?:(?:all|any|of|the|a|an|that|those|these|this|my(?!\s+(?:own\s+)?(?:voice|speech|singing|talking)\b)|"
    r"some|other)\s+)+(?=\S)"
)
SEVERAL = _pattern(r"\s*(?:,\s*(?:and\s+)?|;\s*|\s+(?:and|nor)\s+|\s*&\s*|\s+plus\s+|\s*\+\s*)\s*")
# Inside a list of what is to go: "no drums and no bass", "no drums no bass", "no cat or dog".
NO_AGAIN = _pattern(r"(^|[,;]\s*|\s(?:and|or|nor)\s+)(?:no(?:\s+more)?|not|without)\s+")
NO_INSIDE = _pattern(r"\s+(?:no(?:\s+more)?|not|without)\s+")
OR = _pattern(r"\s+or\s+")

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
PATTERNS = {name: value for name, value in globals().items() if isinstance(value, re.Pattern)}
