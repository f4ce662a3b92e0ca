"""The bundle's tokenizer as the plug-in reads it: vocabulary, special tokens, what becomes of each character.

The plug-in has no Unicode tables. So the rules of normalisation are asked of the tokenizer itself, one
character at a time. What cannot be part of any known word is only "foreign", which keeps the tables small.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain, groupby
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FORMAT = 1
# Letters and all that is near them, and tags; beyond are planes without letters.
CODES = (range(1, 0xD800), range(0xE000, 0x33000), range(0xE0000, 0xE0200))


def wordpiece(tokenizer: bytes) -> dict[str, Any] | None:
    """Prepare a tokenizer for the plug-in.

    Args:
        tokenizer: The content of ``tokenizer.json``.

    Returns:
        The content of ``wordpiece.json``, or None if the tokenizer is not of BERT's kind.
    """
    from tokenizers import Tokenizer

    rules = json.loads(tokenizer)
    model, after = rules["model"], rules["post_processor"] or {}
    kinds = [(rules[part] or {}).get("type") for part in ("normalizer", "pre_tokenizer", "post_processor")]
    if [model["type"], *kinds] != ["WordPiece", "BertNormalizer", "BertPreTokenizer", "TemplateProcessing"]:
        return None
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    if [model["vocab"][token] for token in tokens] != list(range(len(tokens))):
        return None
    specials = after["special_tokens"]
    order = [next(iter(part.values())) for part in after["single"]]
    at = next(i for i, part in enumerate(after["single"]) if "Sequence" in part)
    prefix = model["continuing_subword_prefix"]
    alphabet = {c for token in tokens for c in token.removeprefix(prefix)}
    return {
        "format": FORMAT,
        "vocabulary": tokens,
        "unknown": model["vocab"][model["unk_token"]],
        "prefix": prefix,
        "longest_word": model["max_input_chars_per_word"],
        "longest": (rules["truncation"] or {}).get("max_length", 512),
        "before": [i for part in order[:at] for i in specials[part["id"]]["ids"]],
        "after": [i for part in order[at + 1 :] for i in specials[part["id"]]["ids"]],
        "special": {token["content"]: token["id"] for token in rules["added_tokens"]},
        **characters(Tokenizer.from_str(tokenizer.decode()), alphabet),
    }


def characters(tokenizer: Tokenizer, alphabet: set[str]) -> dict[str, Any]:
    """What becomes of each character: ranges of code points by kind, and texts that replace a character."""
    kinds: dict[str, list[int]] = {"removed": [], "space": [], "alone": [], "foreign": []}
    replaced = {}
    for code in chain(*CODES):
        character = chr(code)
        text = tokenizer.normalizer.normalize_str(character)
        words = [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(f"a{text}a")]
        if len(words) == 3 and text.strip() == character:
            kinds["alone"].append(code)
        elif not text:
            kinds["removed"].append(code)
        elif not text.strip():
            kinds["space"].append(code)
        elif len(words) == 1 and not alphabet.issuperset(text):
            kinds["foreign"].append(code)
        elif text != character:
            replaced[character] = text
    return {**{kind: list(ranges(codes)) for kind, codes in kinds.items()}, "replaced": replaced}


def ranges(codes: list[int]) -> Iterator[tuple[int, int]]:
    """Rising numbers as (first, last) of every run."""
    for _, run in groupby(enumerate(codes), key=lambda item: item[1] - item[0]):
        numbers = [code for _, code in run]
        yield numbers[0], numbers[-1]
