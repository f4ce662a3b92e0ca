"""``marssep train``: the commands that align encoders (align, judge)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress

from marssep_rt.cli import options as opt
from marssep_rt.errors import UsageError
from offline_training.cli.common import (
    Changed,
    CorpusFolder,
    Device,
    EncoderName,
    ImageManifest,
    Queries,
    Quick,
    Recipe,
    RunFolder,
    Steps,
    Weights,
    bar,
    chosen,
    image_bank,
    read_data,
    read_recipe,
    sentences,
    stepwise,
    watch,
)


@dataclass(kw_only=True)
class AlignOptions:
    """The options of ``marssep train align``."""

    output: RunFolder
    corpus: CorpusFolder = Path("cache/corpus")
    images: ImageManifest = None
    queries: Queries = Path("runs/text.npz")
    recipe: Recipe = Path("align")
    encoder: EncoderName = "builtin"
    weights: Weights = None
    start: Annotated[
        Path | None,
        typer.Option(
            "--start", help="builtin: begin with these encoders, a checkpoint or a bundle.", metavar="PATH"
        ),
    ] = None
    fold: Annotated[
        str | None,
        typer.Option(
            "--fold",
            help="builtin: leave out part I of N of clips and images (embed --cross-fitted).",
            metavar="I/N",
        ),
    ] = None
    trunk: Annotated[
        Path | None,
        typer.Option(
            "--trunk",
            help="builtin: a new image encoder on this trunk of marssep train trunk.",
            metavar="FILE.pt",
        ),
    ] = None
    device: Device = "cpu"
    steps: Steps = None
    quick: Quick = False
    changed: Changed = False


def align(options: AlignOptions) -> None:
    """Align sounds and images with the text space, stage by stage. Ctrl-C saves; the same command goes on
    from there.

    builtin: trains its encoders (stage 0) and aligns them; a large encoder stays as it is and gets heads.
    """
    from offline_training.alignment.config import AlignmentConfig
    from offline_training.alignment.trainer import Alignment, last_of
    from offline_training.utils.run import RunOptions

    recipe = chosen(read_recipe(options.recipe, "align", AlignmentConfig), options.steps, options.quick)
    if options.fold is not None:
        recipe = replace(recipe, fold=read_fold(options.fold))
    prepare = prepare_builtin
    if options.encoder != "builtin":
        prepare, recipe = prepare_heads, recipe.for_heads()
    where = RunOptions(options.output, options.device, options.start, options.changed)
    with sentences(), bar() as progress:
        last_of(where, recipe)  # refuse before anything is loaded
        run = Alignment(where, prepare(options, recipe, progress), recipe)
        finished = run.run(*watch(progress, "aligning"))
    close(finished, options.output)


def prepare_builtin(options: AlignOptions, recipe: Any, progress: Progress) -> Any:
    """The builtin encoders with what they train on."""
    from offline_training.alignment import data as alignment_data
    from offline_training.encoders.audio_image import EncoderShape
    from offline_training.encoders.builtin import build_encoders, open_encoders, with_trunk

    begun = None if options.start is None else open_encoders(options.start)
    data = read_data(options.corpus, options.queries)
    if options.trunk is not None:
        shape = EncoderShape(dim=data.table.dim)
        begun = with_trunk(begun or build_encoders(shape, shape), options.trunk)
    data = replace(data, bank=image_bank(options.images, progress))
    return alignment_data.builtin(data, recipe, begun, options.output, stepwise(progress))


def prepare_heads(options: AlignOptions, recipe: Any, progress: Progress) -> Any:
    """Heads on a large encoder with what they train on."""
    from offline_training.alignment import data as alignment_data
    from offline_training.encoders import open_encoder

    data = read_data(options.corpus, options.queries)
    loaded = open_encoder(options.encoder, options.weights, device=options.device)
    if loaded.id != data.table.encoder:
        raise UsageError(
            f"{options.queries} holds vectors of the encoder {data.table.encoder}, "
            f"not of {loaded.id}; make it with embed"
        )
    data = replace(data, bank=image_bank(options.images, progress))
    return alignment_data.heads(loaded, data, recipe, stepwise(progress))


def read_fold(plain: str) -> tuple[int, int]:
    """``I/N``, I counted from 1, as (I - 1, N)."""
    part, _, parts = plain.partition("/")
    if not (part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts) and int(parts) >= 2):
        raise UsageError(f"--fold is {plain!r}; give the part and the number of parts, such as 1/3")
    return int(part) - 1, int(parts)


def close(finished: bool, folder: Path) -> None:
    """Draw the curves of an alignment and say how it ended."""
    from offline_training.evaluation.plots import alignment_curves

    if (folder / "log.jsonl").exists():
        alignment_curves(folder / "log.jsonl", folder / "curves.png")
    said = "all stages are done" if finished else f"stopped; the same command goes on ({folder})"
    opt.console.print(said, markup=False, soft_wrap=True)


@opt.plain_errors
def judge(
    output: RunFolder,
    corpus: CorpusFolder = Path("cache/corpus"),
    queries: Queries = Path("runs/text.npz"),
    recipe: Recipe = Path("judge"),
    steps: Steps = None,
    quick: Quick = False,
    changed: Changed = False,
) -> None:
    """Train the independent judge that measures separations in meaning (evaluate --judge FOLDER/stage0.pt).
    Ctrl-C saves."""
    from offline_training.alignment.config import AlignmentConfig
    from offline_training.alignment.judge import prepare
    from offline_training.alignment.trainer import Alignment, last_of
    from offline_training.utils.run import RunOptions

    settings = chosen(read_recipe(recipe, "judge", AlignmentConfig), steps, quick)
    where = RunOptions(output, changed=changed)
    with sentences(), bar() as progress:
        last_of(where, settings)  # refuse before anything is loaded
        run = Alignment(where, prepare(read_data(corpus, queries), settings, stepwise(progress)), settings)
        finished = run.run(*watch(progress, "aligning"))
    close(finished, output)


def register(app: typer.Typer) -> None:
    """Put the commands on ``marssep train``."""
    opt.command(app, AlignOptions)(align)
    app.command(cls=opt.PlainCommand)(judge)
