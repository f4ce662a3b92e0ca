"""Loading pretrained models through transformers: local files first, then the hub, and one clear sentence
where neither has them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from offline_training.encoders.base import EncoderError


def local_then_hub(load: Callable[..., Any], name: str) -> Any:
    """``load(name)`` from local files, or else from the hub; raises EncoderError with the way to get the
    weights.
    """
    try:
        return load(name, local_files_only=True)
    except (OSError, ValueError):  # not here: ask the hub
        pass
    try:
        return load(name)
    except Exception as e:  # hub clients raise many kinds without a network
        raise EncoderError(
            f"the weights {name} are neither on this machine nor to be had from the hub "
            f"({type(e).__name__}); "
            f"fetch them once with: hf download {name}, or name a folder that holds them"
        ) from e
