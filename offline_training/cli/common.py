"""What the training commands share: options, progress, recipes, and errors as sentences."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from marssep_rt.cli import options as opt
from marssep_rt.errors import UsageError
from marssep_rt.utils.atomic_io import write_whole
from offline_training.utils.recipe_files import recipe_path, shipped

CorpusFolder = Annotated[Path, typer.Option("--corpus", help="Folder made by marssep-train corpus.", metavar="FOLDER")]
Photos = Annotated[Path | None, typer.Option("--photos", help="CSV of labelled photographs (path, label, split, group).", metavar="FILE")]
Queries = Annotated[Path, typer.Option("--queries", help="Query table of marssep-train embed (or text).", metavar="FILE.npz")]
EncoderName = Annotated[str, typer.Option("--encoder", help="builtin, clap+clip, pe-av, imagebind, or FILE.py:CLASS.")]
Weights = Annotated[
    str | None, typer.Option("--weights", help="builtin: towers of marssep-train align (else the bundle's); others: a name or folder.")
]
Heads = Annotated[Path | None, typer.Option("--heads", help="Aligned heads for a large encoder.", metavar="FILE.pt")]
TextFrom = Annotated[
    Path | None, typer.Option("--text", help="builtin: its text tower, a bundle or a folder of marssep-train text.", metavar="PATH")
]
Changed = Annotated[bool, typer.Option("--changed", help="Go on with an existing run although its recipe was another.")]
Device = Annotated[str, typer.Option("--device", help="cpu or cuda.")]


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
    except (CorpusError, CheckpointError, EncoderError, LexiconError, RunError) as e:
        raise UsageError(str(e)) from e


def bar() -> Progress:
    return Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=opt.console)


def read_recipe(name: Path, kind: str) -> dict[str, Any]:
    """A recipe by path or by the name of one that ships; raises UsageError when it is missing, no TOML, or has unknown sections."""
    path = recipe_path(name)
    if path is None:
        raise UsageError(f"there is no recipe {name}; give a file, or one of: {', '.join(shipped())}")
    try:
        recipe = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as e:
        raise UsageError(f"cannot read {path}: {e.strerror}") from e
    except tomllib.TOMLDecodeError as e:
        raise UsageError(f"{path} is not valid TOML: {e}") from e
    if recipe.pop("kind", kind) != kind:
        raise UsageError(f"{path} is not a recipe for marssep-train {kind}")
    return recipe


def read_table(path: Path) -> Any:
    """A query table; raises UsageError when it is missing or something else."""
    from offline_training.data.query_table import QueryTable

    try:
        return QueryTable.load(path)
    except (OSError, ValueError, KeyError) as e:
        raise UsageError(f"{path} is not a query table; make one with: marssep-train embed -o FILE.npz") from e


def photo_bank(manifest: Path | None, progress: Progress) -> Any:
    """The photographs of a manifest; None without one."""
    from offline_training.data.images import PhotoBank

    if manifest is None:
        return None
    task = progress.add_task("reading photographs", total=None)
    return PhotoBank(manifest, lambda done, total: progress.update(task, completed=done, total=total))


def stepwise(progress: Progress) -> Any:
    """A report function (what, done, total) that keeps one bar for each kind of work."""
    tasks: dict[str, Any] = {}

    def report(what: str, done: int, total: int) -> None:
        if what not in tasks:
            tasks[what] = progress.add_task(what, total=total)
        progress.update(tasks[what], completed=done, total=total)

    return report


def write_json(path: Path, figures: Any) -> None:
    """Figures as JSON, written beside and renamed."""
    write_whole(path, json.dumps(figures, indent=1, ensure_ascii=False) + "\n")


def check_device(device: str) -> None:
    """Raises UsageError for a device that is not here."""
    import torch

    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError("there is no CUDA device here; use --device cpu")
