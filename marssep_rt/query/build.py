"""What to listen for: text, recordings, pictures, ``.query`` files, blends and negatives, as one unit vector that is embedded once.

Recordings and pictures stand for the trained sound that they show (``KnownSounds.settle``). Blend: the normalised mean of the unit
vectors. Negative (OmniSep, ICLR 2025): q <- normalise(1.5 q - 0.5 q_not).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from marssep_rt.arrays import Array
from marssep_rt.errors import QueryError
from marssep_rt.model import bundle as bundles
from marssep_rt.model.bundle import Bundle
from marssep_rt.query.encoders import audio_encoder, check_text, image_encoder, text_encoder, unit
from marssep_rt.query.query_file import read_query
from marssep_rt.query.types import Query
from marssep_rt.query.vocabulary import KnownSounds

NEGATIVE_WEIGHT = 0.5


def embed_text(text: str, bundle: Bundle | Path | str | None = None) -> Array:
    """Unit vector float32 [D] of a text in the bundle's space (None: the embedded bundle); raises QueryError for empty or overlong text."""
    check_text(text)
    return text_encoder(_loaded(bundle).path).embed(text)


def embed_audio(path: Path | str, bundle: Bundle | Path | str | None = None) -> Array:
    """Unit vector float32 [D] of a recording, any length, rate and channel count that libsndfile reads.

    As a query the file itself does better, ``Separator(audio=...)``: see ``KnownSounds.settle``. Raises SoundError for a file that is
    missing, silent or no sound, QueryError where the bundle has no audio tower.
    """
    return audio_encoder(_loaded(bundle).path).embed(path)


def embed_image(path: Path | str, bundle: Bundle | Path | str | None = None) -> Array:
    """Unit vector float32 [D] of a picture that Pillow reads, 16 pixels a side and more; as a query the file itself does better.

    Raises ImageError for a file that is missing, damaged, too small or too large, QueryError where the bundle has no image tower.
    """
    return image_encoder(_loaded(bundle).path).embed(path)


def _loaded(bundle: Bundle | Path | str | None) -> Bundle:
    return bundle if isinstance(bundle, Bundle) else bundles.load(bundle)


def combine(
    bundle: Bundle,
    texts: Sequence[str] = (),
    images: Sequence[Path] = (),
    audios: Sequence[Path] = (),
    files: Sequence[Path] = (),
    negative: str | None = None,
) -> Query:
    """One query from all that was asked for. Raises QueryError when nothing was, or when a part cannot be used with this bundle."""
    asked = [("text", check_text(t), embed_text(t, bundle)) for t in texts]
    asked += [("image", p.name, embed_image(p, bundle)) for p in images]
    asked += [("audio", p.name, embed_audio(p, bundle)) for p in audios]
    known = KnownSounds.of(bundle)
    doubts = tuple(d for kind, name, v in asked if known and (d := known.doubt(v, kind, name)))
    settled = known.settle([(kind, v) for kind, _, v in asked]) if known else [(v, "") for _, _, v in asked]
    parts = [v for v, _ in settled]
    labels = [f"{name} ({sound})" if sound else name for (_, name, _), (_, sound) in zip(asked, settled, strict=True)]
    for path in files:
        query = read_query(path)
        if query.encoder != bundle.encoder or len(query.vector) != bundle.query_dim:
            raise QueryError(f"{path} was made for encoder {query.encoder}, the bundle {bundle.name} needs {bundle.encoder}; make it again")
        parts.append(query.vector)
        labels.append(query.label)
    if not parts:
        raise QueryError('say what to hear: --query "dog barking" (or --audio FILE, --image FILE, --query-file FILE.query)')
    vector = unit(np.mean([unit(p) for p in parts], axis=0))
    label = " + ".join(labels)
    if negative is not None:
        vector = unit((1 + NEGATIVE_WEIGHT) * vector - NEGATIVE_WEIGHT * embed_text(negative, bundle))
        label += f" - {check_text(negative)}"
    return Query(vector, bundle.encoder, label, doubts)
