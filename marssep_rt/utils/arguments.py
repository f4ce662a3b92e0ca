"""Arguments that a function of the public API does not have, as errors of the project."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import wraps
from typing import ParamSpec, TypeVar

from marssep_rt.errors import ArgumentError

P = ParamSpec("P")
R = TypeVar("R")


def named_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """The function, which raises ArgumentError for arguments that it does not have or needs.

    Calls that fit cost nothing more: the arguments are looked at after a TypeError.
    """
    signature = inspect.signature(function)
    name = function.__qualname__.removesuffix(".__init__")

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except ArgumentError:
            raise
        except TypeError:
            if (wrong := _wrong(name, signature, args, kwargs)) is None:
                raise
        raise ArgumentError(wrong)

    return call


def _wrong(
    name: str, signature: inspect.Signature, args: tuple[object, ...], kwargs: dict[str, object]
) -> str | None:
    """One sentence on arguments that do not fit, or None if they do."""
    try:
        signature.bind(*args, **kwargs)
        return None
    except TypeError as e:
        reason = str(e)
    known = [parameter for parameter in signature.parameters if parameter != "self"]
    unknown = [given for given in kwargs if given not in known]
    if not unknown:
        return f"{name}: {reason}"
    return f"{name} has no argument {unknown[0]}; {meant(unknown[0], known)}"


def meant(name: str, known: Sequence[str]) -> str:
    """What to say of a name that is not known: the nearest one, or all of them."""
    near = get_close_matches(name, known, 1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
