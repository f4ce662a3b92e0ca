"""What a user asks for, before and after it is embedded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from marssep_rt.arrays import Array
from marssep_rt.query.second_look import SecondLook
from marssep_rt.utils.vectors import unit_vector


class Narrowing(Protocol):
    """A sound that is one of several labels: which of them, the input tells."""

    @property
    def key(self) -> bytes:
        """Equal for sounds that narrow alike."""
        ...

    def narrowed(self, heard: Array) -> Array:
        """The sound as far as it can be heard.

        Args:
            heard: Unit vectors of stretches of the input by the audio encoder, [W, D] with W of at least 1.

        Returns:
            Unit vector, float32 [D].
        """
        ...


@dataclass(frozen=True)
class Candidates:
    """The labels that a word for a family or an example may stand for.

    Attributes:
        vectors: Unit vectors of the labels, [F, D].
        temperature: How far below the best heard label another one still counts, in cosine similarity; None:
            what can be heard changes nothing.
        likely: Logarithm of how likely each label is before anything is heard, up to a constant, [F]; None:
            all alike, as in a family.
        own: What is added to the labels' weighted mean of unit length, [D]: an example's own vector times its
            weight; None: nothing.
    """

    vectors: Array
    temperature: float | None = None
    likely: Array | None = None
    own: Array | None = None

    @property
    def narrows(self) -> bool:
        """Whether what can be heard changes anything."""
        return self.temperature is not None and len(self.vectors) > 1

    @property
    def key(self) -> bytes:
        """See ``Narrowing``."""
        arrays = (x.tobytes() for x in (self.vectors, self.likely, self.own) if x is not None)
        return b"".join((repr(self.temperature).encode(), *arrays))

    @property
    def vector(self) -> Array:
        """What they mean before anything is heard, a unit vector, float32 [D]."""
        return self._weighted(self._prior())

    def narrowed(self, heard: Array) -> Array:
        """The labels as far as they can be heard: a softmax over how likely each is and how well it is heard
        where it is heard best. See ``Narrowing``.
        """
        if self.temperature is None:
            return self.vector
        return self._weighted(self._prior() + (self.vectors @ heard.T).max(axis=1) / self.temperature)

    def _prior(self) -> Array:
        return np.zeros(len(self.vectors), np.float32) if self.likely is None else self.likely

    def _weighted(self, score: Array) -> Array:
        """The vector of the labels with these logarithms of weights, [F]."""
        mean = unit_vector(np.exp(score - score.max()) @ self.vectors)
        return mean if self.own is None else unit_vector(mean + self.own)


@dataclass(frozen=True)
class Described:
    """One sound that several descriptions tell of: the mean of what each of them says.

    Attributes:
        parts: A unit vector [D] or candidates for each.
    """

    parts: tuple[Array | Candidates, ...]

    @property
    def narrows(self) -> bool:
        """Whether what can be heard changes anything."""
        return any(isinstance(part, Candidates) and part.narrows for part in self.parts)

    @property
    def key(self) -> bytes:
        """See ``Narrowing``."""
        return b"".join(part.key if isinstance(part, Candidates) else part.tobytes() for part in self.parts)

    @property
    def vector(self) -> Array:
        """The sound before anything is heard, a unit vector, float32 [D]."""
        return self._mean(part.vector if isinstance(part, Candidates) else part for part in self.parts)

    def narrowed(self, heard: Array) -> Array:
        """See ``Narrowing``."""
        return self._mean(
            part.narrowed(heard) if isinstance(part, Candidates) else part for part in self.parts
        )

    @staticmethod
    def _mean(vectors: Iterable[Array]) -> Array:
        return unit_vector(np.mean([unit_vector(v) for v in vectors], axis=0))


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
        narrowings: For every sound of ``kept`` how it narrows to what can be heard, None for a sound that
            does not. Empty: none does.
        second_look: How the query is asked again after a first pass; None: it is not.
        away: What is pushed away where nothing is taken out, a vector of at most unit length [D]; None:
            nothing.
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
    narrowings: tuple[Narrowing | None, ...] = ()
    second_look: SecondLook | None = None
    away: Array | None = None

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
