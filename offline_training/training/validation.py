"""What a separator in training is measured by: fixed mixtures of val, queried in several ways."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import torch
from torch import Tensor

from offline_training.data.eval_mixtures import EvalConfig, Pair, draw_pairs, render
from offline_training.data.query_table import QueryTable, Vectors
from offline_training.data.training_data import TrainingData
from offline_training.evaluation.metrics import ratio_db, sdr, si_sdr
from offline_training.models.inference import separate
from offline_training.models.registry import Separator

Queries = Sequence[Vectors | None]


class Asking:
    """A batch of rendered validation mixtures that a model is asked about in several ways; a query of None is
    not asked.
    """

    def __init__(
        self, model: Separator, mixtures: Vectors, targets: Vectors, autocast: torch.dtype | None
    ) -> None:
        self.model, self.autocast = model, autocast
        self.device = next(model.parameters()).device
        self.mixture, self.target = (torch.from_numpy(x).to(self.device) for x in (mixtures, targets))

    def estimates(self, queries: Queries, others: Queries | None = None) -> tuple[list[int], Tensor]:
        """Rows that have a query, and what the model separates for them [rows, samples]."""
        rows = [i for i, q in enumerate(queries) if q is not None]
        asked, away = (
            None
            if x is None
            else torch.from_numpy(np.stack([v for v in (x[i] for i in rows) if v is not None])).to(
                self.device
            )
            for x in (queries, others)
        )
        assert asked is not None
        return rows, separate(self.model, self.mixture[rows], asked, self.autocast, away)

    def gains(self, queries: Queries, others: Queries | None = None) -> dict[int, tuple[float, float]]:
        """SI-SDRi and SDRi in dB of every row that has a query."""
        if all(q is None for q in queries):
            return {}
        rows, estimate = self.estimates(queries, others)
        mixture, target = self.mixture[rows, : estimate.shape[1]], self.target[rows, : estimate.shape[1]]
        gain = si_sdr(estimate, target) - si_sdr(mixture, target)
        plain = sdr(estimate, target) - sdr(mixture, target)
        return dict(zip(rows, zip(gain.tolist(), plain.tolist(), strict=True), strict=True))

    def levels(self, queries: Queries) -> list[float]:
        """Level of the output against the mixture in dB."""
        rows, estimate = self.estimates(queries)
        return ratio_db(
            estimate.square().sum(-1), self.mixture[rows, : estimate.shape[1]].square().sum(-1)
        ).tolist()  # type: ignore[no-any-return]


Figures = dict[str, float]
BATCH = 8


def kinds_of(table: QueryTable) -> list[str]:
    """The kinds of query by example that a table has."""
    known = (("audio", table.audio), ("image", table.image), ("omni", table.audio))
    return [kind for kind, there in known if there]


def group_figures(
    asking: Asking, table: QueryTable, pairs: Sequence[Pair], split: str, unseen: bool, takes_other: bool
) -> list[Figures]:
    """For every mixture of a batch the SI-SDRi in dB by each kind of query that it has, and the SDRi by text.

    Args:
        asking: The batch.
        table: What is queried with.
        pairs: Its mixtures.
        split: Whose images query.
        unseen: Whether three recordings query, too.
        takes_other: Whether the separator takes what to push away.
    """
    words: Queries = [table.label_vector(p.target.label) for p in pairs]
    found = {"text": asking.gains(words)}
    if takes_other:
        found["with_other"] = asking.gains(words, [table.label_vector(p.interferer.label) for p in pairs])
    for kind in kinds_of(table):
        queries = [table.held_out_query(p.target.label, kind, split, p.seed) for p in pairs]
        found[kind] = asking.gains(queries)
    if unseen:
        recordings = [table.recordings_query(p.target.label, 3, p.target.group, p.seed) for p in pairs]
        found["three_recordings"] = asking.gains(recordings)
    return [
        {name: gains[i][0] for name, gains in found.items() if i in gains} | {"sdri": found["text"][i][1]}
        for i in range(len(pairs))
    ]


def mean(rows: Sequence[Figures], name: str, where: str | None = None) -> float:
    """The mean of a figure over the rows that have it, or that have the figure ``where``."""
    return float(np.mean([row[name] for row in rows if (where or name) in row]))


def summed_up(seen: Sequence[Figures], new: Sequence[Figures], kinds: Sequence[str]) -> Figures:
    """The figures of a validation from those of its mixtures.

    Args:
        seen: Mixtures whose target training heard.
        new: Mixtures whose target it did not hear.
        kinds: Kinds of query by example.
    """
    gain = np.array([row["text"] for row in seen])
    figures = {
        "si_sdri": float(gain.mean()),
        "si_sdri_median": float(np.median(gain)),
        "sdri": mean(seen, "sdri"),
        "worse": float((gain < 0).mean()),
    }
    for name in (*kinds, "with_other"):
        if any(name in row for row in seen):
            figures[f"si_sdri_{name}"] = mean(seen, name)
    if any("image" in row for row in seen):
        figures["si_sdri_text_for_image"] = mean(seen, "text", where="image")
    for name in ("text", "with_other", "audio", "three_recordings"):
        if any(name in row for row in new):
            figures[f"unseen_{name}"] = mean(new, name)
    return figures


@torch.no_grad()
def validate(
    model: Separator,
    data: TrainingData,
    config: EvalConfig,
    autocast: torch.dtype | None,
    unseen: Collection[str] = (),
) -> dict[str, float]:
    """SI-SDRi and SDRi (mean, median) on the fixed validation mixtures, share made worse, level when the
    queried sound is absent.

    Where the table has recordings and images, also the SI-SDRi of queries by them and by all three, each
    beside that of text on the same mixtures (``text_for_image``); where the separator takes it, that of text
    with the true other sound to push away (``with_other``). ``unseen``: labels that training never heard,
    asked for in words and by three recordings.
    """
    corpus, table = data.corpus, data.table
    takes_other = getattr(model.unet, "other", None) is not None
    pairs = [
        p
        for p in draw_pairs(corpus, config, unseen)
        if {p.target.label, p.interferer.label, p.absent_label} <= table.index.keys()
    ]
    seen: list[Figures] = []
    new: list[Figures] = []
    absent_db: list[float] = []
    for first in range(0, len(pairs), BATCH):
        group = pairs[first : first + BATCH]
        mixtures, targets, _ = zip(*(render(corpus, pair, config) for pair in group), strict=True)
        asking = Asking(model, np.stack(mixtures), np.stack(targets), autocast)
        rows = group_figures(asking, table, group, config.split, bool(unseen), takes_other)
        for pair, row in zip(group, rows, strict=True):
            (new if pair.target.label in unseen else seen).append(row)
        absent_db += asking.levels([table.label_vector(p.absent_label) for p in group])
    return {**summed_up(seen, new, kinds_of(table)), "absent_db": float(np.mean(absent_db))}
