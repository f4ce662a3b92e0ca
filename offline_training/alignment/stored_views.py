"""Views of every clip as the lower part of the ear hears them, made once.

Training the layers above on them takes a tenth of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from marssep_rt.utils.atomic_io import written_beside
from offline_training.alignment.mel_views import MelViews
from offline_training.encoders.heads import Stored, VectorViews
from offline_training.encoders.yamnet import YamnetTrunk
from offline_training.utils.precision import half

BATCH = 16  # clips


class Maps:
    """Windows of one sound -> what the ear's lower layers make of them [windows, patches, 512, 3, 2]."""

    def __init__(self, trunk: YamnetTrunk, log_mels: Callable[[list[np.ndarray]], Tensor]) -> None:
        self.trunk, self.log_mels = trunk.eval(), log_mels

    @torch.no_grad()
    def __call__(self, pieces: list[np.ndarray]) -> Tensor:
        return self.trunk.lower(self.log_mels(pieces))


@torch.no_grad()
def store(
    path: Path,
    trunk: YamnetTrunk,
    views: MelViews,
    chosen: Sequence[int],
    count: int,
    report: Callable[[int, int], None] = lambda *_: None,
) -> VectorViews:
    """What ``trunk.lower`` makes of views and mixtures of clips; read from ``path`` if it is there.

    Args:
        path: ``.npy`` file to keep them in, float16 [clips, 2 * count, patches, 512, 3, 2]: 25 kB for a view
            of 2.4 s.
        trunk: Frozen up to the layers that will train.
        views: Where views come from.
        chosen: Numbers of the clips in the corpus; every one may be the interferer of another.
        count: How many views of each clip, and how many mixtures; at least one.
        report: Called with (done, total) clips.

    Returns:
        Views for the alignment's stages, by the clips' numbers.

    Raises:
        ValueError: ``path`` holds something else (other clips, another number of views).
    """
    if not path.exists():
        trunk = trunk.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        rng = np.random.default_rng(0)
        with written_beside(path) as beside:
            out: Stored | None = None
            for first in range(0, len(chosen), BATCH):
                part = chosen[first : first + BATCH]
                maps = _heard(trunk, views, part, chosen, count, rng)
                if out is None:
                    out = np.lib.format.open_memmap(beside, "w+", np.float16, (len(chosen), *maps.shape[1:]))
                out[first : first + len(part)] = maps
                report(first + len(part), len(chosen))
            assert isinstance(out, np.memmap)
            out.flush()
            del out
    stored = np.load(path, mmap_mode="r")
    if stored.shape[:2] != (len(chosen), 2 * count):
        raise ValueError(
            f"{path} holds {stored.shape[1]} views of {stored.shape[0]} clips, "
            f"not {2 * count} of {len(chosen)}; remove it"
        )
    rows = dict(zip(chosen, stored, strict=True))
    return VectorViews({i: v[:count] for i, v in rows.items()}, {i: v[count:] for i, v in rows.items()}, {})


def _heard(
    trunk: YamnetTrunk,
    views: MelViews,
    part: Sequence[int],
    all_: Sequence[int],
    count: int,
    rng: np.random.Generator,
) -> Stored:
    """Views and mixtures of clips, float16 [clips, 2 * count, ...]; the first view is plain."""
    shown: list[Tensor] = [views.pairs(part, rng)[0]]
    shown += [views.clips(part, rng) for _ in range(count - 1)]
    for _ in range(count):
        others = [all_[int(rng.integers(len(all_)))] for _ in part]
        shown.append(views.mixtures(part, others, rng)[1])
    precision = half()
    with torch.autocast("cpu", dtype=precision or torch.bfloat16, enabled=precision is not None):
        maps = trunk.lower(torch.cat(shown)).half()
    stacked = maps.reshape(len(shown), len(part), *maps.shape[1:]).transpose(0, 1)
    return np.asarray(stacked.numpy())
