"""How several sounds and negative queries are best put together: SI-SDR improvement of masks, waveforms and
vectors, side by side.

    python tests/benchmarks/several_queries.py CHECKPOINT --queries queries.npz --corpus cache/corpus [--count
        100]

Two at once: three sounds, two of them asked for. A, not B: two sounds, the other one named. Families: words
for several labels, by their own place and by the union of their members' masks. Queries are the table's own
places, so that only the combination differs.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from offline_training.data.corpus import Corpus
from offline_training.data.eval_mixtures import EvalConfig
from offline_training.data.query_table import QueryTable
from offline_training.evaluation.metrics import si_sdr
from offline_training.evaluation.questions import Sources, at_level, louder, pick
from offline_training.evaluation.suite import read_words
from offline_training.models import registry
from offline_training.models.streaming_state import Memory
from offline_training.utils.vectors import unit

NEGATIVE_WEIGHT = 0.5  # of the runtime without masks: q <- unit(1.5 q - 0.5 q_not)


class Masks:
    """Masks of one mixture by several queries, and what they let through."""

    def __init__(self, model: registry.MaskSeparator) -> None:
        self.model = model
        self.takes_other = model.config.unet.other

    @torch.no_grad()
    def of(self, mixture: Tensor, queries: np.ndarray, others: np.ndarray | None = None) -> Tensor:
        """[samples], [N, D] -> masks [N, T, bands]."""
        memory = Memory()
        audio = mixture.reshape(1, 1, -1).expand(len(queries), -1, -1)
        spectra = self.model.spectra(audio, memory)
        away = None if others is None or not self.takes_other else torch.from_numpy(others)
        return torch.sigmoid(self.model.logits(spectra, torch.from_numpy(queries), memory, away))

    @torch.no_grad()
    def through(self, mixture: Tensor, masks: Tensor) -> Tensor:
        """[samples], [N, T, bands] -> aligned audio [N, samples - latency]."""
        memory = Memory()
        spectra = self.model.spectra(mixture.reshape(1, 1, -1).expand(len(masks), -1, -1), memory)
        return self.model.apply_mask(spectra, masks, memory)[:, 0, self.model.latency :]


def united(masks: Tensor) -> dict[str, Tensor]:
    """Unions of masks [N, T, bands] -> [T, bands] by name."""
    return {
        "masks added, at most 1": masks.sum(0).clamp(max=1),
        "largest mask": masks.max(0).values,
        "1 - product of (1 - mask)": 1 - (1 - masks).prod(0),
    }


def two_at_once(sources: Sources, table: QueryTable, asked: Masks, count: int) -> list[dict[str, float]]:
    clips = {label: group for label, group in sources.clips.items() if label in table.vectors}
    labels, rng = list(clips), np.random.default_rng((sources.config.seed, 3))
    rows = []
    for _ in range(count):
        chosen = [labels[i] for i in rng.choice(len(labels), 3, replace=False)]
        parts = at_level(
            [louder(sources.audio(pick(clips[label], rng), rng), rng.uniform(-3, 3)) for label in chosen]
        )
        target, mixture = (
            torch.from_numpy(parts[0] + parts[1]),
            torch.from_numpy(np.sum(parts, axis=0, dtype=np.float32)),
        )
        queries = np.stack([table.label_vector(label) for label in chosen[:2]])
        masks = asked.of(mixture, np.concatenate([queries, unit(queries.mean(0))[None]]))
        found = {"mean of the vectors": masks[2], "first alone": masks[0]} | united(masks[:2])
        outputs = asked.through(mixture, torch.stack([*found.values(), masks[1]]))
        heard = dict(zip(found, outputs, strict=False))
        heard["targets added"] = heard["first alone"] + outputs[-1]
        residual = mixture[: len(outputs[0])] - heard["first alone"]
        residual = residual[: len(residual) // 480 * 480]
        second = asked.through(residual, asked.of(residual, queries[1:]))[0]
        heard["second from the first's residual"] = heard["first alone"][: len(second)] + second
        rows.append(gains(heard, target, mixture))
    return rows


def one_not_other(
    sources: Sources, table: QueryTable, asked: Masks, count: int, third: bool = False
) -> list[dict[str, float]]:
    """``third``: a sound that is not named plays as well."""
    clips = {label: group for label, group in sources.clips.items() if label in table.vectors}
    labels, rng = list(clips), np.random.default_rng((sources.config.seed, 4))
    rows = []
    for _ in range(count):
        chosen = [labels[i] for i in rng.choice(len(labels), 3, replace=False)]
        sounds = [louder(sources.audio(pick(clips[label], rng), rng), rng.uniform(-3, 3)) for label in chosen]
        parts = at_level(sounds if third else sounds[:2])
        target, mixture = (
            torch.from_numpy(parts[0]),
            torch.from_numpy(np.sum(parts, axis=0, dtype=np.float32)),
        )
        a, b = (table.label_vector(label) for label in chosen[:2])
        away = unit((1 + NEGATIVE_WEIGHT) * a - NEGATIVE_WEIGHT * b)
        zero = np.zeros_like(a)
        queries, others = np.stack([a, b, away, a, b]), np.stack([zero, zero, zero, b, a])
        keep, drop, vector, pushed, back = asked.of(mixture, queries, others)
        found = {
            "A alone": keep,
            "vector arithmetic": vector,
            "A (1 - B)": keep * (1 - drop),
            "A (1 - B / 2)": keep * (1 - drop / 2),
            "A sqrt(1 - B)": keep * (1 - drop).sqrt(),
            "A / (A + B)": keep * keep / (keep + drop + 1e-6),
            "sqrt A (1 - B)": (keep * (1 - drop)).sqrt(),
            "mean of A and 1 - B": (keep + 1 - drop) / 2,
        }
        if asked.takes_other:
            found |= {
                "other": pushed,
                "other (1 - B)": pushed * (1 - drop),
                "other sqrt(1 - B)": pushed * (1 - drop).sqrt(),
                "sqrt other (1 - B)": (pushed * (1 - drop)).sqrt(),
                "sqrt other (1 - B other A)": (pushed * (1 - back)).sqrt(),
                "mean of other and 1 - B": (pushed + 1 - drop) / 2,
                "other / (other + B other A)": pushed * pushed / (pushed + back + 1e-6),
            }
        outputs = asked.through(mixture, torch.stack(list(found.values())))
        rows.append(gains(dict(zip(found, outputs, strict=True)), target, mixture))
    return rows


def families(
    sources: Sources, table: QueryTable, asked: Masks, count: int, most: int = 8
) -> dict[str, list[dict[str, float]]]:
    """Words for 2 to ``most`` labels that the table places as families too."""
    clips = sources.clips
    result: dict[str, list[dict[str, float]]] = {}
    by_members = {frozenset(members): name for name, members in table.families.items()}
    for number, (word, names) in enumerate(read_words().items()):
        mine = [label for label in names if label in clips and label in table.vectors]
        rest = [label for label in clips if label not in names]
        family = by_members.get(frozenset(label for label in names if label in table.vectors))
        if not 2 <= len(mine) <= most or family is None:
            continue
        for turn in range(count):
            rng = np.random.default_rng((sources.config.seed, number, turn))
            several = 2 if turn % 3 == 2 else 1
            labels = [mine[int(i)] for i in rng.choice(len(mine), several, replace=False)]
            target = np.sum(
                [louder(sources.audio(pick(clips[x], rng), rng), rng.uniform(-3, 3)) for x in labels], axis=0
            )
            other = louder(sources.audio(pick(clips[pick(rest, rng)], rng), rng), rng.uniform(-5, 5))
            parts = at_level([target / np.float32(np.sqrt(np.mean(target**2))), other])
            wanted, mixture = torch.from_numpy(parts[0]), torch.from_numpy(parts[0] + parts[1])
            vectors = np.stack([table.label_vector(label) for label in mine])
            queries = np.concatenate([table.family_vectors[family][:1], unit(vectors.mean(0))[None], vectors])
            masks = asked.of(mixture, queries)
            found = {"place of the family": masks[0], "mean of the labels": masks[1]} | united(masks[2:])
            found["union with the family's"] = united(masks[[0, *range(2, len(masks))]])["largest mask"]
            outputs = asked.through(mixture, torch.stack(list(found.values())))
            result.setdefault(word, []).append(gains(dict(zip(found, outputs, strict=True)), wanted, mixture))
    return result


def gains(heard: dict[str, Tensor], target: Tensor, mixture: Tensor) -> dict[str, float]:
    """SI-SDR improvement of every output in dB."""
    result = {}
    for name, output in heard.items():
        n = len(output)
        result[name] = float(si_sdr(output, target[:n]) - si_sdr(mixture[:n], target[:n]))
    return result


def show(title: str, rows: list[dict[str, float]]) -> None:
    """Mean, median and share made worse of every way."""
    print(f"{title}, {len(rows)} mixtures")
    for name in rows[0]:
        x = np.array([row[name] for row in rows])
        print(
            f"  {name:34} mean {x.mean():6.2f}  median {np.median(x):6.2f}  made worse {(x < 0).mean():5.1%}",
            flush=True,
        )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("checkpoint", type=Path)
    options.add_argument("--queries", type=Path, required=True)
    options.add_argument("--corpus", type=Path, required=True)
    options.add_argument("--split", default="val")
    options.add_argument("--count", type=int, default=100)
    options.add_argument("--only", choices=("two", "not", "third", "families"))
    given = options.parse_args()
    torch.set_num_threads(1)
    model, _ = registry.load_separator(given.checkpoint)
    assert isinstance(model, registry.MaskSeparator)
    sources = Sources(Corpus(given.corpus), replace(EvalConfig(), split=given.split, mixtures=given.count))
    table, asked = QueryTable.load(given.queries), Masks(model)
    sets: dict[str, tuple[str, Callable[..., list[dict[str, float]]]]] = {
        "two": ("two at once", two_at_once),
        "not": ("A, not B", one_not_other),
        "third": ("A, not B, beside C", partial(one_not_other, third=True)),
    }
    for key, (title, measure) in sets.items():
        if given.only in (None, key):
            show(title, measure(sources, table, asked, given.count))
    if given.only in (None, "families"):
        found = families(sources, table, asked, max(3, given.count // 20))
        for word, rows in found.items():
            show(word, rows)
        show("all families", [row for rows in found.values() for row in rows])


if __name__ == "__main__":
    main()
