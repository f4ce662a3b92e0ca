"""What a user asks for, before and after it is embedded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from marssep_rt.arrays import Array
from marssep_rt.utils.vectors import unit_vector


@dataclass(frozen=True)
class Family:
    """The labels that a word stands for; its own vector lies in their middle.

    Attributes:
        vectors: Unit vectors of the labels, [F, D].
        temperature: How far below the best heard label another one still counts, in cosine similarity.
    """

    vectors: Array
    temperature: float

    def narrowed(self, heard: Array) -> Array:
        """The family as far as it can be heard: a softmax over how well each label is heard where it is
        heard best.

        Args:
            heard: Unit vectors of stretches of the input by the audio encoder, [W, D] with W of at least 1.

        Returns:
            Unit vector, float32 [D].
        """
        similarity = (self.vectors @ heard.T).max(axis=1)
        weights = np.exp((similarity - similarity.max()) / self.temperature)
        return unit_vector(weights @ self.vectors)


@dataclass(frozen=True)
class Query:
    """An embedded query.

    Attributes:
        vector: Unit vector, float32 [D]: the whole query as one vector, for hosts that take no more.
        encoder: Id of the encoder that the vector belongs to.
        label: The sounds in words.
        warnings: One sentence for every part that is out of vocabulary.
        remove: Whether the words ask for everything but the sound ("no dog").
        understood: How the words were read, if they are more than one description; else "".
        keep: Unit vectors of the sounds whose sum is the target, [K, D]; None is ``vector`` alone.
        drop: Unit vectors of the sounds that are taken out of it, [M, D]; None is none.
        complement: Whether the words are words for everything else ("background noise"): to remove them is to
            keep the sounds.
        limit_db: The attenuation limit in dB for words that the model is doubted to know, where the user sets
            none; None is no limit.
        families: For every sound of ``kept`` its family, None for a sound that is none. Empty: there are
            none, or the model gains nothing by narrowing them.
    """

    vector: Array
    encoder: str
    label: str
    warnings: tuple[str, ...] = ()
    remove: bool = False
    understood: str = ""
    keep: Array | None = None
    drop: Array | None = None
    complement: bool = False
    limit_db: float | None = None
    families: tuple[Family | None, ...] = ()

    @property
    def name(self) -> str:
        """What is heard, in words."""
        return f"everything but {self.label}" if self.remove else self.label

    def removes(self, wanted: bool) -> bool:
        """Whether the output is the residual; ``wanted``: whether the user asks for it beside the words."""
        return self.remove and not wanted if self.complement else self.remove or wanted

    @property
    def kept(self) -> Array:
        """Unit vectors of the sounds whose sum is the target, [K, D] with K of at least 1."""
        return self.vector[None] if self.keep is None else self.keep

    @property
    def dropped(self) -> Array:
        """Unit vectors of the sounds that are taken out of the target, [M, D]."""
        return np.zeros((0, len(self.vector)), np.float32) if self.drop is None else self.drop


def limit_of(queries: Sequence[Query]) -> float | None:
    """The attenuation limit in dB that the queries of one mixer ask for: none unless all are doubted."""
    limits = [query.limit_db for query in queries]
    return None if None in limits else max(limit for limit in limits if limit is not None)


@dataclass(frozen=True)
class QueryRequest:
    """The parts of a query as the user gave them.

    Attributes:
        texts: Descriptions; each names a sound, and the target is their sum.
        images: Image files that show the source of one sound: of the only one that is named, if there is one.
        audios: Audio files that contain this sound.
        files: ``.query`` files; each names a sound, as a text does.
        negative: A text, or several, of sounds that are taken out of the target.
    """

    texts: Sequence[str] = ()
    images: Sequence[Path] = ()
    audios: Sequence[Path] = ()
    files: Sequence[Path] = ()
    negative: str | Sequence[str] | None = None

    def __bool__(self) -> bool:
        """Whether there is any part besides the negative one."""
        return any((self.texts, self.images, self.audios, self.files))

    @property
    def negatives(self) -> list[str]:
        """The negative texts."""
        if self.negative is None:
            return []
        return [self.negative] if isinstance(self.negative, str) else list(self.negative)

    def or_else(self, other: QueryRequest) -> QueryRequest:
        """This request if it has parts, else ``other`` with this request's negative text if it has one."""
        return self if self else replace(other, negative=self.negative or other.negative)

    def split(self) -> list[QueryRequest]:
        """One request for each part, in the order texts, images, audio files, query files."""
        parts = [QueryRequest(texts=[text], negative=self.negative) for text in self.texts]
        parts += [QueryRequest(images=[path], negative=self.negative) for path in self.images]
        parts += [QueryRequest(audios=[path], negative=self.negative) for path in self.audios]
        return parts + [QueryRequest(files=[path], negative=self.negative) for path in self.files]
