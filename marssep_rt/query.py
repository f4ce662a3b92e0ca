"""What to listen for: text, ``.query`` files, blends and negatives, as one unit vector that is embedded once.

Blend: the normalised mean of the unit vectors. Negative (OmniSep, ICLR 2025): q <- normalise(1.5 q - 0.5 q_not).
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from marssep_rt import bundle as bundles
from marssep_rt.bundle import Bundle
from marssep_rt.errors import MarssepError, UsageError
from marssep_rt.session import open_session

Array = npt.NDArray[np.float32]
QUERY_FORMAT = 1
LONGEST_TEXT = 500
NEGATIVE_WEIGHT = 0.5


class QueryError(UsageError):
    """A query cannot be embedded or a ``.query`` file cannot be used."""


@dataclass(frozen=True)
class Query:
    """A unit vector [D], the encoder that it belongs to, and words for people."""

    vector: Array
    encoder: str
    label: str


def unit(vector: Array) -> Array:
    """The vector at length one; raises QueryError for zero or non-finite vectors."""
    length = float(np.linalg.norm(vector))
    if not np.isfinite(length) or length < 1e-6:
        raise QueryError("the query's vector is zero or not finite; its parts may cancel each other out")
    return np.asarray(vector / length, dtype=np.float32)


class TextEncoder:
    """The bundle's text tower: ``text.onnx`` and ``tokenizer.json``. Bring text, get a unit vector."""

    def __init__(self, bundle: Bundle) -> None:
        from tokenizers import Tokenizer  # a third of a second to import: only when text is asked for

        if not bundle.has("text.onnx"):
            raise QueryError(f"the bundle {bundle.name} has no text tower; ask with --query-file FILE.query")
        self.session, _ = open_session(bundle.read("text.onnx"), "cpu")
        self.tokenizer = Tokenizer.from_str(bundle.read("tokenizer.json").decode())
        self.encoder = bundle.encoder

    def embed(self, text: str) -> Array:
        """Unit vector float32 [D]; raises QueryError for empty or overlong text."""
        text = check_text(text)
        ids = np.array([self.tokenizer.encode(text).ids], np.int64)
        (vectors,) = self.session.run(["embedding"], {"input_ids": ids, "attention_mask": np.ones_like(ids)})
        return unit(np.asarray(vectors)[0])


def check_text(text: str) -> str:
    """The text without outer white space; raises QueryError where there is nothing to look up."""
    text = " ".join(text.split())
    if not any(c.isalnum() for c in text):
        raise QueryError('the query is empty; say what to hear, like --query "dog barking"')
    if len(text) > LONGEST_TEXT:
        raise QueryError(f"the query has {len(text)} characters; keep it under {LONGEST_TEXT}, a few words work best")
    return text


@lru_cache(maxsize=2)
def _text_encoder(path: Path) -> TextEncoder:
    return TextEncoder(bundles.load(path))


def embed_text(text: str, bundle: Bundle | Path | str | None = None) -> Array:
    """Unit vector float32 [D] of a text in the bundle's space (None: the embedded bundle)."""
    check_text(text)
    loaded = bundle if isinstance(bundle, Bundle) else bundles.load(bundle)
    return _text_encoder(loaded.path).embed(text)


def embed_audio(path: Path | str, bundle: Bundle | Path | str | None = None) -> Array:
    """Unit vector of a sound file; raises QueryError where the bundle has no audio tower."""
    return _no_tower("audio", bundle)


def embed_image(path: Path | str, bundle: Bundle | Path | str | None = None) -> Array:
    """Unit vector of a picture; raises QueryError where the bundle has no image tower."""
    return _no_tower("image", bundle)


def _no_tower(kind: str, bundle: Bundle | Path | str | None) -> Array:
    loaded = bundle if isinstance(bundle, Bundle) else bundles.load(bundle)
    raise QueryError(f"the bundle {loaded.name} has no {kind} tower; ask with words: --query TEXT")


def read_query(path: Path | str) -> Query:
    """A ``.query`` file; raises QueryError when it is missing, damaged or of a newer format."""
    try:
        data: Any = json.loads(Path(path).read_text(encoding="utf-8"))
        if data["format"] > QUERY_FORMAT:
            raise QueryError(f"{path} has format {data['format']}, newer than this marssep understands ({QUERY_FORMAT}); update marssep")
        vector = np.array(data["vector"], np.float32)
        if vector.shape != (int(data["dim"]),):
            raise QueryError(f"{path} says {data['dim']} dimensions but holds {vector.size}")
        return Query(unit(vector), str(data["encoder"]), str(data["label"]))
    except OSError as e:
        raise QueryError(f"cannot read the query file {path}: {e.strerror}") from e
    except QueryError:
        raise
    except (ValueError, KeyError, TypeError) as e:
        raise QueryError(f"{path} is not a .query file; make one with: marssep-query --query TEXT -o NAME.query") from e


def write_query(path: Path, query: Query) -> None:
    """Written beside and renamed; raises MarssepError where that is not possible."""
    data = {"format": QUERY_FORMAT, "encoder": query.encoder, "dim": len(query.vector), "label": query.label,
            "vector": [float(x) for x in query.vector]}  # fmt: skip
    beside = path.with_name(path.name + ".part")
    try:
        beside.write_text(json.dumps(data) + "\n", encoding="utf-8")
        os.replace(beside, path)
    except OSError as e:
        raise MarssepError(f"cannot write {path}: {e.strerror}") from e


def combine(
    bundle: Bundle,
    texts: Sequence[str] = (),
    images: Sequence[Path] = (),
    audios: Sequence[Path] = (),
    files: Sequence[Path] = (),
    negative: str | None = None,
) -> Query:
    """One query from all that was asked for. Raises QueryError when nothing was, or when a part cannot be used with this bundle."""
    parts: list[Array] = [embed_text(t, bundle) for t in texts]
    parts += [embed_image(p, bundle) for p in images]
    parts += [embed_audio(p, bundle) for p in audios]
    labels = [check_text(t) for t in texts] + [p.name for p in (*images, *audios)]
    for path in files:
        query = read_query(path)
        if query.encoder != bundle.encoder or len(query.vector) != bundle.query_dim:
            raise QueryError(f"{path} was made for encoder {query.encoder}, the bundle {bundle.name} needs {bundle.encoder}; make it again")
        parts.append(query.vector)
        labels.append(query.label)
    if not parts:
        raise QueryError('say what to hear: --query "dog barking" (or --query-file FILE.query)')
    vector = unit(np.mean([unit(p) for p in parts], axis=0))
    label = " + ".join(labels)
    if negative is not None:
        vector = unit((1 + NEGATIVE_WEIGHT) * vector - NEGATIVE_WEIGHT * embed_text(negative, bundle))
        label += f" - {check_text(negative)}"
    return Query(vector, bundle.encoder, label)
