"""``marssep train``: the commands that train the text encoder and the separator."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from marssep_rt.cli import options as opt
from marssep_rt.console import print_warnings
from marssep_rt.errors import UsageError
from offline_training.cli.common import (
    Changed,
    CorpusFolder,
    Device,
    Queries,
    Quick,
    Recipe,
    RunFolder,
    Steps,
    bar,
    check_device,
    chosen,
    read_data,
    read_recipe,
    read_table,
    sentences,
    stepwise,
    watch,
)


@opt.plain_errors
def text(
    output: Annotated[
        Path,
        typer.Option("-o", "--output", help="Folder for the encoder; a run is resumed.", metavar="FOLDER"),
    ],
    places: Annotated[
        Path, typer.Option("--places", help="Where words lie, by marssep train space.", metavar="FILE.npz")
    ] = Path("runs/space/places.npz"),
    start: Annotated[
        Path | None, typer.Option("--start", help="Go on with this folder's encoder.", metavar="FOLDER")
    ] = None,
    recipe: Recipe = Path("text"),
    wordnet: Annotated[Path, typer.Option("--wordnet", help="Folder of WordNet's files.")] = Path(
        "/usr/share/wordnet"
    ),
    steps: Steps = None,
    quick: Quick = False,
    changed: Changed = False,
) -> None:
    """Teach the text encoder where words sound; prints its top-1 and top-5 on the frozen paraphrases beside
    the teacher's. Ctrl-C saves; the same command goes on."""
    from offline_training.encoders.text_distillation import TextConfig
    from offline_training.encoders.text_training import finish, last_of, prepare
    from offline_training.evaluation.plots import alignment_curves
    from offline_training.utils.run import RunOptions

    settings = chosen(read_recipe(recipe, "text", TextConfig), steps, quick)
    with sentences(), bar() as progress:
        where = RunOptions(output, start=start, changed=changed)
        last_of(where, settings)  # refuse before anything is loaded
        table = read_table(places)
        report, advance = watch(progress, "training", lambda entry: "embedded" not in entry)
        run = prepare(settings, table, wordnet, where, report)
        done = run.run(report, advance)
        if (output / "log.jsonl").exists():
            alignment_curves(output / "log.jsonl", output / "curves.png")
        figures = finish(run, table) if done else None
    if figures is None:
        opt.console.print(f"stopped; the same command goes on ({output})", markup=False, soft_wrap=True)
    else:
        print(json.dumps(figures, indent=1))


@dataclass(kw_only=True)
class SuperviseOptions:
    """The options of ``marssep train supervise``."""

    output: RunFolder
    corpus: CorpusFolder = Path("cache/corpus")
    queries: Queries = Path("runs/queries.npz")
    recipe: Recipe = Path("1_base")
    start: Annotated[
        Path | None,
        typer.Option("--start", help="Begin with this checkpoint's weights.", metavar="CHECKPOINT"),
    ] = None
    device: Device = "cpu"
    steps: Steps = None
    quick: Quick = False
    changed: Changed = False


def supervise(options: SuperviseOptions) -> None:
    """Train the base policy by mix-and-separate. Ctrl-C saves; the same command goes on from there."""
    from offline_training.training.config import SuperviseRecipe
    from offline_training.training.prepared_run import prepare_run
    from offline_training.training.supervised import supervised_trainer
    from offline_training.utils.run import RunOptions

    check_device(options.device)
    recipe = chosen(read_recipe(options.recipe, "supervise", SuperviseRecipe), options.steps, options.quick)
    with sentences():
        run = RunOptions(options.output, options.device, options.start, options.changed)
        prepared = prepare_run(run, recipe)
        run_to_the_end(supervised_trainer(prepared, read_data(options.corpus, options.queries)))


@dataclass(kw_only=True)
class ReinforceOptions:
    """The options of ``marssep train reinforce``."""

    output: RunFolder
    start: Annotated[
        Path,
        typer.Option("--start", help="The supervised checkpoint to begin with.", metavar="CHECKPOINT"),
    ]
    corpus: CorpusFolder = Path("cache/corpus")
    queries: Queries = Path("runs/queries.npz")
    recipe: Recipe = Path("reinforce")
    encoders: Annotated[
        Path | None,
        typer.Option(
            "--encoders",
            help="What rewards: a checkpoint of align, or a bundle (else the built-in one).",
            metavar="PATH",
        ),
    ] = None
    judge: Annotated[
        Path | None,
        typer.Option("--judge", help="A judge of marssep train judge: the held-out reward in the log."),
    ] = None
    device: Device = "cpu"
    steps: Steps = None
    quick: Quick = False
    changed: Changed = False


def reinforce(options: ReinforceOptions) -> None:
    """Reinforce a trained policy: sampled masks are rewarded by what the result sounds like. Ctrl-C saves;
    the same command goes on."""
    from offline_training.reinforce.config import ReinforceRecipe
    from offline_training.reinforce.reinforcement import reinforced_trainer
    from offline_training.reinforce.setup import RewardSources, open_ears, prepare_hearing
    from offline_training.training.prepared_run import prepare_run
    from offline_training.utils.run import RunOptions

    check_device(options.device)
    recipe = chosen(read_recipe(options.recipe, "reinforce", ReinforceRecipe), options.steps, options.quick)
    with sentences():
        run = RunOptions(options.output, options.device, options.start, options.changed)
        prepared = prepare_run(run, recipe)
        ears = open_ears(RewardSources(options.encoders, options.judge), options.device)
        data = read_data(options.corpus, options.queries)
        prepared.check(data)  # before the anchor is fitted, which takes a while
        with bar() as progress:
            report = stepwise(progress)
            hearing = prepare_hearing(
                prepared, data.table, ears, lambda done, total: report("fitting the anchor", done, total)
            )
        run_to_the_end(reinforced_trainer(prepared, data, hearing))


def run_to_the_end(trainer: Any) -> None:
    """A training with its progress shown and its curves drawn."""
    print_warnings(trainer.warnings)
    with bar() as progress:
        best = trainer.run(*watch(progress, "training"))
    curves(trainer.folder)
    if (trainer.folder / "best.pt").exists():
        opt.console.print(f"best SI-SDRi on val: {best:.2f} dB ({trainer.folder / 'best.pt'})")
    else:
        opt.console.print("stopped before the first validation; the same command goes on")


def curves(folder: Path) -> None:
    """``curves.png`` beside the log."""
    from offline_training.evaluation.plots import training_curves

    if (folder / "log.jsonl").exists():
        training_curves(folder / "log.jsonl", folder / "curves.png")


@opt.plain_errors
def average(
    checkpoints: Annotated[
        list[Path], typer.Argument(help="best.pt of runs with one start.", metavar="CHECKPOINT...")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The checkpoint to write.", metavar="FILE.pt")
    ],
    share: Annotated[
        list[float] | None,
        typer.Option(help="How much a checkpoint counts; one for each, in their order.", metavar="NUMBER"),
    ] = None,
) -> None:
    """One separator of a run and its start, or of several runs with one start: the mean of their weights."""
    from offline_training.utils import checkpoint_io

    if len(checkpoints) < 2:
        raise UsageError("name at least two checkpoints")
    shares = share or []
    if shares and len(shares) != len(checkpoints):
        raise UsageError(f"--share is given {len(shares)} times for {len(checkpoints)} checkpoints")
    if not all(0 < one < math.inf for one in shares):
        raise UsageError("a share is a number above 0")
    with sentences():
        checkpoint_io.save(output, checkpoint_io.mean(checkpoints, shares))


def register(app: typer.Typer) -> None:
    """Put the commands on ``marssep train``."""
    app.command(cls=opt.PlainCommand)(text)
    opt.command(app, SuperviseOptions)(supervise)
    opt.command(app, ReinforceOptions)(reinforce)
    app.command(cls=opt.PlainCommand)(average)
