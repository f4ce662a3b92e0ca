"""What a user asks for, before and after it is embedded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from marssep_rt.arrays import Array


@dataclass(frozen=True)
class Query:
    """An embedded query.

    Attributes:
        vector: Unit vector, float32 [D].
        encoder: Id of the encoder that the vector belongs to.
        label: The query in words.
        warnings: One sentence for every part that is out of vocabulary.
        remove: Whether the words ask for everything but the sound ("no dog").
        understood: How the words were read, if they are more than one description; else "".
    """

    vector: Array
    encoder: str
    label: str
    warnings: tuple[str, ...] = ()
    remove: bool = False
    understood: str = ""


@dataclass(frozen=True)
class QueryRequest:
    """The parts of a query as the user gave them.

    Attributes:
        texts: Descriptions of the target sound.
        images: Image files that show its source.
        audios: Audio files that contain it.
        files: ``.query`` files.
        negative: A text that the query is steered away from.
    """

    texts: Sequence[str] = ()
    images: Sequence[Path] = ()
    audios: Sequence[Path] = ()
    files: Sequence[Path] = ()
    negative: str | None = None

    def __bool__(self) -> bool:
        """Whether there is any part besides the negative one."""
        return any((self.texts, self.images, self.audios, self.files))

    def or_else(self, other: QueryRequest) -> QueryRequest:
        """This request if it has parts, else ``other`` with this request's negative text if it has one."""
        return self if self else replace(other, negative=self.negative or other.negative)

    def split(self) -> list[QueryRequest]:
        """One request for each part, in the order texts, images, audio files, query files."""
        parts = [QueryRequest(texts=[text], negative=self.negative) for text in self.texts]
        parts += [QueryRequest(images=[path], negative=self.negative) for path in self.images]
        parts += [QueryRequest(audios=[path], negative=self.negative) for path in self.audios]
        return parts + [QueryRequest(files=[path], negative=self.negative) for path in self.files]
