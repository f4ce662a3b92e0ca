"""A synthesised mixture for the demo: bark-like bursts, a siren, a plucked string and rain-like noise."""

from __future__ import annotations

import numpy as np
import scipy.signal

from marssep_rt.arrays import Array


def bark(rate: int, rng: np.random.Generator) -> Array:
    """A quarter-second burst: a harmonic source that falls in pitch, with two formants and breath noise."""
    t = np.arange(int(0.24 * rate)) / rate
    pitch = rng.uniform(380, 460) * (1 + 0.5 * np.sin(np.pi * t / 0.24)) * np.exp(-1.2 * t)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    source = np.sum([np.sin(h * phase) / h**0.7 for h in range(1, 16)], axis=0) + 0.5 * rng.standard_normal(
        len(t)
    )
    shaped = sum(
        (
            g * scipy.signal.lfilter(*scipy.signal.iirpeak(f, 2.5, fs=rate), source)
            for f, g in ((780, 1.0), (1500, 0.8), (2900, 0.3))
        ),
        start=np.zeros_like(t),
    )
    envelope = np.minimum(1, t / 0.012) * np.exp(-12 * np.maximum(0, t - 0.05))
    return (shaped * envelope / np.abs(shaped).max()).astype(np.float32)


def pluck(rate: int, hz: float, seconds: float, rng: np.random.Generator) -> Array:
    """Karplus and Strong's string (1983)."""
    period = round(rate / hz)
    excitation = np.zeros(int(seconds * rate))
    excitation[:period] = rng.uniform(-1, 1, period)
    feedback = np.zeros(period + 2)
    feedback[0], feedback[period], feedback[period + 1] = 1.0, -0.498, -0.498
    return (0.8 * scipy.signal.lfilter([1.0], feedback, excitation)).astype(np.float32)


def demo_parts(seconds: float, rate: int = 48_000, seed: int = 7) -> dict[str, Array]:
    """The demo's sources by what one would ask for, float32 [samples] each."""
    rng = np.random.default_rng(seed)
    n = int(seconds * rate)
    t = np.arange(n) / rate
    dog, guitar = np.zeros(n, np.float32), np.zeros(n, np.float32)
    at = 0.6
    while at < seconds - 0.3:
        for _ in range(int(rng.integers(1, 4))):
            burst = bark(rate, rng)
            first = int(at * rate)
            dog[first : first + len(burst)] += burst[: max(0, n - first)]
            at += rng.uniform(0.32, 0.5)
        at += rng.uniform(0.5, 1.2)
    for i, start in enumerate(np.arange(0.0, seconds, 0.5)):
        note = pluck(rate, 110.0 * 2 ** ((0, 7, 12, 16, 19, 16, 12, 7)[i % 8] / 12), 1.5, rng)
        first = int(start * rate)
        guitar[first : first + len(note)] += note[: max(0, n - first)]
    sweep = 900 + 350 * np.sin(2 * np.pi * 0.35 * t)
    phase = 2 * np.pi * np.cumsum(sweep) / rate
    wail = np.sin(phase) + 0.4 * np.sin(2 * phase) + 0.25 * np.sin(3 * phase)
    noise = scipy.signal.lfilter([1.0, -0.6], [1.0, -0.2], rng.standard_normal(n))
    drops = scipy.signal.lfilter([1.0], [1.0, -0.9], (rng.random(n) < 0.002) * rng.standard_normal(n))
    rain = 0.05 * noise + 0.1 * drops
    return {
        "dog barking": 0.5 * dog,
        "siren": (0.09 * wail).astype(np.float32),
        "acoustic guitar": 0.22 * guitar,
        "rain": rain.astype(np.float32),
    }
