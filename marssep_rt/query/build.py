"""From a query request to one unit vector, which is embedded once.

Audio files and images are pulled towards the training label that they show (``KnownSounds.settle``). Several
parts are blended: the query is the normalised mean of their unit vectors. A negative text steers the query
away (OmniSep, ICLR 2025): q <- normalise(1.5 q - 0.5 q_not). Negation in words is read first (``language``).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from marssep_rt.arrays import Array
from marssep_rt.contract import QUERY
from marssep_rt.errors import QueryError
from marssep_rt.model import bundle as bundles
from marssep_rt.model.bundle import Bundle
from marssep_rt.query.encoders import audio_encoder, check_text, image_encoder, text_encoder
from marssep_rt.query.language import Wish, combined
from marssep_rt.query.query_file import read_query
from marssep_rt.query.types import Query, QueryRequest
from marssep_rt.query.vocabulary import KnownSounds
from marssep_rt.utils.vectors import unit_vector

NEGATIVE_WEIGHT = QUERY.negative_weight
NO_RESIDUAL = "{} holds a sound, not what to do with it: name the sound here, and remove it where it is used"


def embed_text(text: str, bundle: Bundle | Path | str | None = None) -> Array:
    """Embed a text.

    Args:
        text: A description of a sound.
        bundle: The bundle whose encoder is used; None is the built-in one.

    Returns:
        Unit vector, float32 [D].

    Raises:
        QueryError: The text is empty or too long, or the bundle has no text encoder.
    """
    check_text(text)
    return text_encoder(_loaded(bundle).path).embed(text)


def embed_audio(path: Path | str, bundle: Bundle | Path | str | None = None) -> Array:
    """Embed an audio file of any length, sample rate and channel count that libsndfile reads.

    As a query the file itself does better than its vector: ``Separator(audio=...)``, see
    ``KnownSounds.settle``.

    Returns:
        Unit vector, float32 [D].

    Raises:
        SoundError: The file is missing, silent, or not an audio file.
        QueryError: The bundle has no audio encoder.
    """
    return audio_encoder(_loaded(bundle).path).embed(path)


def embed_image(path: Path | str, bundle: Bundle | Path | str | None = None) -> Array:
    """Embed an image that Pillow reads, with at least 16 pixels a side.

    As a query the file itself does better than its vector, as for ``embed_audio``.

    Returns:
        Unit vector, float32 [D].

    Raises:
        ImageError: The file is missing, damaged, too small or too large.
        QueryError: The bundle has no image encoder.
    """
    return image_encoder(_loaded(bundle).path).embed(path)


def _loaded(bundle: Bundle | Path | str | None) -> Bundle:
    return bundle if isinstance(bundle, Bundle) else bundles.load(bundle)


def build_query(bundle: Bundle, request: QueryRequest) -> Query:
    """Embed all parts of a request and blend them into one query.

    Args:
        bundle: The bundle whose encoders are used.
        request: The parts.

    Returns:
        The query, with a warning for every part that is out of vocabulary.

    Raises:
        QueryError: The request is empty, or a part cannot be used with this bundle.
    """
    wish = combined([check_text(text) for text in request.texts])
    if wish.remove and (request.images or request.audios or request.files):
        wish = Wish((), wish.keep)  # beside other parts "no dog" says what they shall not be
    parts, labels, warnings = _embedded(bundle, replace(request, texts=wish.keep))
    for path in request.files:
        query = read_query(path)
        if query.encoder != bundle.encoder or len(query.vector) != bundle.query_dim:
            raise QueryError(
                f"{path} was made for encoder {query.encoder}, the bundle {bundle.name} needs "
                f"{bundle.encoder}; make it again"
            )
        parts.append(query.vector)
        labels.append(query.label)
    if not parts:
        raise QueryError(
            'say what to hear: --query "dog barking" (or --audio FILE, --image FILE, --query-file FILE.query)'
        )
    vector = unit_vector(np.mean([unit_vector(p) for p in parts], axis=0))
    label = " + ".join(labels)
    dropped = [*wish.drop, *([check_text(request.negative)] if request.negative is not None else [])]
    if dropped:
        away = unit_vector(np.mean([embed_text(text, bundle) for text in dropped], axis=0))
        vector = unit_vector((1 + NEGATIVE_WEIGHT) * vector - NEGATIVE_WEIGHT * away)
        label += "".join(f" - {text}" for text in dropped)
    changed = wish.remove or wish.drop or len(wish.keep) > len(request.texts)
    return Query(vector, bundle.encoder, label, warnings, wish.remove, str(wish) if changed else "")


def _embedded(bundle: Bundle, request: QueryRequest) -> tuple[list[Array], list[str], tuple[str, ...]]:
    """Vectors and labels of the texts, images and audio files, and the warnings about them."""
    given = [("text", check_text(text), embed_text(text, bundle)) for text in request.texts]
    given += [("image", path.name, embed_image(path, bundle)) for path in request.images]
    given += [("audio", path.name, embed_audio(path, bundle)) for path in request.audios]
    known = KnownSounds.of(bundle)
    if known is None:
        return [vector for _, _, vector in given], [name for _, name, _ in given], ()
    found = [known.out_of_vocabulary_warning(vector, kind, name) for kind, name, vector in given]
    snapped = known.settle([(kind, vector) for kind, _, vector in given])
    names = [
        f"{name} ({sound})" if sound else name
        for (_, name, _), (_, sound) in zip(given, snapped, strict=True)
    ]
    return [vector for vector, _ in snapped], names, tuple(warning for warning in found if warning)
