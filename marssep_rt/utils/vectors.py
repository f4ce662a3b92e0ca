"""Unit vectors."""

from __future__ import annotations

import numpy as np

from marssep_rt.arrays import Array
from marssep_rt.contract import QUERY
from marssep_rt.errors import QueryError

MIN_LENGTH = QUERY.min_vector_length


def unit_vector(vector: Array) -> Array:
    """Scale a vector to length one.

    Args:
        vector: float32 [D].

    Returns:
        The unit vector, float32 [D].

    Raises:
        QueryError: The vector is zero or not finite.
    """
    length = float(np.linalg.norm(vector))
    if not np.isfinite(length) or length < MIN_LENGTH:
        raise QueryError("the query's vector is zero or not finite; its parts may cancel each other out")
    return np.asarray(vector / length, dtype=np.float32)
