"""``.query`` files: one embedded query as JSON, with everything that the words it was made of bring along."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from marssep_rt.arrays import Array
from marssep_rt.contract import FORMATS, MIXER
from marssep_rt.errors import QueryError
from marssep_rt.query.types import Query
from marssep_rt.utils.atomic_io import write_whole
from marssep_rt.utils.vectors import unit_vector

T = TypeVar("T")


def read_query(path: Path | str) -> Query:
    """Read a ``.query`` file.

    Raises:
        QueryError: The file is missing, damaged or of a newer format.
    """
    try:
        data: Any = json.loads(Path(path).read_text(encoding="utf-8"))
        if data["format"] > FORMATS.query:
            raise QueryError(
                f"{path} has format {data['format']}, newer than this marssep understands ({FORMATS.query}); "
                "update marssep"
            )
        vector = np.array(data["vector"], np.float32)
        keep, drop = (_rows(data.get(name)) for name in ("keep", "drop"))
        for found in (vector, *(() if keep is None else keep), *(() if drop is None else drop)):
            if found.shape != (int(data["dim"]),):
                raise QueryError(f"{path} says {data['dim']} dimensions but holds {found.size}")
        return Query(
            unit_vector(vector),
            str(data["encoder"]),
            str(data["label"]),
            tuple(_typed(text, str) for text in data.get("warnings") or ()),
            _typed(data.get("remove", False), bool),
            keep=keep,
            drop=drop,
            complement=_typed(data.get("complement", False), bool),
            limit_db=_limit(data.get("limit_db")),
        )
    except OSError as e:
        raise QueryError(f"cannot read the query file {path}: {e.strerror}") from e
    except QueryError:
        raise
    except (ValueError, KeyError, TypeError) as e:
        raise QueryError(
            f"{path} is not a .query file; make one with: marssep query --query TEXT -o NAME.query"
        ) from e


def _rows(vectors: Any) -> Array | None:
    """Unit vectors [N, D] from lists of numbers; None stays None."""
    return None if vectors is None else np.stack([unit_vector(np.array(v, np.float32)) for v in vectors])


def _typed(value: Any, kind: type[T]) -> T:
    """A value of this type; raises TypeError for another."""
    if not isinstance(value, kind):
        raise TypeError
    return value


def _limit(value: Any) -> float | None:
    """An attenuation limit in dB, or None; raises ValueError or TypeError for what is none."""
    if value is None:
        return None
    if isinstance(value, bool) or not math.isfinite(value) or value < MIXER.limit_db_min:
        raise ValueError
    return float(value)


def as_plain(query: Query) -> dict[str, Any]:
    """The content of a ``.query`` file; programs that know no ``keep`` and ``drop`` take the vector."""
    more = {
        "keep": None if query.keep is None else query.keep.tolist(),
        "drop": None if query.drop is None else query.drop.tolist(),
        "limit_db": query.limit_db,
        "warnings": list(query.warnings),
        "remove": query.remove,
        "complement": query.complement,
    }
    return {
        "format": FORMATS.query if query.remove else FORMATS.query_of_sounds,
        "encoder": query.encoder,
        "dim": len(query.vector),
        "label": query.label,
        "vector": [float(x) for x in query.vector],
        **{name: value for name, value in more.items() if value not in (None, False, [])},
    }


def write_query(path: Path, query: Query) -> None:
    """Write a ``.query`` file atomically; raises MarssepError if that is not possible."""
    write_whole(path, json.dumps(as_plain(query)) + "\n")
