"""Measured latency: a chirp is played into a loopback (a cable, JACK), and the input is searched for it.

PortAudio's own figures understate; this measures. The engine's share is known to the sample and is added.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.signal import correlate

from marssep_rt.arrays import Array
from marssep_rt.errors import DeviceError, MarssepError
from marssep_rt.live.devices.audio_device import Device, open_stream, portaudio, reported_latency_ms

CHIRPS = 3
APART = 0.7  # seconds from one chirp to the next, and the longest delay that is found
LEVEL = 0.5
CLEAR = 0.5  # of a correlation of 1: below, what came back is not the chirp


@dataclass(frozen=True)
class Loop:
    """The result of a measurement.

    Attributes:
        rate: Sample rate in Hz.
        samples: Delay of every chirp from output callback to input callback, in samples.
        clearness: The worst of the correlations, 0..1.
        reported_ms: The driver's figure for input and output together.
    """

    rate: int
    samples: tuple[int, ...]
    clearness: float
    reported_ms: float

    @property
    def measured_ms(self) -> float:
        return float(np.median(self.samples)) / self.rate * 1e3


def chirp(rate: int, seconds: float = 0.08) -> Array:
    """A tone that rises exponentially from 400 Hz to 8 kHz (or a third of the rate) with soft ends."""
    t = np.arange(round(seconds * rate)) / rate
    low, high = 400.0, min(8000.0, rate / 3)
    growth = np.log(high / low)
    phase = 2 * np.pi * low * seconds / growth * (np.exp(t / seconds * growth) - 1)
    return (LEVEL * np.sin(phase) * np.hanning(len(t))).astype(np.float32)


def find(sent: Array, heard: Array) -> tuple[int, float]:
    """(delay in samples, correlation coefficient there 0..1) of ``sent`` in ``heard``, both [n]."""
    if len(heard) < len(sent) or not np.any(heard):
        return 0, 0.0
    match = np.abs(correlate(heard.astype(np.float64), sent.astype(np.float64), "valid", "fft"))
    energy = np.concatenate([[0.0], np.cumsum(np.square(heard, dtype=np.float64))])
    local = np.sqrt(
        np.maximum(energy[len(sent) :] - energy[: -len(sent)], 1e-12)
        * np.sum(np.square(sent, dtype=np.float64))
    )
    score = np.where(local > 1e-6, match / local, 0.0)
    # among places that fit as well the loudest: an echo is quieter than what it is an echo of
    best = int(np.argmax(match * (score > 0.8 * score.max())))
    return best, float(score[best])


def measure(source: Device, sink: Device, rate: int, channels: tuple[int, int], blocksize: int) -> Loop:
    """Play chirps and measure how late they return.

    Args:
        source: The input device.
        sink: The output device.
        rate: Sample rate in Hz.
        channels: Input and output channels.
        blocksize: In samples; the period of a JACK server.

    Raises:
        DeviceError: The devices cannot be opened.
        MarssepError: The chirps did not return.
    """
    sd = portaudio()
    sent = chirp(rate)
    gap = round(APART * rate)
    tape = np.zeros((CHIRPS + 1) * gap, np.float32)
    for i in range(CHIRPS):
        tape[i * gap : i * gap + len(sent)] = sent
    heard: Array = np.zeros(len(tape), np.float32)
    at = 0

    def callback(indata: Any, outdata: Any, frames: int, when: Any, status: Any) -> None:
        nonlocal at
        n = min(frames, len(tape) - at)
        outdata.fill(0)
        outdata[:n] = tape[at : at + n, None]
        heard[at : at + n] = indata[:n, 0]
        at += n

    stream = open_stream(source, sink, rate, channels, blocksize, callback)
    try:
        with stream:
            reported = sum(reported_latency_ms(stream, source, blocksize))
            until = time.monotonic() + len(tape) / rate + 5
            while at < len(tape) and time.monotonic() < until:
                time.sleep(0.02)
    except sd.PortAudioError as e:
        raise DeviceError(f"cannot open {source.name} -> {sink.name}: {e}") from e
    if at < len(tape):
        raise MarssepError("the sound device stopped delivering before the measurement was done")
    found = [find(sent, heard[i * gap : (i + 1) * gap + len(sent)]) for i in range(CHIRPS)]
    clearness = min(score for _, score in found)
    if clearness < CLEAR:
        raise MarssepError(
            "the chirp did not come back; join the output to the input "
            "(a cable, JACK, a loudspeaker beside the microphone) and turn it up"
        )
    return Loop(rate, tuple(delay for delay, _ in found), clearness, reported)
