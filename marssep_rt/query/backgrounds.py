"""Backgrounds that a query is tuned against: synthesised sounds, and recordings of a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.signal

from marssep_rt.arrays import Array
from marssep_rt.errors import QueryError, SoundError
from marssep_rt.query.audio_input import read_windows

RATE = 48_000
MOST_FILES = 200
Maker = Callable[[int, np.random.Generator], Array]


def noise(samples: int, rng: np.random.Generator) -> Array:
    """Noise of a random slope and band, with a slowly moving level: wind, rain, traffic, a fan."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    hz = np.maximum(np.fft.rfftfreq(samples, 1 / RATE), 20.0)
    centre, octaves = np.exp(rng.uniform(np.log(150), np.log(6000))), rng.uniform(0.7, 5)
    shape = hz ** -rng.uniform(0, 1) * np.exp(-0.5 * np.square(np.log2(hz / centre) / octaves))
    steady = np.fft.irfft(spectrum * shape, samples)
    points = max(2, samples * 2 // RATE + 1)
    level = np.interp(np.linspace(0, points - 1, samples), np.arange(points), rng.uniform(-9, 0, points))
    return np.asarray(steady * 10 ** (level / 20), np.float32)


def hum(samples: int, rng: np.random.Generator) -> Array:
    """Harmonics of a low fundamental that hardly moves: mains, an engine, a drone."""
    t = np.arange(samples) / RATE
    base = float(rng.choice([50.0, 60.0, rng.uniform(40, 220)]))
    phase = 2 * np.pi * base * (t + rng.uniform(0, 0.002) * np.sin(2 * np.pi * rng.uniform(0.2, 3) * t))
    gains = rng.uniform(0.2, 1, 24) / np.arange(1, 25) ** rng.uniform(0.3, 1.5)
    shifts = rng.uniform(0, 2 * np.pi, 24)
    parts = [g * np.sin(h * phase + s) for h, (g, s) in enumerate(zip(gains, shifts, strict=True), 1)]
    return np.asarray(np.sum(parts, axis=0), np.float32)


def syllables(samples: int, rng: np.random.Generator) -> Array:
    """One voice-like source: a gliding pitch, formants that change with every syllable, pauses, breath."""
    out = np.zeros(samples)
    at = int(rng.uniform(0, 0.2) * RATE)
    register = np.exp(rng.uniform(np.log(90), np.log(330)))
    while at < samples - RATE // 50:
        size = min(int(rng.uniform(0.08, 0.3) * RATE), samples - at)
        t = np.arange(size) / RATE
        pitch = register * rng.uniform(0.85, 1.2) * (1 + rng.uniform(-0.15, 0.15) * t / t[-1])
        source = scipy.signal.sawtooth(2 * np.pi * np.cumsum(pitch) / RATE) + 0.1 * rng.standard_normal(size)
        if rng.random() < 0.2:
            source = rng.standard_normal(size)  # a consonant
        formants = (rng.uniform(250, 900), rng.uniform(900, 2400), rng.uniform(2300, 3500))
        voiced = sum(
            gain * scipy.signal.lfilter(*scipy.signal.iirpeak(hz, 5, fs=RATE), source)
            for hz, gain in zip(formants, (1.0, 0.6, 0.3), strict=True)
        )
        out[at : at + size] += voiced * np.hanning(size) * rng.uniform(0.4, 1)
        at += size + int(rng.exponential(0.05) * RATE)
    return np.asarray(out, np.float32)


def babble(samples: int, rng: np.random.Generator) -> Array:
    """One to five voice-like sources at once."""
    voices = [syllables(samples, rng) * rng.uniform(0.3, 1) for _ in range(int(rng.integers(1, 6)))]
    return np.asarray(np.sum(voices, axis=0), np.float32)


def tones(samples: int, rng: np.random.Generator) -> Array:
    """Notes with harmonics on a scale, plucked or held, one after the other or as chords: music."""
    out = np.zeros(samples)
    root = np.exp(rng.uniform(np.log(80), np.log(700)))
    harmonics, slope = int(rng.integers(1, 14)), rng.uniform(0.5, 2)
    decay, apart = rng.uniform(0.5, 12), rng.uniform(0.1, 0.6)
    for start in np.arange(0, samples / RATE, apart):
        first = int(start * RATE)
        t = np.arange(min(samples - first, int(RATE * rng.uniform(1, 3) * apart))) / RATE
        for _ in range(1 if rng.random() < 0.6 else 3):
            hz = root * 2 ** (float(rng.choice([0, 2, 4, 5, 7, 9, 11, 12, 14, 16])) / 12)
            orders = [h for h in range(1, harmonics + 1) if h * hz < RATE / 2]
            wave = np.sum([np.sin(2 * np.pi * h * hz * t) / h**slope for h in orders], axis=0)
            out[first : first + len(t)] += wave * np.exp(-decay * t) * np.minimum(1, t / 0.01)
    return np.asarray(out, np.float32)


def knocks(samples: int, rng: np.random.Generator) -> Array:
    """Short strokes with a few resonances: keys, footsteps, drums, dishes."""
    out = np.zeros(samples)
    rate_hz, size = rng.uniform(1.5, 9), RATE // 4
    resonances = np.exp(rng.uniform(np.log(80), np.log(9000), 4))
    decays, gains = rng.uniform(15, 150, 4), rng.uniform(0.2, 1, 4)
    t = np.arange(size) / RATE
    at = int(rng.uniform(0, 0.3) * RATE)
    while at < samples:
        parts = zip(resonances * rng.uniform(0.95, 1.05, 4), decays, gains, strict=True)
        stroke = sum(g * np.sin(2 * np.pi * hz * t) * np.exp(-d * t) for hz, d, g in parts)
        stroke = (stroke + 0.5 * rng.standard_normal(size) * np.exp(-200 * t)) * rng.uniform(0.3, 1)
        out[at : at + size] += stroke[: samples - at]
        at += int(RATE / rate_hz * rng.uniform(0.7, 1.3))
    return np.asarray(out, np.float32)


def glides(samples: int, rng: np.random.Generator) -> Array:
    """A tone that moves up and down, whole or in short calls: sirens, whistles, birds."""
    t = np.arange(samples) / RATE
    centre, rate_hz = np.exp(rng.uniform(np.log(400), np.log(5000))), np.exp(rng.uniform(-1, 2.7))
    sweep = np.sin(2 * np.pi * rate_hz * t + rng.uniform(0, 6.3))
    phase = 2 * np.pi * np.cumsum(centre * 2 ** (rng.uniform(0.1, 0.8) * sweep)) / RATE
    wave = np.sin(phase) + rng.uniform(0, 0.5) * np.sin(2 * phase) + rng.uniform(0, 0.3) * np.sin(3 * phase)
    if rng.random() < 0.6:
        calls = np.clip(np.sin(2 * np.pi * rng.uniform(0.7, 5) * t + rng.uniform(0, 6.3)), 0, 1)
        wave = wave * calls
    return np.asarray(wave, np.float32)


MAKERS: tuple[Maker, ...] = (noise, hum, babble, tones, knocks, glides)


def synthesised(samples: int, rng: np.random.Generator) -> Array:
    """A background of a random kind.

    Args:
        samples: Its length at 48 kHz.
        rng: The source of randomness.

    Returns:
        float32 [samples] of any level.
    """
    return MAKERS[int(rng.integers(len(MAKERS)))](samples, rng)


def read_folder(folder: Path) -> list[list[Array]]:
    """The audio files of a folder and of the folders below it.

    Args:
        folder: The folder; of more than 200 files every n-th is taken.

    Returns:
        The windows of every file that can be read and is not silent, see ``read_windows``.

    Raises:
        QueryError: There is no such folder, or no file in it can be used.
    """
    if not folder.is_dir():
        raise QueryError(f"there is no folder {folder} with backgrounds")
    files = sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
    found = []
    for path in files[:: -(-len(files) // MOST_FILES) or 1]:
        try:
            found.append(read_windows(path))
        except SoundError:
            continue
    if not found:
        raise QueryError(f"{folder} has no audio file that can be used as a background")
    return found
