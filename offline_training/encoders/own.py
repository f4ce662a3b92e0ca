"""Encoders of one's own: a class in a Python file or in an installed module, by name."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType

from offline_training.encoders.base import Encoder, EncoderError


def open_own(name: str, weights: str | None = None, device: str = "cpu") -> Encoder:
    """The encoder ``FILE.py:CLASS`` or ``MODULE:CLASS``, made as ``CLASS(weights, device)``.

    Raises:
        EncoderError: There is no such file, module or class, or the class lacks a part of ``Encoder``.
    """
    where, _, kind = name.rpartition(":")
    found = getattr(_module(where), kind, None)
    if not isinstance(found, type):
        raise EncoderError(f"{where} has no class {kind!r}; name an encoder as FILE.py:CLASS or MODULE:CLASS")
    try:
        inspect.signature(found).bind(weights, device)
    except TypeError as e:
        raise EncoderError(f"the encoder {name} is not made from (weights, device): {e}") from e
    made = found(weights, device)
    lacking = [
        part
        for part in (*Encoder.__annotations__, "embed_text", "embed_audio", "embed_image")
        if not hasattr(made, part)
    ]
    if lacking:
        raise EncoderError(
            f"the encoder {name} lacks {', '.join(lacking)}; docs/encoders.md says what an encoder has"
        )
    return made  # type: ignore[no-any-return]


def _module(where: str) -> ModuleType:
    """A Python file, run as a module, or an installed module."""
    if not where.endswith(".py"):
        try:
            return importlib.import_module(where)
        except ModuleNotFoundError as e:
            raise EncoderError(f"the module {where} cannot be imported: {e}") from e
    path = Path(where)
    if not path.is_file():
        raise EncoderError(f"there is no file {path}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module
