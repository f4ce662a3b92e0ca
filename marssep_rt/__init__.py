"""marssep: say what you want to hear, and a live microphone, a file or a track gives you only that."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from marssep_rt.errors import MarssepError, UsageError
    from marssep_rt.one_shot import Separated, separate
    from marssep_rt.query.build import embed_audio, embed_image, embed_text
    from marssep_rt.separator import Separator

__all__ = [
    "MarssepError",
    "Separated",
    "Separator",
    "UsageError",
    "embed_audio",
    "embed_image",
    "embed_text",
    "separate",
]
__version__ = "0.1.0"

_HOME = {
    "MarssepError": "errors",
    "UsageError": "errors",
    "Separator": "separator",
    "Separated": "one_shot",
    "separate": "one_shot",
    "embed_audio": "query.build",
    "embed_image": "query.build",
    "embed_text": "query.build",
}


def __dir__() -> list[str]:
    """The public API."""
    return [*__all__, "__version__"]


def __getattr__(name: str) -> Any:
    """Loaded on first use: commands start, and answer Ctrl-C, before onnxruntime is imported."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
