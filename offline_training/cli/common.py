"""What the training commands share: options, progress, recipes, and errors as sentences."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from marssep_rt.cli import options as opt
from marssep_rt.errors import UsageError
from marssep_rt.utils.atomic_io import write_whole
from offline_training.utils.recipe import RecipeError, read
from offline_training.utils.recipe_files import recipe_path, shipped
from offline_training.utils.run import RunError, check_folder

CorpusFolder = Annotated[
    Path, typer.Option("--corpus", help="Folder made by marssep train corpus.", metavar="FOLDER")
]
ImageManifest = Annotated[
    Path | None,
    typer.Option("--images", help="CSV of labelled images (path, label, split, group).", metavar="FILE"),
]
Queries = Annotated[
    Path, typer.Option("--queries", help="Query table of marssep train embed (or text).", metavar="FILE.npz")
]
EncoderName = Annotated[
    str, typer.Option("--encoder", help="builtin, clap+clip, pe-av, imagebind, or FILE.py:CLASS.")
]
Weights = Annotated[
    str | None,
    typer.Option(
        "--weights",
        help="builtin: encoders of marssep train align (else the bundle's); others: a name or folder.",
    ),
]
Heads = Annotated[
    Path | None, typer.Option("--heads", help="Aligned heads for a large encoder.", metavar="FILE.pt")
]
TextFrom = Annotated[
    Path | None,
    typer.Option(
        "--text",
        help="builtin: its text encoder, a bundle or a folder of train text.",
        metavar="PATH",
    ),
]
Changed = Annotated[
    bool,
    typer.Option("--allow-recipe-change", help="Go on with a run although its recipe was another."),
]
Recipe = Annotated[Path, typer.Option("--recipe", help="TOML file or shipped name.")]
RunFolder = Annotated[
    Path,
    typer.Option("-o", "--output", help="Run folder; an existing run is resumed.", metavar="FOLDER"),
]
Steps = Annotated[
    int | None,
    typer.Option("--steps", min=1, help="Train this many steps, with the schedule fitted.", metavar="N"),
]
Quick = Annotated[
    bool,
    typer.Option("--quick", help="A few steps and a small validation, to see whether everything runs."),
]
Split = Annotated[str, typer.Option("--split", help="val or test.")]
Device = Annotated[str, typer.Option("--device", help="cpu or cuda.")]


T = TypeVar("T")
S = TypeVar("S", bound="Trainable")


class Trainable(Protocol):
    """A recipe of a training."""

    def with_steps(self: S, steps: int) -> S: ...

    def quick(self: S) -> S: ...


@contextmanager
def sentences() -> Iterator[None]:
    """What our training code raises, as a sentence for users."""
    from offline_training.data.corpus import CorpusError
    from offline_training.data.lexicon import LexiconError
    from offline_training.encoders import EncoderError
    from offline_training.utils.checkpoint_io import CheckpointError
    from offline_training.utils.run import RunError

    try:
        yield
    except (CorpusError, CheckpointError, EncoderError, LexiconError, RecipeError, RunError) as e:
        raise UsageError(str(e)) from e


def bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=opt.console,
    )


def read_plain_recipe(name: Path, kind: str) -> dict[str, Any]:
    """A recipe's plain data, by path or by the name of one that ships.

    Raises:
        UsageError: It is missing, no TOML, or of another kind.
    """
    path = recipe_path(name)
    if path is None:
        raise UsageError(f"there is no recipe {name}; give a file, or one of: {', '.join(shipped())}")
    try:
        recipe = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as e:
        raise UsageError(f"cannot read {path}: {getattr(e, 'strerror', None) or 'it is no text'}") from e
    except tomllib.TOMLDecodeError as e:
        raise UsageError(f"{path} is not valid TOML: {e}") from e
    if recipe.pop("kind", kind) != kind:
        raise UsageError(f"{path} is not a recipe for marssep train {kind}")
    return recipe


def read_recipe(name: Path, kind: str, made: type[T]) -> T:
    """A recipe as an object of its class; raises UsageError where it cannot be read or a key is wrong."""
    plain = read_plain_recipe(name, kind)
    try:
        return read(made, plain)
    except RecipeError as e:
        raise UsageError(f"recipe {name}: {e}") from e


def chosen(recipe: S, steps: int | None, quick: bool) -> S:
    """A recipe with what ``--steps`` and ``--quick`` change."""
    if quick:
        recipe = recipe.quick()
    return recipe if steps is None else recipe.with_steps(steps)


def read_table(path: Path) -> Any:
    """A query table; raises UsageError when it is missing or something else."""
    from offline_training.data.query_table import QueryTable

    try:
        return QueryTable.load(path)
    except (OSError, ValueError, KeyError) as e:
        raise UsageError(
            f"{path} is not a query table; make one with: marssep train embed -o FILE.npz"
        ) from e


def read_data(corpus: Path, queries: Path) -> Any:
    """What a separator is trained on; raises CorpusError or UsageError where it is missing."""
    from offline_training.data.corpus import Corpus
    from offline_training.data.training_data import TrainingData

    table = read_table(queries)
    return TrainingData(Corpus(corpus), table)


def image_bank(manifest: Path | None, progress: Progress) -> Any:
    """The images of a manifest; None without one."""
    from offline_training.data.images import ImageBank

    if manifest is None:
        return None
    task = progress.add_task("reading images", total=None)
    return ImageBank(manifest, lambda done, total: progress.update(task, completed=done, total=total))


def stepwise(progress: Progress) -> Any:
    """A report function (what, done, total) that keeps one bar for each kind of work."""
    tasks: dict[str, Any] = {}

    def report(what: str, done: int, total: int) -> None:
        if what not in tasks:
            tasks[what] = progress.add_task(what, total=total)
        progress.update(tasks[what], completed=done, total=total)

    return report


def watch(progress: Progress, name: str, tell: Callable[[dict[str, Any]], bool] = lambda _: True) -> Any:
    """What shows a training: functions for entries of its log and for steps, from the first one on.

    Args:
        progress: Gets a bar.
        name: Of the training; a stage has its number instead.
        tell: Which entries are printed.
    """
    task = progress.add_task(name, total=None)
    shown = name

    def report(entry: dict[str, Any]) -> None:
        nonlocal shown
        if "stage" in entry:
            shown = f"stage {entry['stage']}"
        if tell(entry):
            progress.console.print(json.dumps(entry), markup=False, soft_wrap=True)

    def advance(step: int, steps: int, figures: dict[str, float]) -> None:
        said = f"{shown}, loss {figures['loss']:.3f}"
        progress.update(task, completed=step, total=steps, description=said)

    return report, advance


def write_text(path: Path, text: str | bytes) -> None:
    """A text, written beside and renamed; its folder is made."""
    make_folder_of(path)
    write_whole(path, text)


def check_output(path: Path) -> None:
    """Raises UsageError where a file cannot be written; nothing is made yet."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a file")
    try:
        check_folder(path.parent)
    except RunError as e:
        raise UsageError(str(e)) from e


def make_folder_of(path: Path) -> None:
    """Make the folder that a file is to be written into; raises UsageError where that is impossible."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise UsageError(f"cannot make the folder {path.parent}: {e.strerror}") from e


def write_json(path: Path, figures: Any) -> None:
    """Figures as JSON, written beside and renamed."""
    write_text(path, json.dumps(figures, indent=1, ensure_ascii=False) + "\n")


def check_split(split: str) -> None:
    """Raises UsageError for a split that nothing is measured on."""
    if split not in ("val", "test"):
        raise UsageError(f"split is {split!r}; choose val or test")


def check_device(device: str) -> None:
    """Raises UsageError for a device that is not here."""
    import torch

    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError("there is no CUDA device here; use --device cpu")
