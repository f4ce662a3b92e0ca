"""Training the text encoder: taught phrases by contrast between places, other language by distance."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from marssep_rt.utils.atomic_io import write_whole
from offline_training.data.lexicon import WordNet, general_phrases, read_paraphrases
from offline_training.data.query_table import QueryTable
from offline_training.encoders.text_distillation import (
    Teacher,
    TextConfig,
    between,
    embed_places,
    place_of,
    prune_vocabulary,
    student_from_teacher,
    taught_phrases,
)
from offline_training.encoders.text_encoder import (
    Tokens,
    TorchTextEncoder,
    embed,
    load_text_encoder,
    save_text_encoder,
    weights_of,
)
from offline_training.utils import checkpoint_io
from offline_training.utils.checkpoint_io import CheckpointError
from offline_training.utils.journal import Advance, Write, open_journal, unwatched
from offline_training.utils.loop import Loop, Position, Rhythm
from offline_training.utils.optimisation import descend, set_rate
from offline_training.utils.precision import half
from offline_training.utils.recipe import as_json
from offline_training.utils.retrieval import retrieval
from offline_training.utils.run import RunOptions, check_folder, check_recipe
from offline_training.utils.schedules import trapezoid

LOG_EVERY = 100
WARMUP_STEPS = 100
DECAYING = 0.6  # share of the steps over which the rate falls to zero
LABEL_TIMES = 12  # how often a name itself stands among the taught phrases
GRADIENT_NORM = 1.0


@dataclass(frozen=True)
class Lessons:
    """What a text encoder is taught, and what it is measured on.

    Attributes:
        taught: Phrases of every name that has a place.
        anchors: The places [N, D], in the order of the names.
        tokenizer: Its word pieces, as plain data; ``kept``: their ids in the teacher's.
        ids: Word pieces of every taught phrase, and ``targets``, the numbers of their places.
        general_ids: Those of other language, and ``general_targets`` [M, D], where it lies.
        held_out: Taught phrases that only measure, with the numbers of their places.
    """

    taught: dict[str, list[str]]
    anchors: Tensor
    tokenizer: dict[str, Any]
    kept: list[int]
    ids: list[list[int]]
    targets: Tensor
    general_ids: list[list[int]]
    general_targets: Tensor
    held_out: list[tuple[str, int]]


def prepare_lessons(
    config: TextConfig,
    places: QueryTable,
    teacher: Teacher,
    wordnet: WordNet,
    rng: np.random.Generator,
    report: Write = unwatched,
) -> Lessons:
    """The lessons for a table of places; ``report``: gets entries of how far it is."""

    def progress(embedded: int) -> None:
        report({"stage": "teacher", "embedded": embedded})

    taught = taught_phrases(places, wordnet, rng)
    anchors = torch.from_numpy(np.stack([place_of(places, name) for name in taught]))
    general, explained = zip(*general_phrases(wordnet, rng, config.general_phrases), strict=True)
    often = [p for group in taught.values() for p in group for _ in range(5)]
    tokenizer, kept = prune_vocabulary(teacher, [*often, *general], config.vocabulary)
    tokens = Tokens(tokenizer)
    pairs = [(p, i) for i, name in enumerate(taught) for p in taught[name][1:]]
    held = set(rng.permutation(len(pairs))[: int(config.held_out * len(pairs))].tolist())
    train = [pairs[i] for i in range(len(pairs)) if i not in held]
    train += [(name, i) for i, name in enumerate(taught) for _ in range(LABEL_TIMES)]
    held_out = [pairs[i] for i in sorted(held)]
    report({"stage": "teacher", "phrases": len(general), "taught": len(train), "held_out": len(held_out)})
    targets = torch.tensor([i for _, i in train])
    known = teacher.embed([p for p, _ in train], progress=progress)
    meant = teacher.embed(list(explained), progress=progress)
    return Lessons(
        taught,
        anchors,
        tokenizer,
        kept,
        tokens.ids([p for p, _ in train]),
        targets,
        tokens.ids(list(general)),
        between(meant, known, anchors[targets], config),
        held_out,
    )


class TextBatch(NamedTuple):
    """Numbers of taught phrases and of phrases of other language."""

    taught: np.ndarray
    general: np.ndarray


class TextTraining:
    """A run in ``folder``, as the loop's task: ``last.pt`` (everything), ``log.jsonl``."""

    def __init__(
        self,
        folder: Path,
        config: TextConfig,
        lessons: Lessons,
        encoder: TorchTextEncoder,
        rng: np.random.Generator,
    ) -> None:
        self.folder, self.config, self.lessons, self.encoder, self.rng = folder, config, lessons, encoder, rng
        self.position = Position()
        self.tokens = Tokens(lessons.tokenizer)
        self.optimiser = torch.optim.AdamW(encoder.parameters(), lr=config.lr, weight_decay=0.01)

    def resume(self, content: Mapping[str, Any]) -> None:
        """Go on where ``last.pt`` stopped."""
        checkpoint_io.load_weights(self.encoder, weights_of(content), "text encoder")
        self.optimiser.load_state_dict(content["optimiser"])
        self.rng.bit_generator.state = json.loads(content["rng"])
        self.position = Position(content["step"], content["best"], content["stale"])

    def batches(self, first: int) -> Iterable[TextBatch]:
        """What the steps from ``first`` on train on."""
        count = int(self.config.batch * self.config.taught_share)
        for _ in range(first, self.config.steps):
            taught = self.rng.integers(0, len(self.lessons.ids), count)
            yield TextBatch(
                taught, self.rng.integers(0, len(self.lessons.general_ids), self.config.batch - count)
            )

    def train_step(self, batch: TextBatch) -> dict[str, float]:
        """One update."""
        config, lessons, step = self.config, self.lessons, self.position.step
        rate = trapezoid(step, config.steps, WARMUP_STEPS, DECAYING * config.steps)
        set_rate(self.optimiser, config.lr * rate)
        own = len(batch.taught)
        rows = [lessons.ids[i] for i in batch.taught] + [lessons.general_ids[i] for i in batch.general]
        ids, mask = self.tokens.pad(rows)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half() is not None):
            vectors = self.encoder(ids, mask)
        vectors = vectors.float()
        target = lessons.targets[batch.taught]
        named = nn.functional.cross_entropy(vectors[:own] @ lessons.anchors.T / config.temperature, target)
        near = 1 - (vectors[:own] * lessons.anchors[target]).sum(1).mean()
        placed = 1 - (vectors[own:] * lessons.general_targets[batch.general]).sum(1).mean()
        loss = named + config.cosine_weight * (near + 2 * placed)
        descend(self.optimiser, loss, list(self.encoder.parameters()), GRADIENT_NORM)
        self.position.step += 1
        return {"loss": loss.item(), "named": named.item(), "near": near.item(), "general": placed.item()}

    def log_entry(self, means: Mapping[str, float], rate: float) -> dict[str, Any]:
        """The log's entry of mean losses."""
        now = {"stage": "student", "step": self.position.step, "steps": self.config.steps}
        return {**now, "steps_per_second": round(rate, 3), **{k: round(v, 4) for k, v in means.items()}}

    def validate(self) -> dict[str, float]:
        """How many held-out phrases are nearest to their own place; nothing where none are held out."""
        if not self.lessons.held_out:
            return {}
        self.encoder.eval()
        phrases, wanted = zip(*self.lessons.held_out, strict=True)
        vectors = embed(self.encoder, self.tokens, list(phrases))
        top1, top5 = retrieval(vectors, list(wanted), self.lessons.anchors)
        self.encoder.train()
        return {"held_out_top1": top1, "held_out_top5": top5}

    def score(self, figures: Mapping[str, float]) -> float:
        """Top-1."""
        return figures.get("held_out_top1", 0.0)

    def validation_entry(self, figures: Mapping[str, float]) -> dict[str, Any]:
        """The log's entry of a validation."""
        rounded = {k: round(v, 4) for k, v in figures.items()}
        return {"stage": "student", "step": self.position.step, "val": rounded}

    def save_best(self, figures: Mapping[str, float]) -> None:
        """Nothing: the last encoder ships, whose rate has come down to zero."""

    def save(self) -> None:
        """Write ``last.pt``."""
        content = {
            "kind": "text",
            "weights": self.encoder.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "rng": json.dumps(self.rng.bit_generator.state),
            "recipe": json.dumps(as_json(self.config)),
            **asdict(self.position),
        }
        checkpoint_io.save(self.folder / "last.pt", content)

    def run(self, report: Write = unwatched, advance: Advance = unwatched) -> bool:
        """Train to the end, or to SIGTERM/SIGINT (the state is saved first); whether it came to the end."""
        with open_journal(self.folder, report, advance) as journal:
            return Loop(self, Rhythm(self.config.steps, LOG_EVERY, LOG_EVERY)).run(journal)


class Begun(NamedTuple):
    """An encoder to begin with, and its word pieces as text."""

    encoder: TorchTextEncoder
    tokenizer: str


def read_begun(folder: Path) -> Begun:
    """The encoder in a folder of ``marssep train text``; raises CheckpointError where there is none."""
    try:
        tokenizer = (folder / "tokenizer.json").read_text(encoding="utf-8")
    except OSError as e:
        raise CheckpointError(
            f"there is no finished text encoder in {folder} to begin with; teach one with: "
            f"marssep train text -o {folder}"
        ) from e
    return Begun(load_text_encoder(folder), tokenizer)


def begin(config: TextConfig, lessons: Lessons, teacher: Teacher, begun: Begun | None) -> TorchTextEncoder:
    """The encoder that a run begins with: out of the teacher, or the one given.

    Raises:
        CheckpointError: Its word pieces are others.
    """
    encoder = student_from_teacher(teacher, lessons.kept, config.teacher_layers)
    if begun is not None:
        if begun.tokenizer != json.dumps(lessons.tokenizer):
            raise CheckpointError(
                "the encoder to begin with has other word pieces; teach a new one, without --start"
            )
        encoder.load_state_dict(begun.encoder.state_dict())
        encoder.train()
    return encoder


def last_of(options: RunOptions, config: TextConfig) -> Mapping[str, Any] | None:
    """The last checkpoint of a run; None for a new one.

    Raises:
        RunError: The run was begun with another recipe, or its folder cannot be written.
        CheckpointError: The checkpoint cannot be used.
    """
    check_folder(options.folder)
    path = options.folder / "last.pt"
    if not path.exists():
        return None
    content = checkpoint_io.read(path, f"there is no run in {options.folder}")
    if not isinstance(content, dict) or content.get("kind") != "text":
        raise CheckpointError(f"{path} is not a checkpoint of marssep train text")
    check_recipe(options.folder, json.loads(content["recipe"]), as_json(config), options.changed)
    return content


def prepare(
    config: TextConfig, places: QueryTable, wordnet: Path, options: RunOptions, report: Write = unwatched
) -> TextTraining:
    """A run that teaches a text encoder the ``places``, begun or to be gone on with.

    Args:
        config: The recipe.
        places: Where words lie, of ``marssep train space``.
        wordnet: Folder of WordNet's files.
        options: Where it is kept, and the folder of an encoder taught from the same lists to begin with.
        report: Gets entries of how far the teacher is.

    Raises:
        CheckpointError: A checkpoint cannot be used.
        LexiconError: WordNet or the teacher is missing.
        RunError: The run was begun with another recipe.
    """
    last = last_of(options, config)
    begun = None if options.start is None else read_begun(options.start)
    words = WordNet(wordnet)
    rng = np.random.default_rng(config.seed)
    torch.manual_seed(config.seed)
    teacher = Teacher()
    lessons = prepare_lessons(config, places, teacher, words, rng, report)
    run = TextTraining(options.folder, config, lessons, begin(config, lessons, teacher, begun), rng)
    if last is not None:
        run.resume(last)
    return run


def finish(run: TextTraining, places: QueryTable) -> dict[str, Any]:
    """Write what a finished run is for: weights, tokenizer, query table and figures.

    Returns:
        Top-1 and top-5 on the frozen paraphrases, of the encoder and of its teacher, and how near labels come
        to their places.
    """
    folder, encoder, lessons = run.folder, run.encoder.eval(), run.lessons
    write_whole(folder / "tokenizer.json", json.dumps(lessons.tokenizer))
    save_text_encoder(folder, encoder, places.encoder)
    labels = [label for label in places.phrases if label in lessons.taught]
    asked, wanted = zip(*((p, x) for p, x in read_paraphrases() if x in places.index), strict=True)
    targets = [labels.index(label) for label in wanted]
    label_places = torch.from_numpy(np.stack([place_of(places, label) for label in labels]))
    ours, teacher = embed(encoder, run.tokens, labels), Teacher()
    figures = {
        "student": retrieval(embed(encoder, run.tokens, list(asked)), targets, ours),
        "teacher": retrieval(teacher.embed(list(asked)), targets, teacher.embed(labels)),
        "paraphrases": len(asked),
        "labels": len(labels),
        "label_to_place_cosine": (ours * label_places).sum(1).min().item(),
    }
    table = embed_places(places, lessons.taught, lambda texts: embed(encoder, run.tokens, texts).numpy())
    table.save(folder / "queries.npz")
    write_whole(folder / "figures.json", json.dumps(figures, indent=1))
    return figures
