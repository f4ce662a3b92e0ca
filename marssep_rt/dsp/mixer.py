"""The mixer: target and dry signal, attenuation limit, mix and gain. Changes are ramped over one hop."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

import numpy as np

from marssep_rt.arrays import Array
from marssep_rt.contract import MIXER
from marssep_rt.errors import ArgumentError, UsageError
from marssep_rt.utils.arguments import meant

STRENGTH_ALONE = "strength sets mix and limit; leave out wet and limit_db"


def strength_settings(percent: float) -> dict[str, float | None]:
    """Mix and attenuation limit of a strength: 0 % is the input, 50 % a limit of 15 dB, 100 % no limit.

    Args:
        percent: 0..100.

    Returns:
        ``wet`` and ``limit_db``.

    Raises:
        UsageError: The strength is out of range.
    """
    if not _between(percent, 0.0, 100.0):
        raise UsageError(f"strength is {percent!r}; it must lie between 0 and 100 percent")
    return {"wet": 1.0, "limit_db": None if percent == 100 else MIXER.strength_db * percent / 100}


def _between(value: object, least: float, most: float) -> bool:
    """Whether a value is a number in a range."""
    return isinstance(value, (int, float, np.integer, np.floating)) and least <= float(value) <= most


@dataclass(frozen=True)
class Controls:
    """The mixer settings.

    Attributes:
        remove: Whether the output is the residual instead of the target.
        wet: Mix, from 0 (dry) to 1 (wet).
        limit_db: Attenuation limit in dB, at least 0; 100 and more is no limit. None is one where the user
            has set none, which a query may limit (``limited``).
        gain_db: Output gain in dB, -60..40.
        bypass: Whether the output is the dry signal, whatever the other settings are.

    Raises:
        UsageError: A setting is out of range.
    """

    remove: bool = False
    wet: float = MIXER.wet_default
    limit_db: float | None = None
    gain_db: float = MIXER.gain_db_default
    bypass: bool = False

    def __post_init__(self) -> None:
        _check("wet", self.wet, "", MIXER.wet_min, MIXER.wet_max)
        if self.limit_db is not None and not _between(self.limit_db, MIXER.limit_db_min, math.inf):
            raise UsageError(
                f"limit is {_said(self.limit_db)} dB; it must be at least {MIXER.limit_db_min:g}, and from "
                f"{MIXER.no_limit_db:g} on there is no limit"
            )
        _check("gain", self.gain_db, " dB", MIXER.gain_db_min, MIXER.gain_db_max)

    def limited(self, limit_db: float | None) -> Controls:
        """With the attenuation limit of a query in dB, or None, where the user has set none."""
        return self if self.limit_db is not None else replace(self, limit_db=limit_db)

    @property
    def leak(self) -> float:
        """What the attenuation limit leaves of everything but the target, as a factor."""
        limit = MIXER.no_limit_db if self.limit_db is None else self.limit_db
        return 10 ** (-limit / 20) if limit < MIXER.no_limit_db else 0.0

    @property
    def strength(self) -> float:
        """The strength in percent that attenuates everything but the target as much as mix and limit do."""
        rest = self.wet * self.leak + 1.0 - self.wet
        return 100.0 if rest <= 0 else min(100.0, -2000 / MIXER.strength_db * math.log10(rest) + 0.0)

    def coefficients(self) -> tuple[float, float]:
        """(a, b) of y = a * target + b * dry: the signal formula, solved for its two inputs.

        y = gain (wet z + (1 - wet) dry) with z = target + leak (dry - target) and leak = 10^(-limit/20).
        ``remove`` swaps target and dry - target.
        """
        if self.bypass:
            return 0.0, 1.0
        target, rest = (self.leak, 1.0) if self.remove else (1.0, self.leak)
        gain = 10 ** (self.gain_db / 20)
        # target and rest are the weights of t and of x' - t in z
        return gain * self.wet * (target - rest), gain * (self.wet * rest + 1.0 - self.wet)

    def with_changes(self, **changes: object) -> Controls:
        """A checked copy; ``strength`` in percent stands for mix and limit. Raises UsageError."""
        if "strength" in changes:
            if changes.keys() & {"wet", "limit_db"}:
                raise UsageError(STRENGTH_ALONE)
            changes = changes | strength_settings(changes["strength"])  # type: ignore[arg-type]
            del changes["strength"]
            if changes["limit_db"] is None:
                changes["limit_db"] = MIXER.no_limit_db  # a wish for no limit, which doubted words respect
        if unknown := changes.keys() - {f.name for f in fields(self)}:
            known, name = ["strength", *(f.name for f in fields(self))], min(unknown)
            raise ArgumentError(f"there is no setting {name}; {meant(name, known)}")
        return replace(self, **changes)  # type: ignore[arg-type]


def _check(name: str, value: float, unit: str, low: float, high: float) -> None:
    """Raise UsageError for what is no number in ``low``..``high``."""
    if not _between(value, low, high):
        raise UsageError(f"{name} is {_said(value)}{unit}; it must lie between {low:g} and {high:g}")


def _said(value: object) -> str:
    """A value in a message."""
    return f"{value:g}" if isinstance(value, (int, float, np.number)) else repr(value)


class Mixer:
    """Applies controls hop by hop into a preallocated array.

    Args:
        controls: The settings of the first hop.
        rows: Of the outputs.
        hop: The most samples of a hop.
    """

    def __init__(self, controls: Controls, rows: int, hop: int) -> None:
        self.now = controls.coefficients()
        self.wanted = self.now
        self.ramp: Array = np.linspace(0.0, 1.0, hop + 1, dtype=np.float32)[1:]
        self.spare: Array = np.zeros((rows, hop), np.float32)

    def set(self, controls: Controls) -> None:
        """Takes effect with the next hop."""
        self.wanted = controls.coefficients()

    def jump(self) -> None:
        """Skip the ramp: for the start of a stream."""
        self.now = self.wanted

    def run(self, target: Array, dry: Array, out: Array) -> None:
        """out = a * target + b * dry, arrays [rows, n <= hop]; dry may have one row for all."""
        a, b = self.now
        spare = self.spare[:, : target.shape[1]]
        if self.now == self.wanted:
            np.multiply(target, np.float32(a), out=out)
            np.multiply(dry, np.float32(b), out=spare)
        else:
            ramp = self.ramp[-target.shape[1] :]  # all of it, less a sample where rates do not divide
            np.multiply(target, np.float32(a) + np.float32(self.wanted[0] - a) * ramp, out=out)
            np.multiply(dry, np.float32(b) + np.float32(self.wanted[1] - b) * ramp, out=spare)
            self.now = self.wanted
        out += spare
