"""Signals that the tests make themselves."""

from __future__ import annotations

import numpy as np

RATE = 48_000


def tone(hz: float, seconds: float, rate: int = RATE) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def mixture(samples: int, seed: int = 0) -> np.ndarray:
    """Bursts of noise over gliding tones, float32 [samples]."""
    rng = np.random.default_rng(seed)
    t = np.arange(samples) / RATE
    glide = 0.2 * np.sin(2 * np.pi * (300 + 500 * t) * t)
    bursts = rng.standard_normal(samples) * 0.2 * (np.sin(2 * np.pi * 4 * t) > 0.3)
    return (glide + bursts).astype(np.float32)
