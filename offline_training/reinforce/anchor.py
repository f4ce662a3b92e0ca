"""The anchor that a separation is rewarded by: target audio, label and image in one vector (MARS-Sep eq. 10
to 12).

Multimodal low-rank bilinear pooling: each modality is projected to a common rank and squashed, the
projections are multiplied, and the product is projected back, z = W (tanh(U_a a) * tanh(U_t t) * tanh(U_v v))
+ b, at unit length. A missing modality drops its factor. The weights are fitted contrastively on the training
split and frozen before any policy sees them: random ones would reward nonsense, ones that the policy trains
would reward whatever it does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from offline_training.alignment import losses
from offline_training.data.query_table import ROUGH, Examples, QueryTable
from offline_training.models.vectors import to_unit
from offline_training.utils import checkpoint_io
from offline_training.utils.checkpoint_io import CheckpointError
from offline_training.utils.optimisation import parameter_groups, set_rate
from offline_training.utils.run import RunError
from offline_training.utils.schedules import half_cosine

MODALITIES = ("audio", "text", "image")


def mean_anchor(parts: Mapping[str, Tensor], present: Mapping[str, Tensor] | None = None) -> Tensor:
    """The alternative without weights: the normalised mean of the unit vectors {modality: [B, D]} that are
    ``present`` ([B] bool).
    """
    return to_unit(
        torch.stack([x if present is None else x * present[k][:, None] for k, x in parts.items()]).sum(0)
    )


class Mlbp(nn.Module):
    """Unit vectors {modality: [B, D]} -> anchors [B, D] of unit length."""

    def __init__(self, dim: int, rank: int = 256) -> None:
        super().__init__()
        self.dim, self.rank = dim, rank
        self.into = nn.ModuleDict({name: nn.Linear(dim, rank) for name in MODALITIES})
        self.out = nn.Linear(rank, dim)
        for layer in self.into.values():
            assert isinstance(layer, nn.Linear)
            nn.init.normal_(
                layer.weight
            )  # a unit vector in, numbers of unit variance out: tanh bends but does not saturate
            nn.init.ones_(
                layer.bias
            )  # near one, so that the product is not tiny before there is anything to multiply

    def forward(self, parts: Mapping[str, Tensor], present: Mapping[str, Tensor] | None = None) -> Tensor:
        """``present``: which rows ([B] bool) have the modality; raises ValueError when there is no modality
        at all.
        """
        if not parts:
            raise ValueError("an anchor needs at least one of audio, text and image")
        product: Tensor | None = None
        for name, x in parts.items():
            factor = torch.tanh(self.into[name](x.float()))
            if present is not None:
                factor = torch.where(present[name][:, None], factor, torch.ones_like(factor))
            product = factor if product is None else product * factor
        assert product is not None
        return to_unit(self.out(product))


def draw(
    table: QueryTable, labels: list[str], rng: np.random.Generator
) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
    """For each label: a rough view of one training recording [B, D]; recording, words and image; and which
    of these are there.

    Every modality is left out a quarter of the time, never all of them: targets come without images, labels
    are rarely in doubt, and an anchor that leans on the recording alone would only say "as it was".
    """
    views = []
    rows: dict[str, list[np.ndarray]] = {name: [] for name in MODALITIES}
    there: dict[str, list[bool]] = {name: [] for name in MODALITIES}
    for label in labels:
        examples = table.audio[label]
        own = int(rng.choice(examples.of("train")))
        same = [i for i in examples.of(ROUGH) if examples.groups[i] == examples.groups[own]] or [own]
        views.append(examples.vectors[int(rng.choice(same))])
        images = table.image.get(label)
        shown = images.of("train") if images is not None else np.zeros(0, np.intp)
        found = {"audio": examples.vectors[own], "text": table.label_vector(label)}
        if images is not None and len(shown):
            found["image"] = images.vectors[int(rng.choice(shown))]
        kept = [name for name in found if rng.random() < 0.75] or ["text"]
        for name in MODALITIES:
            there[name].append(name in kept)
            rows[name].append(found.get(name, np.zeros(table.dim, np.float32)))
    return (
        torch.from_numpy(np.stack(views)),
        {k: torch.from_numpy(np.stack(v)) for k, v in rows.items()},
        {k: torch.tensor(v) for k, v in there.items()},
    )


def fit(
    table: QueryTable,
    rank: int = 256,
    steps: int = 1500,
    batch: int = 48,
    lr: float = 1e-3,
    seed: int = 0,
    report: Callable[[int, int], None] = lambda *_: None,
) -> tuple[Mlbp, dict[str, float]]:
    """An anchor fitted by InfoNCE between rough views of recordings and anchors of the same recordings,
    frozen, and how well it fits.

    The figure ``top1`` is of labels that win among all labels' anchors for held-out (validation) recordings;
    ``top1_mean`` the same for ``mean_anchor``. Raises RunError when the table has no recordings.
    """
    labels = [label for label, examples in table.audio.items() if len(examples.of("train"))]
    if len(labels) < 2:
        raise RunError("the anchor is fitted on recordings: make the query table with embed --corpus")
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = Mlbp(table.dim, rank)
    log_scale = nn.Parameter(torch.tensor(np.log(1 / 0.07), dtype=torch.float32))
    optimiser = torch.optim.AdamW(parameter_groups([*model.parameters(), log_scale], 0.05), lr=lr)
    for step in range(steps):
        set_rate(optimiser, lr * half_cosine(step, steps, 50))
        chosen = rng.choice(len(labels), min(batch, len(labels)), replace=False)
        views, parts, present = draw(table, [labels[i] for i in chosen], rng)
        loss = losses.info_nce(
            views, model(parts, present), torch.from_numpy(chosen), log_scale.exp().clamp(max=100.0)
        )
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        report(step + 1, steps)
    model.requires_grad_(False).eval()
    return model, {"loss": round(loss.item(), 4), **quality(model, table, labels)}


@torch.no_grad()
def quality(model: Mlbp, table: QueryTable, labels: list[str]) -> dict[str, float]:
    """Held-out recordings looked up among anchors of every label: one training recording, words, and a
    image where there is one.
    """
    rng = np.random.default_rng(1)
    parts: dict[str, list[np.ndarray]] = {name: [] for name in MODALITIES}
    there = []
    for label in labels:
        examples, images = table.audio[label], table.image.get(label)
        shown = images.of("train") if images is not None else np.zeros(0, np.intp)
        parts["audio"].append(examples.vectors[int(rng.choice(examples.of("train")))])
        parts["text"].append(table.label_vector(label))
        there.append(len(shown) > 0)
        parts["image"].append(
            images.vectors[shown[0]] if images is not None and len(shown) else np.zeros(table.dim, np.float32)
        )
    rows = {k: torch.from_numpy(np.stack(v)) for k, v in parts.items()}
    present = {
        "audio": torch.ones(len(labels), dtype=torch.bool),
        "text": torch.ones(len(labels), dtype=torch.bool),
        "image": torch.tensor(there),
    }
    asked, wanted = held_out(table.audio, labels)
    if not len(wanted):
        return {}
    found = {"top1": model(rows, present), "top1_mean": mean_anchor(rows, present)}
    return {
        name: round(float(((asked @ z.T).argmax(1) == wanted).float().mean()), 4) for name, z in found.items()
    }


def held_out(audio: Mapping[str, Examples], labels: list[str]) -> tuple[Tensor, Tensor]:
    """Vectors of validation recordings and the numbers of their labels."""
    rows = [
        (audio[label].vectors[i], n)
        for n, label in enumerate(labels)
        for i, split in enumerate(audio[label].splits)
        if split == "val"
    ]
    if not rows:
        return torch.zeros(0, 1), torch.zeros(0, dtype=torch.long)
    return torch.from_numpy(np.stack([v for v, _ in rows])), torch.tensor([n for _, n in rows])


def save(model: Mlbp, path: Path, encoder: str, figures: Mapping[str, Any]) -> None:
    """Written beside and renamed."""
    plain = {
        "kind": "anchor",
        "dim": model.dim,
        "rank": model.rank,
        "encoder": encoder,
        "figures": dict(figures),
    }
    checkpoint_io.save(path, {**plain, "weights": model.state_dict()})


def load(path: Path, encoder: str) -> Mlbp:
    """A fitted, frozen anchor; raises CheckpointError when it is none, or was fitted for another encoder
    (both are named).
    """
    content = checkpoint_io.read(path, f"there is no anchor at {path}")
    if not isinstance(content, dict) or content.get("kind") != "anchor":
        raise CheckpointError(f"{path} is not a fitted anchor")
    if content["encoder"] != encoder:
        raise CheckpointError(f"{path} was fitted for the encoder {content['encoder']}, not for {encoder}")
    model = Mlbp(content["dim"], content["rank"])
    checkpoint_io.load_weights(model, content["weights"], "anchor")
    return model.requires_grad_(False).eval()
