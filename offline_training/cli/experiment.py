"""``marssep train experiment``: several ways to train, compared on the same mixtures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress

from marssep_rt.cli import options as opt
from marssep_rt.errors import UsageError
from offline_training.cli.common import (
    CorpusFolder,
    Device,
    ImageManifest,
    Queries,
    bar,
    check_device,
    image_bank,
    read_data,
    read_plain_recipe,
    read_recipe,
    read_table,
    sentences,
    watch,
)
from offline_training.utils.recipe import RecipeError, read

Rewards = dict[str, tuple[Path, Path]]  # name -> checkpoint of align, query table by it


@dataclass(kw_only=True)
class ExperimentOptions:
    """The options of ``marssep train experiment``."""

    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", help="Folder; what is there already is not made again.", metavar="FOLDER"
        ),
    ]
    start: Annotated[
        Path, typer.Option("--start", help="The checkpoint that all arms begin with.", metavar="CHECKPOINT")
    ]
    recipe: Annotated[Path, typer.Option("--recipe", help="TOML file or shipped name: ablation, sweep.")] = (
        Path("ablation")
    )
    reward: Annotated[
        list[str] | None,
        typer.Option(
            "--reward",
            help="A reward of the recipe: encoders of align, and a table by them.",
            metavar="NAME=PT,NPZ",
        ),
    ] = None
    bundle: Annotated[
        Path | None, typer.Option("--bundle", help="Whose encoders embed the queries of the measurement.")
    ] = None
    corpus: CorpusFolder = Path("cache/corpus")
    images: ImageManifest = None
    queries: Queries = Path("runs/queries.npz")
    judge: Annotated[Path | None, typer.Option("--judge", help="A judge of marssep train judge.")] = None
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only", help="This arm, or this run (ARM-SEED), and no other: several processes share the work."
        ),
    ] = None
    device: Device = "cpu"


def experiment(options: ExperimentOptions) -> None:
    """Train every arm of a recipe with every seed, compare all on the same mixtures. Ctrl-C saves; the same
    command goes on.
    """
    from offline_training.evaluation.experiment import Experiment, Plan
    from offline_training.evaluation.plots import comparison

    check_device(options.device)
    plan = read_recipe(options.recipe, "experiment", Plan)
    rewards = read_rewards(options.reward or [], {arm.reward for arm in plan.arms if arm.reward})
    with sentences(), bar() as progress:
        check_arms(plan, options)
        work = Work(options, plan, rewards, progress)
        made = Experiment(
            options.output,
            plan,
            options.start,
            lambda name, kind: read_plain_recipe(Path(name), kind),
            work.train,
            work.measure,
        )
        report = made.run(options.only or ())
    if report is None:
        left = ", ".join(made.missing())
        opt.console.print(
            f"not all is there yet ({left}); the same command goes on ({options.output})",
            markup=False,
            soft_wrap=True,
        )
        return
    comparison(report["arms"], plan.control, options.output / "report.png")
    print((options.output / "report.md").read_text(encoding="utf-8"))


def check_arms(plan: Any, options: ExperimentOptions) -> None:
    """Check what the trainings of an experiment begin with.

    Raises:
        UsageError: The recipe of an arm, with what it changes, cannot be trained, or --only names no arm.
        RunError: The folder cannot be written.
        CheckpointError: The start cannot be used, or does not fit the recipe of an arm.
    """
    from offline_training.evaluation.experiment import changed, check_names
    from offline_training.training.prepared_run import prepare_run
    from offline_training.utils import checkpoint_io
    from offline_training.utils.run import RunOptions

    check_names(plan, options.only or ())
    checkpoint_io.load(options.start)
    for arm in plan.arms:
        if arm.kind != "start":
            plain = changed(read_plain_recipe(Path(arm.recipe), arm.kind), arm.set)
            try:
                recipe = typed(arm.kind, plain)
            except RecipeError as e:
                raise UsageError(f"arm {arm.name}: {e}") from e
            prepare_run(RunOptions(options.output / arm.name, options.device, options.start), recipe)


def typed(kind: str, plain: dict[str, Any]) -> Any:
    """The recipe of an arm; raises RecipeError."""
    from offline_training.reinforce.config import ReinforceRecipe
    from offline_training.training.config import SuperviseRecipe

    return read(ReinforceRecipe if kind == "reinforce" else SuperviseRecipe, plain)


class Work:
    """What an experiment's command trains and measures with."""

    def __init__(self, options: ExperimentOptions, plan: Any, rewards: Rewards, progress: Progress) -> None:
        from marssep_rt.model import bundle as bundles
        from offline_training.alignment.judge import Judge
        from offline_training.encoders.builtin import BuiltinEncoder
        from offline_training.evaluation.separation import Extras

        self.options, self.plan, self.progress = options, plan, progress
        self.bundle = bundles.load(options.bundle)
        judge = Judge(options.judge, BuiltinEncoder()) if options.judge is not None else None
        self.rewards = open_rewards(rewards, options)
        self.data = read_data(options.corpus, options.queries)
        self.extras = Extras(
            image_bank(options.images, progress),
            judge,
            bss=plan.bss,
            by_example=plan.by_example,
            absent_of=plan.absent_of,
            bounds=False,
            unseen=plan.unseen,
        )
        self.sets = open_sets(plan, self.bundle, self.data.corpus)

    def train(self, arm: Any, plain: dict[str, Any], folder: Path) -> bool:
        """Train an arm to the end; False when it was stopped."""
        from offline_training.reinforce.reinforcement import reinforced_trainer
        from offline_training.reinforce.setup import prepare_hearing
        from offline_training.training.prepared_run import prepare_run
        from offline_training.training.supervised import supervised_trainer
        from offline_training.utils.run import RunOptions

        run = RunOptions(folder, self.options.device, self.options.start)
        prepared = prepare_run(run, typed(arm.kind, plain))
        if arm.kind == "reinforce":
            ears, rewarding = self.rewards[arm.reward]
            trainer = reinforced_trainer(prepared, self.data, prepare_hearing(prepared, rewarding, ears))
        else:
            trainer = supervised_trainer(prepared, self.data)
        trainer.run(*watch(self.progress, folder.name, lambda entry: "val" in entry))
        return trainer.done

    def measure(self, checkpoint: Path) -> Any:
        """What a trained arm does on the plan's mixtures and sets."""
        from offline_training.data.eval_mixtures import EvalConfig
        from offline_training.evaluation import suite
        from offline_training.evaluation.experiment import Measured
        from offline_training.evaluation.listeners import CheckpointListener
        from offline_training.evaluation.separation import measure

        task = self.progress.add_task(f"measuring {checkpoint.parent.name}", total=self.plan.mixtures)
        config = EvalConfig(split=self.plan.split, mixtures=self.plan.mixtures)
        listener = CheckpointListener(checkpoint, self.options.device)
        rows = measure(
            self.bundle,
            self.data.corpus,
            config,
            replace(self.extras, listener=listener),
            lambda done, _: self.progress.update(task, completed=done),
        )
        asked = {name: suite.measure(listener, draw()) for name, draw in self.sets.items()}
        return Measured(rows, {name: [answer.si_sdri for answer in some] for name, some in asked.items()})


def open_sets(plan: Any, bundle: Any, corpus: Any) -> dict[str, Any]:
    """The sets of ``suite`` that a plan names, asked in a bundle's words; raises UsageError."""
    from offline_training.data.eval_mixtures import EvalConfig
    from offline_training.encoders.builtin import BuiltinEncoder
    from offline_training.evaluation import suite
    from offline_training.evaluation.questions import Sources
    from offline_training.evaluation.voice import EncoderVoice

    if not plan.sets:
        return {}
    config = EvalConfig(split=plan.split, mixtures=plan.mixtures, unseen_mixtures=plan.unseen_mixtures)
    voice = EncoderVoice(BuiltinEncoder(text=bundle.path), corpus)
    every = suite.sets(Sources(corpus, config, tuple(plan.unseen)), voice, plan.mixtures)
    if unknown := [name for name in plan.sets if name not in every]:
        raise UsageError(f"the recipe asks for the set {unknown[0]!r}; choose among: {', '.join(every)}")
    return {name: every[name] for name in plan.sets}


def open_rewards(rewards: Rewards, options: ExperimentOptions) -> dict[str, tuple[Any, Any]]:
    """The encoders of every reward, and the query table by them; raises CheckpointError, RunError or
    UsageError.
    """
    from offline_training.reinforce.setup import RewardSources, check_ears, open_ears

    found = {}
    for name, (encoders, rewarding) in rewards.items():
        ears, table = open_ears(RewardSources(encoders, options.judge), options.device), read_table(rewarding)
        check_ears(ears, table)
        found[name] = ears, table
    return found


def read_rewards(given: list[str], needed: set[str]) -> Rewards:
    """``NAME=ENCODERS.pt,TABLE.npz`` for every reward that a recipe names."""
    found: dict[str, tuple[Path, Path]] = {}
    for plain in given:
        name, _, rest = plain.partition("=")
        encoders, _, table = rest.partition(",")
        if not (name and encoders and table):
            raise UsageError(f"--reward is {plain!r}; give NAME=ENCODERS.pt,TABLE.npz")
        found[name] = Path(encoders), Path(table)
    if missing := sorted(needed - set(found)):
        raise UsageError(
            f"the recipe rewards by {', '.join(missing)}; say what that is with --reward "
            f"{missing[0]}=ENCODERS.pt,TABLE.npz"
        )
    return {name: found[name] for name in sorted(needed)}


def register(app: typer.Typer) -> None:
    """Put the command on ``marssep train``."""
    opt.command(app, ExperimentOptions)(experiment)
