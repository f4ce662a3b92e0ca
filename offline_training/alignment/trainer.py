"""Progressive alignment of sound and sight with the text space (MARS-Sep eq. 7 to 9), stage by stage, resumable.

Stage 0 pre-trains the builtin towers against the labels' text vectors. Then, as in the paper, each stage starts from the best towers of
the one before, trains what its recipe names (heads and temperature) and replays earlier losses against forgetting:

1. audio-text: symmetric InfoNCE with paraphrases of the label, learned temperature;
2. audio-audio: InfoNCE between recordings of one label, triplets (hardest in the batch; a mixture must be further from its label and
   from another recording than the clean sound is), consistency of two views; plus stage 1;
3. audio-image: InfoNCE and triplets between recordings and photographs of one label, image-text; plus stages 1 and 2.

The text vectors never move: what they are called in is what the separator and ``.query`` files were made for.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from offline_training.alignment import losses
from offline_training.data.query_table import QueryTable
from offline_training.utils import checkpoint_io
from offline_training.utils.checkpoint_io import CheckpointError
from offline_training.utils.precision import half
from offline_training.utils.run import log_lines, parameter_groups, stop_signals


@dataclass(frozen=True)
class StageConfig:
    """``trains``: name prefixes of the parameters that move; ``weights``: of the loss terms; ``select``: figures whose sum on val
    decides which towers are handed on (none: the last); ``ema``: decay of the averaged weights that are handed on then, 0 for none."""

    number: int
    steps: int
    batch: int = 64
    lr: float = 1e-3
    weight_decay: float = 0.05
    warmup: int = 100
    trains: tuple[str, ...] = ("audio.head", "image.head", "log_scale")
    weights: dict[str, float] = field(default_factory=dict)
    select: tuple[str, ...] = ("audio_top1",)
    validate_every: int = 250
    ema: float = 0.0

    def __post_init__(self) -> None:
        unknown = set(self.weights) - set(TERMS)
        if unknown:
            raise ValueError(f"stage {self.number} weighs unknown losses: {', '.join(sorted(unknown))}; known are {', '.join(TERMS)}")


@dataclass(frozen=True)
class AlignmentConfig:
    """``margin`` on cosine distance; ``mixture_margin`` of the clean sound over its mixture; ``temperature`` to start from."""

    stages: tuple[StageConfig, ...]
    margin: float = 0.2
    mixture_margin: float = 0.15
    temperature: float = 0.07
    thin_label_power: float = 0.5
    seed: int = 1
    bf16: bool = True

    @classmethod
    def of(cls, recipe: dict[str, Any]) -> AlignmentConfig:
        """From a recipe's plain data; raises TypeError or ValueError for unknown settings."""
        plain = dict(recipe)
        stages = tuple(StageConfig(**checkpoint_io.with_tuples(stage)) for stage in plain.pop("stages", []))
        return cls(stages=stages, **plain)


class AudioViews(Protocol):
    """What an audio tower trains on: augmented inputs for clips, by number."""

    def clips(self, chosen: Sequence[int], rng: np.random.Generator) -> Tensor: ...

    def mixtures(self, chosen: Sequence[int], others: Sequence[int], rng: np.random.Generator) -> tuple[Tensor, Tensor]: ...

    def pairs(self, chosen: Sequence[int], rng: np.random.Generator) -> tuple[Tensor, Tensor]: ...


class ImageViews(Protocol):
    """What an image tower trains on: augmented inputs for photographs, by number."""

    def photos(self, chosen: Sequence[int], rng: np.random.Generator) -> Tensor: ...


class Towers(nn.Module):
    """An audio and an image tower and the learned temperature: each tower maps its inputs to unit vectors."""

    def __init__(self, audio: nn.Module, image: nn.Module | None, temperature: float = 0.07) -> None:
        super().__init__()
        self.audio, self.image = audio, image
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / temperature)))

    @property
    def scale(self) -> Tensor:
        """One over the temperature, at most 100 as in CLIP."""
        return self.log_scale.exp().clamp(max=100.0)


@dataclass
class Material:
    """Everything that the stages draw from. ``clips`` and ``photos``: label number -> numbers of training items; ``groups``: of clips."""

    table: QueryTable
    labels: list[str]
    clips: dict[int, list[int]]
    groups: dict[int, str]
    audio_views: AudioViews
    photos: dict[int, list[int]] = field(default_factory=dict)
    image_views: ImageViews | None = None

    def __post_init__(self) -> None:
        self.anchors = torch.from_numpy(np.stack([self.table.label_vector(label) for label in self.labels]))

    def phrase(self, label: int, rng: np.random.Generator) -> np.ndarray:
        """The vector of a random phrase of a label, the label itself half of the time."""
        vectors = self.table.vectors_of(self.labels[label])
        return vectors[0 if rng.random() < 0.5 else int(rng.integers(len(vectors)))]

    def draw_labels(self, from_: dict[int, list[int]], count: int, power: float, rng: np.random.Generator, distinct: bool) -> list[int]:
        """Labels drawn by (number of items) ** power; ``distinct``: each at most once, as many as there are."""
        labels = list(from_)
        weights = np.array([len(from_[label]) for label in labels], np.float64) ** power
        count = min(count, len(labels)) if distinct else count
        return [labels[i] for i in rng.choice(len(labels), count, replace=not distinct, p=weights / weights.sum())]

    def item(self, items: list[int], rng: np.random.Generator) -> int:
        return items[int(rng.integers(len(items)))]

    def another(self, label: int, clip: int, rng: np.random.Generator) -> int:
        """A clip of the label from another recording where there is one, else another clip, else the same."""
        others = [c for c in self.clips[label] if self.groups[c] != self.groups[clip]] or [c for c in self.clips[label] if c != clip]
        return self.item(others or [clip], rng)


TERMS = ("audio_labels", "image_labels", "audio_text", "audio_audio", "audio_triplet", "mixture_triplet", "consistency", "audio_image",
         "image_triplet", "image_text", "keep", "near")  # fmt: skip


class Losses:
    """The loss terms of one step; inputs and vectors that several terms share are made once."""

    def __init__(self, towers: Towers, material: Material, config: AlignmentConfig, stage: StageConfig, rng: np.random.Generator,
                 reference: nn.Module | None = None) -> None:  # fmt: skip
        self.reference = reference
        self.towers, self.material, self.config, self.stage, self.rng = towers, material, config, stage, rng
        self.dtype = half(wanted=config.bf16)
        power = config.thin_label_power
        weights = stage.weights
        self.near: list[Tensor] = []
        if weights.keys() - {"audio_labels", "image_labels", "image_text", "keep", "near"}:
            pool = material.clips
            if weights.keys() & {"audio_image", "image_triplet"}:
                pool = {label: clips for label, clips in pool.items() if label in material.photos}
            self.drawn = material.draw_labels(pool, stage.batch // 2, power, rng, distinct=True)
            self.chosen = [material.item(material.clips[label], rng) for label in self.drawn]
            self.labels = torch.tensor(self.drawn)
            self.a = self.audio(material.audio_views.clips(self.chosen, rng))
        if weights.keys() & {"audio_audio", "audio_triplet", "mixture_triplet"}:
            others = [material.another(label, clip, rng) for label, clip in zip(self.drawn, self.chosen, strict=True)]
            self.b = self.audio(material.audio_views.clips(others, rng))
        if weights.keys() & {"audio_image", "image_triplet", "image_text"}:
            if not hasattr(self, "drawn") or not weights.keys() & {"audio_image", "image_triplet"}:
                self.photo_labels = material.draw_labels(material.photos, stage.batch // 2, power, rng, distinct=True)
            else:
                self.photo_labels = self.drawn
            self.v = self.image([material.item(material.photos[label], rng) for label in self.photo_labels])

    def autocast(self) -> torch.autocast:
        return torch.autocast("cpu", dtype=self.dtype or torch.bfloat16, enabled=self.dtype is not None)

    def audio(self, x: Tensor) -> Tensor:
        with self.autocast():
            return self.towers.audio(x).float()

    def image(self, chosen: list[int]) -> Tensor:
        assert self.material.image_views is not None
        assert self.towers.image is not None
        with self.autocast():
            return self.towers.image(self.material.image_views.photos(chosen, self.rng)).float()

    def text(self, labels: list[int]) -> Tensor:
        return torch.from_numpy(np.stack([self.material.phrase(label, self.rng) for label in labels]))

    def audio_labels(self) -> Tensor:
        """Stage 0: every training label is a class, its text vector the class's weight."""
        m = self.material
        drawn = m.draw_labels(m.clips, self.stage.batch, self.config.thin_label_power, self.rng, distinct=False)
        vectors = self.audio(m.audio_views.clips([m.item(m.clips[label], self.rng) for label in drawn], self.rng))
        labels = torch.tensor(drawn)
        self.near.append(1 - (vectors * m.anchors[labels]).sum(1).mean())
        return losses.classes(vectors, labels, m.anchors, self.towers.scale)

    def image_labels(self) -> Tensor:
        m = self.material
        drawn = m.draw_labels(m.photos, self.stage.batch, self.config.thin_label_power, self.rng, distinct=False)
        vectors = self.image([m.item(m.photos[label], self.rng) for label in drawn])
        labels = torch.tensor(drawn)
        self.near.append(1 - (vectors * m.anchors[labels]).sum(1).mean())
        return losses.classes(vectors, labels, m.anchors, self.towers.scale)

    def audio_text(self) -> Tensor:
        """Eq. 7."""
        self.near.append(1 - (self.a * self.material.anchors[self.labels]).sum(1).mean())
        return losses.info_nce(self.a, self.text(self.drawn), self.labels, self.towers.scale)

    def audio_audio(self) -> Tensor:
        """Eq. 8, first term."""
        return losses.info_nce(self.a, self.b, self.labels, self.towers.scale)

    def audio_triplet(self) -> Tensor:
        """Eq. 8, second term: the hardest recording of another label in the batch."""
        negatives = losses.hardest(self.a, self.b, self.labels, self.labels)
        return losses.triplet(self.a, self.b, negatives, self.config.margin)

    def mixture_triplet(self) -> Tensor:
        """Eq. 8, second term: the clean sound must be nearer to its label, and to another recording of it, than its mixture is."""
        m = self.material
        interferers = [self.chosen[i] for i in np.roll(np.arange(len(self.chosen)), 1 + int(self.rng.integers(len(self.chosen) - 1)))]
        clean, mixed = (self.audio(x) for x in m.audio_views.mixtures(self.chosen, interferers, self.rng))
        to_label = losses.triplet(m.anchors[self.labels], clean, mixed, self.config.mixture_margin)
        return (to_label + losses.triplet(self.b, clean, mixed, self.config.mixture_margin)) / 2

    def consistency(self) -> Tensor:
        """Eq. 8, third term: two views of one clip."""
        return losses.consistency(self.a, self.audio(self.material.audio_views.clips(self.chosen, self.rng)))

    def audio_image(self) -> Tensor:
        """Eq. 9, first term."""
        return losses.info_nce(self.a, self.v, self.labels, self.towers.scale)

    def image_triplet(self) -> Tensor:
        """Eq. 9, second term."""
        return losses.triplet(self.a, self.v, losses.hardest(self.a, self.v, self.labels, self.labels), self.config.margin)

    def image_text(self) -> Tensor:
        labels = torch.tensor(self.photo_labels)
        self.near.append(1 - (self.v * self.material.anchors[labels]).sum(1).mean())
        return losses.info_nce(self.v, self.text(self.photo_labels), labels, self.towers.scale)

    def keep(self) -> Tensor:
        """What the audio tower heard in a plain recording when the run began, it shall hear in a rough one: sounds without a label too."""
        assert self.reference is not None
        m = self.material
        drawn = m.draw_labels(m.clips, self.stage.batch, self.config.thin_label_power, self.rng, distinct=False)
        plain, rough = m.audio_views.pairs([m.item(m.clips[label], self.rng) for label in drawn], self.rng)
        with torch.no_grad(), self.autocast():
            wanted = self.reference(plain).float()
        return 1 - (self.audio(rough) * wanted).sum(1).mean()

    def all(self) -> dict[str, Tensor]:
        """Every weighted term and their weighted sum as ``loss``."""
        terms = {name: getattr(self, name)() for name in TERMS if name in self.stage.weights and name != "near"}
        if "near" in self.stage.weights:
            terms["near"] = torch.stack(self.near).mean()
        terms["loss"] = torch.stack([self.stage.weights[name] * value for name, value in terms.items()]).sum()
        return terms


@torch.no_grad()
def follow(average: Towers, towers: Towers, decay: float) -> None:
    """average <- decay average + (1 - decay) towers, norm statistics included."""
    theirs = towers.state_dict()
    for name, value in average.state_dict().items():
        if value.is_floating_point():
            value.lerp_(theirs[name], 1 - decay)
        else:
            value.copy_(theirs[name])


def freeze(towers: Towers, trains: Sequence[str]) -> list[nn.Parameter]:
    """Only parameters named by ``trains`` move; norms of frozen parts keep their statistics. Returns what moves."""
    moving = []
    for name, parameter in towers.named_parameters():
        parameter.requires_grad_(any(name == t or name.startswith(t + ".") for t in trains))
        if parameter.requires_grad:
            moving.append(parameter)
    towers.train()
    for module in towers.modules():
        own = list(module.parameters(recurse=False))
        if own and not any(p.requires_grad for p in own):
            module.eval()
    if not moving:
        raise ValueError(f"nothing to train: no parameter is named {', '.join(trains)}")
    return moving


class Alignment:
    """A run in ``folder``: ``last.pt`` (everything), ``stage0.pt`` .. ``stage3.pt`` (the best towers of each stage), ``log.jsonl``."""

    def __init__(self, folder: Path, towers: Towers, material: Material, config: AlignmentConfig,
                 measure: Callable[[Towers], dict[str, float]], describe: dict[str, Any]) -> None:  # fmt: skip
        self.folder, self.towers, self.material, self.config, self.measure = folder, towers, material, config, measure
        self.describe = describe
        self.reference = copy.deepcopy(towers.audio).eval().requires_grad_(False)  # as the run begins
        self.done: list[int] = []  # stages that are finished
        self.step, self.best = 0, -math.inf
        self.optimiser_state: dict[str, Any] | None = None
        self.average: Towers | None = None
        self.average_weights: dict[str, Tensor] = {}
        if (folder / "last.pt").exists():
            content = load(folder / "last.pt")
            load_weights(towers, content)
            self.done, self.step, self.best = content["done"], content["step"], content["best"]
            self.optimiser_state = content["optimiser"]
            self.average_weights = content.get("average", content["weights"])

    def save(self, name: str, **more: Any) -> None:
        content = {"kind": "towers", "describe": json.dumps(self.describe), "weights": self.towers.state_dict(), **more}
        checkpoint_io.save(self.folder / name, content)

    def save_state(self, optimiser: torch.optim.Optimizer) -> None:
        """Everything that a resumed run needs, in the middle of a stage."""
        average = {} if self.average is None else {"average": self.average.state_dict()}
        self.save("last.pt", done=self.done, step=self.step, best=self.best, optimiser=optimiser.state_dict(), **average)

    def run(self, report: Callable[[dict[str, Any]], None] = lambda _: None) -> bool:
        """All stages to the end, or to SIGTERM/SIGINT (the state is saved first); returns whether it came to the end."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.stop = False

        def ask_to_stop() -> None:
            self.stop = True

        with stop_signals(ask_to_stop), log_lines(self.folder / "log.jsonl", report) as write:
            for stage in self.config.stages:
                if stage.number in self.done:
                    continue
                if not self.material.photos and stage.weights.keys() & {"audio_image", "image_triplet"}:
                    write({"stage": stage.number, "skipped": "there are no photographs"})
                    self.done.append(stage.number)
                    continue
                self.run_stage(stage, write)
                if self.stop:
                    return False
        return True

    def run_stage(self, stage: StageConfig, write: Callable[[dict[str, Any]], None]) -> None:
        if not self.material.photos:
            stage = StageConfig(**{**asdict(stage), "weights": {k: w for k, w in stage.weights.items() if not k.startswith("image")}})
        moving = freeze(self.towers, stage.trains)
        self.average = copy.deepcopy(self.towers).eval().requires_grad_(False) if stage.ema else None
        optimiser = torch.optim.AdamW(parameter_groups(moving, stage.weight_decay), lr=stage.lr)
        if self.optimiser_state is not None:
            optimiser.load_state_dict(self.optimiser_state)
            self.optimiser_state = None
            if self.average is not None:
                load_weights(self.average, {"weights": self.average_weights})
        else:
            self.step, self.best = 0, -math.inf
            self.check(stage, write)  # the towers as handed on are the first candidate
        sums: dict[str, float] = {}
        while self.step < stage.steps and not self.stop:
            rng = np.random.default_rng((self.config.seed, stage.number, self.step))
            torch.manual_seed(int(rng.integers(2**31)))
            rate = stage.lr * min(1.0, (self.step + 1) / stage.warmup) * 0.5 * (1 + math.cos(math.pi * self.step / stage.steps))
            for group in optimiser.param_groups:
                group["lr"] = rate
            terms = Losses(self.towers, self.material, self.config, stage, rng, self.reference).all()
            optimiser.zero_grad(set_to_none=True)
            terms["loss"].backward()
            if torch.isfinite(nn.utils.clip_grad_norm_(moving, 1.0)):  # one bad vector must not end a run
                optimiser.step()
            self.step += 1
            if self.average is not None:
                follow(self.average, self.towers, min(stage.ema, (1 + self.step) / (10 + self.step)))
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + value.item()
            if self.step % 50 == 0:
                write({"stage": stage.number, "step": self.step, "steps": stage.steps, **{k: round(v / 50, 4) for k, v in sums.items()}})
                sums = {}
            if self.step % stage.validate_every == 0 or self.step == stage.steps:
                self.check(stage, write)
                self.save_state(optimiser)
        if self.stop:
            self.save_state(optimiser)
            return
        load_weights(self.towers, load(self.folder / f"stage{stage.number}.pt"))
        self.done.append(stage.number)
        self.save("last.pt", done=self.done, step=0, best=-math.inf, optimiser=None)

    def check(self, stage: StageConfig, write: Callable[[dict[str, Any]], None]) -> None:
        """Measure on val; the best so far becomes the stage's checkpoint."""
        if self.average is not None:
            figures = self.measure(self.average)
        else:
            modes = {name: module.training for name, module in self.towers.named_modules()}
            self.towers.eval()
            figures = self.measure(self.towers)
            for name, module in self.towers.named_modules():
                module.training = modes[name]
        score = sum(figures[name] for name in stage.select if name in figures)
        write({"stage": stage.number, "step": self.step, "val": {k: round(v, 4) for k, v in figures.items()}, "score": round(score, 4)})
        if score > self.best or not stage.select:
            self.best = score
            best = self.towers if self.average is None else self.average
            self.save(f"stage{stage.number}.pt", stage=stage.number, step=self.step, val=figures, weights=best.state_dict())


def load(path: Path) -> dict[str, Any]:
    """A checkpoint of this module; raises CheckpointError when it is missing, damaged or something else."""
    content = checkpoint_io.read(path, f"there are no towers at {path}; train them with: marssep-train align -o FOLDER")
    if not isinstance(content, dict) or content.get("kind") != "towers":
        raise CheckpointError(f"{path} is not a checkpoint of marssep-train align")
    return content


def load_weights(towers: Towers, content: dict[str, Any]) -> None:
    """Weights of any precision into fp32 towers; raises CheckpointError where they do not fit."""
    checkpoint_io.load_weights(towers, content["weights"], "towers")
