"""From a query request to the unit vectors of the sounds that it names, which are embedded once.

The target is the sum of the sounds, without those that a negative names: the graph puts their masks together.
For hosts that take one vector only, the query is the normalised mean of the sounds, and a negative steers it
away (OmniSep, ICLR 2025): q <- normalise(1.5 q - 0.5 q_not). Audio files and images are pulled towards the
training label that they show (``Vocabulary.snap_to_labels``). Negation in words is read first (``language``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from marssep_rt.arrays import Array
from marssep_rt.contract import QUERY
from marssep_rt.errors import QueryError, UsageError
from marssep_rt.model import bundle as bundles
from marssep_rt.model.bundle import Bundle
from marssep_rt.query.encoders import audio_encoder, check_text, image_encoder, text_encoder
from marssep_rt.query.language import Wish, combined, negatives, understand
from marssep_rt.query.query_file import read_query
from marssep_rt.query.second_look import FirstPass, SecondLook
from marssep_rt.query.types import Candidates, Described, Narrowing, Query, QueryRequest
from marssep_rt.query.vocabulary import Vocabulary
from marssep_rt.query.words import Words, words_of
from marssep_rt.utils.arguments import named_arguments
from marssep_rt.utils.vectors import unit_vector

NEGATIVE_WEIGHT = QUERY.negative_weight
MOST_SOUNDS = QUERY.most_sounds


@named_arguments
def embed_text(text: str, bundle: Bundle | Path | str | None = None) -> Array:
    """Embed a text.

    Args:
        text: A description of a sound.
        bundle: The bundle whose encoder is used; None is the built-in one.

    Returns:
        Unit vector, float32 [D].

    Raises:
        QueryError: The text is empty or too long or negates ("no dog"), or the bundle has no text encoder.
    """
    _checked(text, str, "text")
    if understand(check_text(text)).negated:
        raise QueryError(
            f"“{text}” negates, which no vector can say; Separator(query=...) understands negation"
        )
    return _embedded(text, _loaded(bundle))


def _embedded(text: str, bundle: Bundle) -> Array:
    """A description of one sound -> unit vector [D]."""
    return text_encoder(bundle.path).embed(text)


@named_arguments
def embed_audio(path: Path | str, bundle: Bundle | Path | str | None = None) -> Array:
    """Embed an audio file of any length, sample rate and channel count, or the sound of a video.

    It reads what ``marssep file`` reads: through libsndfile, or through ffmpeg where that is installed.

    As a query the file itself does better than its vector: ``Separator(audio=...)``, see
    ``Vocabulary.snap_to_labels``.

    Returns:
        Unit vector, float32 [D].

    Raises:
        SoundError: The file is missing, silent, damaged, or not an audio file.
        QueryError: The bundle has no audio encoder.
    """
    _checked(path, (str, Path), "path")
    return audio_encoder(_loaded(bundle).path).embed(path)


@named_arguments
def embed_image(path: Path | str, bundle: Bundle | Path | str | None = None) -> Array:
    """Embed an image that Pillow reads, with at least 16 pixels a side.

    As a query the file itself does better than its vector, as for ``embed_audio``.

    Returns:
        Unit vector, float32 [D].

    Raises:
        ImageError: The file is missing, damaged, too small or too large.
        QueryError: The bundle has no image encoder.
    """
    _checked(path, (str, Path), "path")
    return image_encoder(_loaded(bundle).path).embed(path)


def _checked(value: object, kind: type | tuple[type, ...], name: str) -> None:
    """Raise UsageError for an argument of another type."""
    if not isinstance(value, kind):
        raise UsageError(f"{name} is a {type(value).__name__}; give a {name}")


def _loaded(bundle: Bundle | Path | str | None) -> Bundle:
    return bundle if isinstance(bundle, Bundle) else bundles.load(bundle)


def build_query(bundle: Bundle, request: QueryRequest) -> Query:
    """Embed a request: one vector for every sound that it names, and one for the whole.

    Every text and every query file names a sound. Images and audio files show one sound together: the one
    that is named, if it is the only one.

    Args:
        bundle: The bundle whose encoders are used.
        request: The parts.

    Returns:
        The query, with a warning for every part that is out of vocabulary.

    Raises:
        QueryError: The request is empty, or a part cannot be used with this bundle.
    """
    files = [_fitting(bundle, path) for path in request.files]
    wish, complement = _asked(request, files, words_of(bundle.path))
    going = [] if wish.remove else [file for file in files if file.remove]
    staying = [file for file in files if wish.remove or not file.remove]
    sounds = _sounds(bundle, replace(request, texts=wish.keep), staying)
    if not sounds:
        raise QueryError(
            'say what to hear: --query "dog barking" (or --audio FILE, --image FILE, --query-file FILE.query)'
        )
    away = [*(_of_file(file) for file in going), *negative_sounds(bundle, wish.drop)]
    changed = complement or wish.remove or away or len(wish.keep) > len(request.texts)
    understood = Wish(tuple(s.label for s in sounds), tuple(s.label for s in away), wish.remove)
    away += negative_sounds(bundle, [part for text in request.negatives for part in negatives(text)])
    kept = np.concatenate([sound.vectors for sound in sounds])
    narrowings = tuple(n for s in sounds for n in (s.narrowing, *[None] * (len(s.vectors) - 1)))
    nothing = np.zeros((0, bundle.query_dim), np.float32)
    dropped = np.concatenate([nothing, *(f.dropped for f in staying), *(s.vectors for s in away)])
    if len(kept) + len(dropped) > MOST_SOUNDS:
        raise QueryError(f"the query names {len(kept) + len(dropped)} sounds; name at most {MOST_SOUNDS}")
    return Query(
        in_one(kept, dropped),
        bundle.encoder,
        " + ".join(sound.label for sound in sounds) + "".join(f" - {sound.label}" for sound in away),
        tuple(warning for sound in sounds for warning in sound.warnings),
        wish.remove,
        str(understood) if changed else "",
        kept if len(kept) > 1 or len(dropped) else None,
        dropped if len(dropped) else None,
        complement,
        min((s.limit_db for s in sounds if s.limit_db is not None), default=None),
        narrowings if any(narrowings) else (),
        _second_look(bundle) if len(kept) == 1 and not len(dropped) else None,
    )


def _second_look(bundle: Bundle) -> SecondLook | None:
    """How the bundle asks again for one sound, if it does."""
    return None if (known := Vocabulary.of(bundle)) is None else known.second_look


def _asked(request: QueryRequest, files: Sequence[Query], words: Words) -> tuple[Wish, bool]:
    """What texts and query files ask for together.

    It is a residual if all of them ask for one and there are no other parts. Else "no dog" says what the
    other parts shall not be.

    Args:
        request: The parts.
        files: Its query files, read.
        words: The bundle's words.

    Returns:
        The wish, with the sounds of texts alone, and whether it is for everything else in such words.

    Raises:
        QueryError: A file of "background noise" is not the only part.
    """
    wish = combined([check_text(text) for text in request.texts])
    examples = bool(request.images or request.audios)
    if len(files) == 1 and not request.texts and not examples:
        return replace(wish, remove=files[0].remove), files[0].complement
    for path, file in zip(request.files, files, strict=True):
        if file.remove and file.complement:
            raise QueryError(f"{path} asks for {file.name}, which works only as the whole query")
    removing = [file.remove for file in files] + [wish.remove] * bool(request.texts)
    if removing and all(removing) and not examples:
        wish = replace(wish, remove=True)
    elif wish.remove:
        wish = Wish((), wish.keep)
    return _without_residual_words(wish, words, not (examples or files))


@dataclass(frozen=True)
class Sound:
    """One sound that a request names.

    Attributes:
        label: In words.
        vectors: Unit vectors [K, D] whose sum it is: one, or more of a query file of several sounds.
        warnings: Of parts that are out of vocabulary.
        limit_db: The attenuation limit of words that are doubted, else None.
        narrowing: How it narrows to what can be heard, if it does.
    """

    label: str
    vectors: Array
    warnings: tuple[str, ...] = ()
    limit_db: float | None = None
    narrowing: Narrowing | None = None


def in_one(kept: Array, dropped: Array | None = None) -> Array:
    """A query of several sounds as one vector: the normalised mean, steered away from what is dropped.

    Args:
        kept: Unit vectors [K, D].
        dropped: Unit vectors [M, D]; None is none.

    Returns:
        Unit vector, float32 [D].
    """
    vector = unit_vector(kept.mean(axis=0))
    if dropped is not None and len(dropped):
        away = unit_vector(dropped.mean(axis=0))
        vector = unit_vector((1 + NEGATIVE_WEIGHT) * vector - NEGATIVE_WEIGHT * away)
    return vector


def narrowed(query: Query, heard: Array) -> Query:
    """A query whose sounds are narrowed to what can be heard.

    Args:
        query: The query.
        heard: Unit vectors of stretches of the input by the audio encoder, [W, D]; none leave it as it is.
    """
    if not query.narrowings or not len(heard):
        return query
    kept = np.stack(
        [
            vector if narrowing is None else narrowing.narrowed(heard)
            for vector, narrowing in zip(query.kept, query.narrowings, strict=True)
        ]
    )
    keep = None if query.keep is None else kept
    return replace(query, vector=in_one(kept, query.dropped), keep=keep)


def asked_again(query: Query, heard: FirstPass | None) -> Query:
    """A query as its second look asks it; it stays as it is without one, or where nothing was heard."""
    if query.second_look is None or heard is None:
        return query
    vector, away = query.second_look.again(query.vector, heard)
    return replace(query, vector=vector, away=away)


def _without_residual_words(wish: Wish, words: Words, alone: bool) -> tuple[Wish, bool]:
    """A wish for "background noise" as one for everything but speech and music.

    Args:
        wish: What the texts ask for.
        words: The bundle's words.
        alone: Whether there are no other parts than texts.

    Returns:
        The wish, and whether it was turned over.
    """
    sounds = [words.kept_of(text) for text in wish.keep]
    if not alone or not sounds or wish.drop or not all(sounds):
        return wish, False
    kept = dict.fromkeys(name for several in sounds for name in several)
    return Wish(tuple(kept), (), not wish.remove), True


def negative_sounds(bundle: Bundle, texts: Sequence[str]) -> list[Sound]:
    """The sounds that texts name and that are to go; to leave out the residual says nothing new."""
    return [_named(bundle, text) for text in texts if not words_of(bundle.path).kept_of(text)]


def _named(bundle: Bundle, text: str) -> Sound:
    """The sound of a text; a family lies in the middle of its labels."""
    text, words = check_text(text), words_of(bundle.path)
    known = Vocabulary.of(bundle)
    if labels := words.labels_of(text):
        members = np.stack([_embedded(label, bundle) for label in labels])
        family = Candidates(members, None if known is None else known.family_temperature)
        if words.family_of(text):
            sound = Sound(text, family.vector[None], narrowing=family if family.narrows else None)
        else:
            sound = _alike(text, labels, family.vector, known)
    else:
        sound = _described(bundle, [("text", text, _embedded(text, bundle))])
    warning = words.own_warning(text)
    return replace(sound, warnings=(warning,)) if warning else sound


def _alike(text: str, labels: Sequence[str], vector: Array, known: Vocabulary | None) -> Sound:
    """The sound of a word without a label, at the middle [D] of the labels that it is like."""
    if known is None or (limit_db := known.limit_db(vector)) is None:
        return Sound(text, vector[None])
    names = " + ".join(re.sub(r",.*| \(.*", "", label) for label in labels)  # AudioSet's names are long
    taken = f"“{text}” is no sound that the model was trained on; it is taken as {names}"
    return Sound(text, vector[None], (f"{taken}{_limited(limit_db)}",), limit_db)


def _limited(limit_db: float) -> str:
    """What follows for words that are doubted."""
    return f"; it attenuates by at most {limit_db:g} dB unless a limit is set"


def _of_file(file: Query) -> Sound:
    """The sound of a query file."""
    return Sound(file.label, file.kept, file.warnings, file.limit_db)


def _fitting(bundle: Bundle, path: Path) -> Query:
    """A ``.query`` file of the bundle's encoder; raises QueryError for another's."""
    query = read_query(path)
    if query.encoder != bundle.encoder or len(query.vector) != bundle.query_dim:
        raise QueryError(
            f"{path} was made for encoder {query.encoder}, the bundle {bundle.name} needs "
            f"{bundle.encoder}; make it again"
        )
    return query


def _sounds(bundle: Bundle, request: QueryRequest, files: Sequence[Query]) -> list[Sound]:
    """The sounds that the parts name; ``files``: the query files, read."""
    named = [
        *(_named(bundle, text) for text in request.texts),
        *(_of_file(file) for file in files),
    ]
    examples = [("image", path.name, embed_image(path, bundle)) for path in request.images]
    examples += [("audio", path.name, embed_audio(path, bundle)) for path in request.audios]
    if not examples:
        return named
    if len(named) != 1:
        return [*named, _described(bundle, examples)]
    if request.texts:
        (word,) = named
        return [_described(bundle, [("text", word.label, word.vectors[0]), *examples])]
    shown, (file,) = _described(bundle, examples), named
    together = unit_vector(np.mean([*file.vectors, *shown.vectors], axis=0))
    return [Sound(f"{shown.label} + {file.label}", together[None], shown.warnings)]


def _described(bundle: Bundle, given: Sequence[tuple[str, str, Array]]) -> Sound:
    """The one sound that texts, images and audio files (kind, name, unit vector) describe together."""
    names = [name for _, name, _ in given]
    parts: list[Array | Candidates] = [vector for _, _, vector in given]
    warnings: list[str | None] = []
    limit_db = None
    if (known := Vocabulary.of(bundle)) is not None:
        warnings = [known.out_of_vocabulary_warning(vector, kind, name) for kind, name, vector in given]
        shown = known.candidates([(kind, vector) for kind, _, vector in given])
        limit_db = known.limit_db(given[0][2]) if [kind for kind, _, _ in given] == ["text"] else None
        parts = [vector if found is None else found[0] for vector, found in zip(parts, shown, strict=True)]
        names = [f"{n} ({found[1]})" if found else n for n, found in zip(names, shown, strict=True)]
        if limit_db is not None:
            doubt = warnings[0] or f"“{names[0]}” is unlike the sounds that the model was trained on"
            warnings = [doubt + _limited(limit_db)]
    sound = Described(tuple(parts))
    said = tuple(w for w in warnings if w)
    return Sound(" + ".join(names), sound.vector[None], said, limit_db, sound if sound.narrows else None)
