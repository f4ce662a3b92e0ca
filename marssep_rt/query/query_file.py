"""``.query`` files: one embedded query as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from marssep_rt.arrays import Array
from marssep_rt.contract import FORMATS
from marssep_rt.errors import QueryError
from marssep_rt.query.types import Query
from marssep_rt.utils.atomic_io import write_whole
from marssep_rt.utils.vectors import unit_vector

QUERY_FORMAT = FORMATS.query


def read_query(path: Path | str) -> Query:
    """Read a ``.query`` file.

    Raises:
        QueryError: The file is missing, damaged or of a newer format.
    """
    try:
        data: Any = json.loads(Path(path).read_text(encoding="utf-8"))
        if data["format"] > QUERY_FORMAT:
            raise QueryError(
                f"{path} has format {data['format']}, newer than this marssep understands ({QUERY_FORMAT}); "
                "update marssep"
            )
        vector = np.array(data["vector"], np.float32)
        keep, drop = (_rows(data.get(name)) for name in ("keep", "drop"))
        for found in (vector, *(() if keep is None else keep), *(() if drop is None else drop)):
            if found.shape != (int(data["dim"]),):
                raise QueryError(f"{path} says {data['dim']} dimensions but holds {found.size}")
        return Query(unit_vector(vector), str(data["encoder"]), str(data["label"]), keep=keep, drop=drop)
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


def as_plain(query: Query) -> dict[str, Any]:
    """The content of a ``.query`` file; programs that know no ``keep`` and ``drop`` take the vector."""
    sounds = {"keep": query.keep, "drop": query.drop}
    return {
        "format": QUERY_FORMAT,
        "encoder": query.encoder,
        "dim": len(query.vector),
        "label": query.label,
        "vector": [float(x) for x in query.vector],
        **{name: rows.tolist() for name, rows in sounds.items() if rows is not None},
    }


def write_query(path: Path, query: Query) -> None:
    """Write a ``.query`` file atomically; raises MarssepError if that is not possible."""
    write_whole(path, json.dumps(as_plain(query)) + "\n")
