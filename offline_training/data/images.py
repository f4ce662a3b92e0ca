"""Labelled images in memory, and augmented views of them: what the builtin image encoder trains on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from marssep_rt.errors import ImageError
from marssep_rt.query.image_input import read_image
from offline_training.data.corpus import CorpusError, read_manifest

STORED = 96  # pixels a side


@dataclass(frozen=True)
class LabelledImage:
    path: str
    label: str
    split: str
    licence: str = ""
    attribution: str = ""


class ImageBank:
    """All images of a manifest (CSV: path, label, split, group), their middle squares as uint8 [N, 96,
    96, 3].
    """

    def __init__(self, manifest: Path, progress: Callable[[int, int], None] = lambda *_: None) -> None:
        from PIL import Image

        rows = read_manifest(manifest, groups_per_label=True)
        self.folder = manifest.parent
        self.images = [
            LabelledImage(r["path"], r["label"], r["split"], r.get("licence", ""), r.get("attribution", ""))
            for r in rows
        ]
        self.pixels: npt.NDArray[np.uint8] = np.zeros((len(rows), STORED, STORED, 3), np.uint8)
        for i, image in enumerate(self.images):
            try:
                rgb = read_image(self.folder / image.path, STORED)
            except ImageError as e:
                raise CorpusError(str(e)) from e
            side = min(rgb.shape[:2])
            top, left = (rgb.shape[0] - side) // 2, (rgb.shape[1] - side) // 2
            square = Image.fromarray(rgb[top : top + side, left : left + side])
            self.pixels[i] = np.asarray(square.resize((STORED, STORED), Image.Resampling.BICUBIC))
            progress(i + 1, len(rows))

    def by_label(self, *splits: str) -> dict[str, list[int]]:
        """Numbers of the splits' images, grouped by label, labels in alphabetical order."""
        groups: dict[str, list[int]] = defaultdict(list)
        for i, image in enumerate(self.images):
            if image.split in splits:
                groups[image.label].append(i)
        return dict(sorted(groups.items()))


class ImageBatches:
    """Batches of augmented views [B, 3, size, size] in 0..1: crop, mirror, brightness, contrast, saturation,
    patches cut out.
    """

    def __init__(self, bank: ImageBank, size: int = 64) -> None:
        self.bank, self.size = bank, size

    def images(self, chosen: Sequence[int], rng: np.random.Generator) -> Tensor:
        x = torch.from_numpy(self.bank.pixels[list(chosen)]).permute(0, 3, 1, 2).float() / 255
        n = len(x)
        scale = np.sqrt(rng.uniform(0.35, 1.0, n))
        stretch = np.exp(rng.uniform(-0.25, 0.25, n))
        sx, sy = (scale * stretch).clip(max=1.0), (scale / stretch).clip(max=1.0)
        flip = rng.choice([-1.0, 1.0], n)
        turn = rng.uniform(-0.2, 0.2, n) * (rng.random(n) < 0.4)
        dx, dy = (rng.uniform(-1, 1, n) * (1 - s) for s in (sx, sy))
        theta = np.stack(
            [
                np.stack([flip * sx * np.cos(turn), -sy * np.sin(turn), dx], 1),
                np.stack([flip * sx * np.sin(turn), sy * np.cos(turn), dy], 1),
            ],
            1,
        )
        grid = torch.nn.functional.affine_grid(
            torch.from_numpy(theta).float(), [n, 3, self.size, self.size], align_corners=False
        )
        x = torch.nn.functional.grid_sample(
            x, grid, mode="bilinear", padding_mode="reflection", align_corners=False
        )

        def each(low: float, high: float) -> Tensor:
            return torch.from_numpy(rng.uniform(low, high, n)).float()[:, None, None, None]

        x = x * each(0.6, 1.4)
        mean = x.mean((1, 2, 3), keepdim=True)
        x = mean + (x - mean) * each(0.6, 1.4)
        grey = x.mean(1, keepdim=True)
        x = grey + (x - grey) * each(0.0, 1.5)
        x = (x + torch.from_numpy(rng.uniform(-0.06, 0.06, (n, 3, 1, 1))).float()).clamp(0, 1)
        for row in x:
            if rng.random() < 0.4:
                side = int(rng.integers(self.size // 8, self.size // 2))
                top, left = rng.integers(0, self.size - side, 2)
                row[:, top : top + side, left : left + side] = float(rng.random())
        return x
