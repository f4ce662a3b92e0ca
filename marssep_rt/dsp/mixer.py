"""The mixer: target and dry signal, attenuation limit, mix and gain. Changes are ramped over one hop."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from marssep_rt.arrays import Array
from marssep_rt.contract import MIXER
from marssep_rt.errors import UsageError


@dataclass(frozen=True)
class Controls:
    """The mixer settings.

    Attributes:
        remove: Whether the output is the residual instead of the target.
        wet: Mix, from 0 (dry) to 1 (wet).
        limit_db: Attenuation limit in dB, 0..200; None is no limit.
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
        if self.limit_db is not None:
            _check("limit", self.limit_db, " dB", MIXER.limit_db_min, MIXER.limit_db_max)
        _check("gain", self.gain_db, " dB", MIXER.gain_db_min, MIXER.gain_db_max)

    def coefficients(self) -> tuple[float, float]:
        """(a, b) of y = a * target + b * dry: the signal formula, solved for its two inputs.

        y = gain (wet z + (1 - wet) dry) with z = target + leak (dry - target) and leak = 10^(-limit/20).
        ``remove`` swaps target and dry - target.
        """
        if self.bypass:
            return 0.0, 1.0
        leak = 0.0 if self.limit_db is None else 10 ** (-self.limit_db / 20)
        target, rest = (leak, 1.0) if self.remove else (1.0, leak)
        gain = 10 ** (self.gain_db / 20)
        # target and rest are the weights of t and of x' - t in z
        return gain * self.wet * (target - rest), gain * (self.wet * rest + 1.0 - self.wet)

    def with_changes(self, **changes: object) -> Controls:
        """A checked copy."""
        return replace(self, **changes)  # type: ignore[arg-type]


def _check(name: str, value: float, unit: str, low: float, high: float) -> None:
    """Raise UsageError for a value outside ``low``..``high``, or NaN."""
    if not low <= value <= high:
        raise UsageError(f"{name} is {value:g}{unit}; it must lie between {low:g} and {high:g}")


class Mixer:
    """Applies controls hop by hop into a preallocated array."""

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
        """out = a * target + b * dry, arrays [rows, hop]; dry may have one row for all."""
        a, b = self.now
        if self.now == self.wanted:
            np.multiply(target, np.float32(a), out=out)
            np.multiply(dry, np.float32(b), out=self.spare)
        else:
            np.multiply(target, np.float32(a) + np.float32(self.wanted[0] - a) * self.ramp, out=out)
            np.multiply(dry, np.float32(b) + np.float32(self.wanted[1] - b) * self.ramp, out=self.spare)
            self.now = self.wanted
        out += self.spare
