"""Pictures of results: training curves, and spectrograms of a separation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import scipy.signal

Array = npt.NDArray[np.float32]


SUPERVISED = {"loss terms, dB": ("snr", "absent")}
PLOTTED = (
    "audio_top1",
    "audio_top5",
    "image_top1",
    "image_top5",
    "gap",
    "held_out_top1",
    "held_out_top5",
)
COMPARED = ("si_sdri", "similarity", "wins", "sir", "absent_db", "audio", "image")
REINFORCED = {
    "reward": ("reward", "cosine", "judge"),
    "spread within groups": ("reward_spread", "flat_groups"),
    "ratios": ("ratio_mean", "clip_low", "clip_high"),
    "policy": ("entropy", "kl", "reference_kl", "decided"),
    "SI-SDR of the training mixtures, dB": ("si_sdr_db",),
}


def training_curves(log: Path, output: Path) -> None:
    """What a run's ``log.jsonl`` says of training, smoothed, and its validation figures, as one PNG."""
    entries: list[dict[str, Any]] = [
        json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()
    ]
    steps = [e for e in entries if "loss" in e]
    vals = [e for e in entries if "val" in e]
    panels = REINFORCED if steps and "reward" in steps[0] else SUPERVISED
    rows = (len(panels) + 2) // 2
    figure, axes = plt.subplots(rows, 2, figsize=(11, 4 * rows), constrained_layout=True, squeeze=False)
    *plain, last = axes.flat[: len(panels) + 1]
    for axis in axes.flat[len(panels) + 1 :]:
        axis.set_axis_off()
    for axis, (title, names) in zip(plain, panels.items(), strict=True):
        for name in names:
            known = [(e["step"], e[name]) for e in steps if name in e]
            if known:
                x, series = (np.array(column, np.float64) for column in zip(*known, strict=True))
                width = min(25, max(1, len(series) // 4))
                axis.plot(x[width - 1 :], np.convolve(series, np.ones(width) / width, "valid"), label=name)
        axis.set(xlabel="step", title=title)
        axis.legend()
    for name in ("si_sdri", "si_sdri_median", "sdri", "si_sdri_audio", "si_sdri_image"):
        known = [(e["step"], e["val"][name]) for e in vals if name in e["val"]]
        if known:
            last.plot(*zip(*known, strict=True), marker=".", label=name)
    last.set(xlabel="step", title="validation, averaged weights, dB")
    if vals:
        last.legend()
    last.grid(alpha=0.3)
    figure.savefig(output, dpi=90)
    plt.close(figure)


def alignment_curves(log: Path, output: Path) -> None:
    """What the encoders know on val over all stages of an alignment's ``log.jsonl``, one panel a stage, as
    one PNG.
    """
    entries: list[dict[str, Any]] = [
        json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()
    ]
    stages = sorted({e["stage"] for e in entries if "val" in e})
    if not stages:
        return
    figure, axes = plt.subplots(
        1, len(stages), figsize=(3.2 * len(stages), 3.4), sharey=True, constrained_layout=True, squeeze=False
    )
    for axis, stage in zip(axes[0], stages, strict=True):
        vals = [e for e in entries if e["stage"] == stage and "val" in e]
        for name in PLOTTED:
            if name in vals[0]["val"]:
                axis.plot([e["step"] for e in vals], [e["val"][name] for e in vals], marker=".", label=name)
        axis.set(xlabel="step", title=f"stage {stage}", ylim=(0, 1))
        axis.grid(alpha=0.3)
    axes[0][0].legend(fontsize=8)
    figure.savefig(output, dpi=90)
    plt.close(figure)


def spectrograms(signals: dict[str, Array], rate: int, output: Path, top_hz: float = 12_000) -> None:
    """One spectrogram under another, same scale, as one PNG."""
    figure, axes = plt.subplots(
        len(signals), 1, figsize=(9, 2.0 * len(signals)), sharex=True, constrained_layout=True
    )
    reference = max(float(np.abs(x).max()) for x in signals.values()) + 1e-9
    for axis, (name, x) in zip(np.atleast_1d(axes), signals.items(), strict=True):
        hz, seconds, power = scipy.signal.spectrogram(x / reference, rate, nperseg=2048, noverlap=1536)
        keep = hz <= top_hz
        axis.pcolormesh(
            seconds,
            hz[keep] / 1e3,
            10 * np.log10(power[keep] + 1e-12),
            vmin=-105,
            vmax=-45,
            cmap="magma",
            shading="auto",
        )
        axis.set(ylabel="kHz", title=name)
    np.atleast_1d(axes)[-1].set(xlabel="seconds")
    figure.savefig(output, dpi=80)
    plt.close(figure)


def comparison(arms: Mapping[str, Mapping[str, Any]], control: str, output: Path) -> None:
    """An experiment's differences to its control with their intervals, one panel a column, as one PNG."""
    names = [c for c in COMPARED if any(c in arm["columns"] for arm in arms.values())]
    others = [name for name in arms if name != control]
    figure, axes = plt.subplots(
        1,
        len(names),
        figsize=(3.0 * len(names), 1.2 + 0.5 * len(others)),
        constrained_layout=True,
        squeeze=False,
    )
    for axis, column in zip(axes[0], names, strict=True):
        for i, name in enumerate(others):
            cell = arms[name]["columns"].get(column)
            if cell is not None:
                low, high = cell["minus_control_95"]
                axis.plot([low, high], [i, i], color="tab:blue")
                axis.plot(cell["minus_control"], i, "o", color="tab:blue")
        axis.axvline(0, color="grey", linewidth=0.8)
        axis.set(yticks=range(len(others)), ylim=(len(others) - 0.5, -0.5), title=f"{column} - {control}")
        axis.set_yticklabels(others if axis is axes[0][0] else [])
    figure.savefig(output, dpi=90)
    plt.close(figure)
