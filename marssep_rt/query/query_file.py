"""``.query`` files: one embedded query as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

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
        if vector.shape != (int(data["dim"]),):
            raise QueryError(f"{path} says {data['dim']} dimensions but holds {vector.size}")
        return Query(unit_vector(vector), str(data["encoder"]), str(data["label"]))
    except OSError as e:
        raise QueryError(f"cannot read the query file {path}: {e.strerror}") from e
    except QueryError:
        raise
    except (ValueError, KeyError, TypeError) as e:
        raise QueryError(
            f"{path} is not a .query file; make one with: marssep-query --query TEXT -o NAME.query"
        ) from e


def as_plain(query: Query) -> dict[str, Any]:
    """The content of a ``.query`` file."""
    return {
        "format": QUERY_FORMAT,
        "encoder": query.encoder,
        "dim": len(query.vector),
        "label": query.label,
        "vector": [float(x) for x in query.vector],
    }


def write_query(path: Path, query: Query) -> None:
    """Write a ``.query`` file atomically; raises MarssepError if that is not possible."""
    write_whole(path, json.dumps(as_plain(query)) + "\n")
