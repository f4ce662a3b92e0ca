"""``marssep-train experiment``: several ways to train, compared on the same mixtures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from marssep_rt.cli import options as opt
from marssep_rt.errors import UsageError
from offline_training.cli.common import (
    CorpusFolder,
    Device,
    Photos,
    Queries,
    bar,
    check_device,
    photo_bank,
    read_recipe,
    read_table,
    sentences,
)


@opt.plain_errors
def experiment(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder; what is there already is not made again.", metavar="FOLDER")],
    start: Annotated[Path, typer.Option("--start", help="The checkpoint that all arms begin with.", metavar="CHECKPOINT")],
    recipe: Annotated[Path, typer.Option("--recipe", help="TOML file or shipped name: ablation, sweep.")] = Path("ablation"),
    reward: Annotated[
        list[str] | None,
        typer.Option("--reward", help="A reward of the recipe: encoders of align, and a table by them.", metavar="NAME=PT,NPZ"),
    ] = None,
    bundle: Annotated[Path | None, typer.Option("--bundle", help="Whose encoders embed the queries of the measurement.")] = None,
    corpus: CorpusFolder = Path("cache/corpus"),
    photos: Photos = None,
    queries: Queries = Path("runs/queries.npz"),
    judge: Annotated[Path | None, typer.Option("--judge", help="A judge of marssep-train judge.")] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="This arm, or this run (ARM-SEED), and no other: several processes share the work.")
    ] = None,
    device: Device = "cpu",
) -> None:
    """Train every arm of a recipe with every seed, compare all on the same mixtures. Ctrl-C saves; the same command goes on."""
    from marssep_rt.model import bundle as bundles
    from offline_training.alignment.judge import Judge
    from offline_training.data.corpus import Corpus
    from offline_training.data.eval_mixtures import EvalConfig
    from offline_training.encoders.builtin import BuiltinEncoder
    from offline_training.evaluation.experiment import Arm, Experiment, Plan
    from offline_training.evaluation.plots import comparison
    from offline_training.evaluation.separation import CheckpointListener, measure
    from offline_training.reinforce.setup import prepare
    from offline_training.training.supervised import Trainer

    check_device(device)
    try:
        plan = Plan.of(read_recipe(recipe, "experiment"))
    except (TypeError, ValueError) as e:
        raise UsageError(f"{recipe}: {str(e).split('__init__() ')[-1]}") from e
    rewards = read_rewards(reward or [], {arm.reward for arm in plan.arms if arm.reward})
    loaded = bundles.load(bundle)
    with sentences(), bar() as progress:
        data, table, bank = Corpus(corpus), read_table(queries), photo_bank(photos, progress)
        judging = Judge(judge, BuiltinEncoder()) if judge is not None else None

        def train(arm: Arm, settings: dict[str, Any], folder: Path) -> bool:
            if arm.kind == "reinforce":
                towers, rewarding = rewards[arm.reward]
                trainer: Trainer = prepare(folder, data, table, settings, start, towers, read_table(rewarding), judge, device)
            else:
                trainer = Trainer(folder, data, table, settings, device, start)
            task = progress.add_task(folder.name, total=trainer.config.steps, completed=trainer.step)

            def report(entry: dict[str, Any]) -> None:
                progress.update(task, completed=entry["step"])
                if "val" in entry:
                    progress.console.print(folder.name, json.dumps(entry), markup=False, soft_wrap=True)

            trainer.run(report)
            return trainer.done

        def figures(checkpoint: Path) -> list[Any]:
            task = progress.add_task(f"measuring {checkpoint.parent.name}", total=plan.mixtures)
            return measure(loaded, data, EvalConfig(split=plan.split, mixtures=plan.mixtures),
                           lambda done, _: progress.update(task, completed=done), bank, judging,
                           CheckpointListener(checkpoint, loaded, device), plan.bss, plan.by_example, plan.absent_of,
                           bounds=False)  # fmt: skip

        experiment = Experiment(output, plan, start, lambda name, kind: read_recipe(Path(name), kind), train, figures)
        try:
            report = experiment.run(only or ())
        except ValueError as e:
            raise UsageError(str(e)) from e
    if report is None:
        left = ", ".join(experiment.missing())
        opt.console.print(f"not all is there yet ({left}); the same command goes on ({output})", markup=False, soft_wrap=True)
        return
    comparison(report["arms"], plan.control, output / "report.png")
    print((output / "report.md").read_text(encoding="utf-8"))


def read_rewards(given: list[str], needed: set[str]) -> dict[str, tuple[Path, Path]]:
    """``NAME=TOWERS.pt,TABLE.npz`` for every reward that a recipe names."""
    found: dict[str, tuple[Path, Path]] = {}
    for plain in given:
        name, _, rest = plain.partition("=")
        towers, _, table = rest.partition(",")
        if not (name and towers and table):
            raise UsageError(f"--reward is {plain!r}; give NAME=TOWERS.pt,TABLE.npz")
        found[name] = Path(towers), Path(table)
    if missing := sorted(needed - set(found)):
        raise UsageError(f"the recipe rewards by {', '.join(missing)}; say what that is with --reward {missing[0]}=TOWERS.pt,TABLE.npz")
    return found


def register(app: typer.Typer) -> None:
    """Put the command on ``marssep-train``."""
    app.command(cls=opt.PlainCommand)(experiment)
