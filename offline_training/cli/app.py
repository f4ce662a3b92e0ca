"""``marssep-train``: corpus, text tower, supervised training, evaluation; the encoders' commands stand in ``encoders``."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from marssep_rt.cli import options as opt
from marssep_rt.errors import UsageError
from marssep_rt.utils.atomic_io import write_whole
from offline_training.cli.common import (
    Changed,
    CorpusFolder,
    Device,
    Photos,
    Queries,
    TextFrom,
    bar,
    check_device,
    photo_bank,
    read_recipe,
    read_table,
    sentences,
    stepwise,
    write_json,
)
from offline_training.cli.encoders import register as register_encoders
from offline_training.cli.experiment import register as register_experiment
from offline_training.cli.papers import register as register_papers

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True, help="Train and measure the separator.")


@app.command()
@opt.plain_errors
def manifest(
    folder: Annotated[Path, typer.Argument(help="A folder with a sub-folder of recordings for every label.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The manifest to write.", metavar="FILE.csv")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing manifest.")] = False,
) -> None:
    """A manifest of your own recordings: marssep train manifest sounds/ -o sounds.csv"""
    from offline_training.data.manifest import from_folder

    if output.exists() and not overwrite:
        raise UsageError(f"{output} exists; give --overwrite to replace it")
    with sentences():
        text, counts, skipped = from_folder(folder, output)
    write_whole(output, text)
    thin = [label for label, count in counts.items() if count < 3]
    print(f"{output}: {sum(counts.values())} recordings of {len(counts)} labels")
    if skipped:
        print(f"left out {skipped} files that are no recordings")
    if thin:
        print(f"labels with fewer than three recordings, which cannot be trained, validated and tested: {', '.join(thin)}")


@app.command()
@opt.plain_errors
def corpus(
    manifest: Annotated[Path, typer.Argument(help="CSV with path, label, split, group; or a folder of LABEL/recordings.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the decoded corpus.", metavar="FOLDER")],
) -> None:
    """Decode a manifest of labelled clips once into one memory-mapped file; of a folder the manifest is made first."""
    from offline_training.data.corpus import Corpus, decode
    from offline_training.data.manifest import written_beside_corpus

    with sentences(), bar() as progress:
        if manifest.is_dir():
            manifest, problem = written_beside_corpus(manifest, output)
            if problem:
                opt.console.print(problem, markup=False, soft_wrap=True)
        task = progress.add_task("decoding", total=None)
        for done, total in decode(manifest, output):
            progress.update(task, completed=done, total=total)
        made = Corpus(output)
    if made.unreadable:
        opt.console.print(f"left out {len(made.unreadable)} unreadable clips: {'; '.join(made.unreadable)}", markup=False, soft_wrap=True)
    if lone := made.lone_labels():
        opt.console.print(f"labels with a single recording in train, which audio queries then also use: {', '.join(lone)}",
                          markup=False, soft_wrap=True)  # fmt: skip


@app.command()
@opt.plain_errors
def text(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the tower.", metavar="FOLDER")],
    places: Annotated[Path, typer.Option("--places", help="Where words lie, by marssep-train space.", metavar="FILE.npz")] = Path(
        "runs/space/places.npz"
    ),
    start: Annotated[Path | None, typer.Option("--start", help="Go on with this folder's tower.", metavar="FOLDER")] = None,
    recipe: Annotated[Path, typer.Option("--recipe", help="TOML file or shipped name.")] = Path("text"),
    wordnet: Annotated[Path, typer.Option("--wordnet", help="Folder of WordNet's files.")] = Path("/usr/share/wordnet"),
) -> None:
    """Teach the text tower where words sound; prints its top-1 and top-5 on the frozen paraphrases beside the teacher's."""
    from offline_training.encoders.text_distillation import TowerConfig, build

    settings = read_recipe(recipe, "text")
    if "teacher_layers" in settings:
        settings["teacher_layers"] = tuple(settings["teacher_layers"])
    known = {f.name for f in fields(TowerConfig)}
    if set(settings) - known:
        raise UsageError(f"{recipe} has unknown settings: {', '.join(sorted(set(settings) - known))}")

    def report(entry: dict[str, Any]) -> None:
        if "embedded" not in entry:
            opt.console.print(" ".join(f"{k}={v:.4f}" if isinstance(v, float) else f"{k}={v}" for k, v in entry.items()))

    with sentences():
        figures = build(TowerConfig(**settings), read_table(places), output, wordnet, report, start)
    print(json.dumps(figures, indent=1))


@app.command()
@opt.plain_errors
def supervise(
    output: Annotated[Path, typer.Option("-o", "--output", help="Run folder; an existing run is resumed.", metavar="FOLDER")],
    corpus: CorpusFolder = Path("cache/corpus"),
    queries: Queries = Path("runs/queries.npz"),
    recipe: Annotated[Path, typer.Option("--recipe", help="TOML file or shipped name.")] = Path("1_base"),
    start: Annotated[Path | None, typer.Option("--start", help="Begin with this checkpoint's weights.", metavar="CHECKPOINT")] = None,
    device: Device = "cpu",
    changed: Changed = False,
) -> None:
    """Train the base policy by mix-and-separate. Ctrl-C saves; the same command goes on from there."""
    from offline_training.data.corpus import Corpus
    from offline_training.training.supervised import Trainer

    check_device(device)
    settings = read_recipe(recipe, "supervise")
    with sentences():
        table = read_table(queries)
        try:
            trainer = Trainer(output, Corpus(corpus), table, settings, device, start, changed)
        except TypeError as e:
            raise UsageError(f"{recipe}: {str(e).split('__init__() ')[-1]}") from e
        run_to_the_end(trainer)


def run_to_the_end(trainer: Any) -> None:
    """A training with its progress shown and its curves drawn."""
    with bar() as progress:
        task = progress.add_task("training", total=trainer.config.steps, completed=trainer.step)

        def report(entry: dict[str, Any]) -> None:
            progress.update(task, completed=entry["step"])
            progress.console.print(json.dumps(entry), markup=False, soft_wrap=True)

        best = trainer.run(report)
    curves(trainer.folder)
    if (trainer.folder / "best.pt").exists():
        opt.console.print(f"best SI-SDRi on val: {best:.2f} dB ({trainer.folder / 'best.pt'})")
    else:
        opt.console.print("stopped before the first validation; the same command goes on")


@app.command()
@opt.plain_errors
def reinforce(
    output: Annotated[Path, typer.Option("-o", "--output", help="Run folder; an existing run is resumed.", metavar="FOLDER")],
    start: Annotated[Path, typer.Option("--start", help="The supervised checkpoint to begin with.", metavar="CHECKPOINT")],
    corpus: CorpusFolder = Path("cache/corpus"),
    queries: Queries = Path("runs/queries.npz"),
    recipe: Annotated[Path, typer.Option("--recipe", help="TOML file or shipped name.")] = Path("reinforce"),
    towers: Annotated[
        Path | None,
        typer.Option("--towers", help="What rewards: a checkpoint of align, or a bundle (None: the built-in one).", metavar="PATH"),
    ] = None,
    judge: Annotated[Path | None, typer.Option("--judge", help="A judge of marssep-train judge: the held-out reward in the log.")] = None,
    device: Device = "cpu",
    changed: Changed = False,
) -> None:
    """Reinforce a trained policy: sampled masks are rewarded by what the result sounds like. Ctrl-C saves; the same command goes on."""
    from offline_training.data.corpus import Corpus
    from offline_training.reinforce.setup import prepare

    check_device(device)
    settings = read_recipe(recipe, "reinforce")
    with sentences():
        table = read_table(queries)
        try:
            with bar() as progress:
                report = stepwise(progress)
                trainer = prepare(output, Corpus(corpus), table, settings, start, towers, judge=judge, device=device, changed=changed,
                                  report=lambda done, total: report("fitting the anchor", done, total))  # fmt: skip
        except (TypeError, ValueError) as e:
            if type(e) in (TypeError, ValueError):
                raise UsageError(f"{recipe}: {str(e).split('__init__() ')[-1]}") from e
            raise
        run_to_the_end(trainer)


def curves(folder: Path) -> None:
    """``curves.png`` beside the log."""
    from offline_training.evaluation.plots import training_curves

    if (folder / "log.jsonl").exists():
        training_curves(folder / "log.jsonl", folder / "curves.png")


@app.command()
@opt.plain_errors
def evaluate(
    bundle: Annotated[Path | None, typer.Argument(help="A bundle; the built-in one if left out.")] = None,
    corpus: CorpusFolder = Path("cache/corpus"),
    split: Annotated[str, typer.Option("--split", help="val or test.")] = "val",
    mixtures: Annotated[int, typer.Option("--mixtures", min=10, help="How many.")] = 1000,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write the figures.", metavar="FILE.json")] = None,
    pictures: Annotated[Path | None, typer.Option("--pictures", help="Spectrograms of a few separations.", metavar="FOLDER")] = None,
    photos: Photos = None,
    judge: Annotated[Path | None, typer.Option("--judge", help="A judge of marssep-train judge, for figures of meaning.")] = None,
    left_out_by: Annotated[
        Path | None, typer.Option("--left-out-by", help="A recipe of supervise: figures apart for its held_out_labels.", metavar="RECIPE")
    ] = None,
) -> None:
    """SI-SDRi and SDRi on fixed two-source mixtures (-5..5 dB) of unseen recordings, text query = label.

    With audio and image towers in the bundle also for queries by recordings, photographs (--photos) and all at once.
    """
    from marssep_rt.model import bundle as bundles
    from offline_training.alignment.judge import Judge
    from offline_training.data.corpus import Corpus
    from offline_training.data.eval_mixtures import EvalConfig
    from offline_training.encoders.builtin import BuiltinEncoder
    from offline_training.evaluation.separation import measure, summarise

    if split not in ("val", "test"):
        raise UsageError(f"split is {split!r}; choose val or test")
    left_out = [] if left_out_by is None else read_recipe(left_out_by, "supervise").get("mixtures", {}).get("held_out_labels", [])
    config = replace(EvalConfig(), split=split, mixtures=mixtures)
    loaded = bundles.load(bundle)
    with sentences(), bar() as progress:
        task = progress.add_task("measuring", total=mixtures)
        data = Corpus(corpus)
        bank = photo_bank(photos, progress)
        judging = Judge(judge, BuiltinEncoder()) if judge is not None else None
        rows = measure(loaded, data, config, lambda done, _: progress.update(task, completed=done), bank, judging)
    figures = summarise(rows, config, left_out)
    given = (("--photos", photos), ("--judge", judge), ("--left-out-by", left_out_by))
    more = "".join(f" {name} {path.name}" for name, path in given if path is not None)
    figures["command"] = f"marssep-train evaluate --split {split} --mixtures {mixtures}{more}"
    if output is not None:
        write_json(output, {**figures, "rows": [asdict(r) for r in rows]})
    if pictures is not None:
        draw(loaded, data, config, pictures)
    print(json.dumps(figures, indent=1))


@app.command()
@opt.plain_errors
def suite(
    model: Annotated[Path | None, typer.Argument(help="A bundle or a separator's checkpoint; the built-in bundle if left out.")] = None,
    corpus: CorpusFolder = Path("cache/corpus"),
    split: Annotated[str, typer.Option("--split", help="val or test.")] = "val",
    mixtures: Annotated[int, typer.Option("--mixtures", min=10, help="How many in the larger sets; a third in the others.")] = 300,
    only: Annotated[list[str] | None, typer.Option("--only", help="Only this set; may be repeated.", metavar="SET")] = None,
    unseen: Annotated[
        Path, typer.Option("--unseen", help="A recipe of supervise whose held_out_labels training never heard.", metavar="RECIPE")
    ] = Path("sound_queries"),
    photos: Photos = None,
    weights: Annotated[Path | None, typer.Option("--weights", help="Of a checkpoint: its towers.", metavar="FILE.pt")] = None,
    text: TextFrom = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write the figures.", metavar="FILE.json")] = None,
) -> None:
    """Everything that a separator is asked: seen and unseen labels, words people type, recordings, images, two at once, absent, wild."""
    from marssep_rt.model import bundle as bundles
    from marssep_rt.query.vocabulary import KnownSounds
    from offline_training.data.corpus import Corpus
    from offline_training.data.eval_mixtures import EvalConfig
    from offline_training.encoders.builtin import BuiltinEncoder
    from offline_training.evaluation import suite as suites
    from offline_training.evaluation.questions import Sources
    from offline_training.evaluation.separation import CheckpointModel, Listener
    from offline_training.evaluation.voice import EncoderVoice

    if split not in ("val", "test"):
        raise UsageError(f"split is {split!r}; choose val or test")
    held_out = tuple(read_recipe(unseen, "supervise").get("mixtures", {}).get("held_out_labels", ()))
    config = replace(EvalConfig(), split=split, mixtures=mixtures, unseen_mixtures=max(60, mixtures // 3))
    with sentences(), bar() as progress:
        data = Corpus(corpus)
        bank = photo_bank(photos, progress)
        asked: suites.Separator
        if model is not None and model.suffix == ".pt":
            asked, encoder, known = CheckpointModel(model), BuiltinEncoder(weights, text), None
            if asked.content["encoder"] != encoder.id:
                raise UsageError(f"{model} was trained on encoder {asked.content['encoder']}, the words are of {encoder.id}; name --text")
        else:
            loaded = bundles.load(model)
            asked, encoder, known = Listener(loaded), BuiltinEncoder(text=loaded.path), KnownSounds.of(loaded)
        sets = suites.sets(Sources(data, config, held_out), EncoderVoice(encoder, data, bank, known), mixtures)
        if wrong := set(only or ()) - sets.keys():
            raise UsageError(f"there is no set {', '.join(sorted(wrong))}; choose among: {', '.join(sets)}")
        figures = suites.run(
            asked, sets, only or (), lambda name, found: progress.console.print(f"{name}: {json.dumps(found)}", markup=False)
        )
    if output is not None:
        write_json(
            output, {"command": f"marssep-train suite --split {split} --mixtures {mixtures}", "set": asdict(config), "sets": figures}
        )
    else:
        print(json.dumps(figures, indent=1))


def draw(bundle: Any, data: Any, config: Any, folder: Path, count: int = 4) -> None:
    """Mixture, target and output of the set's first mixtures as spectrograms."""
    from offline_training.data.eval_mixtures import draw_pairs, render
    from offline_training.evaluation.plots import spectrograms
    from offline_training.evaluation.separation import Listener

    folder.mkdir(parents=True, exist_ok=True)
    listener = Listener(bundle)
    for i, pair in enumerate(draw_pairs(data, config)[:count]):
        mixture, target, _ = render(data, pair, config)
        out = listener.separate(mixture[None], listener.query(pair.target.label)[None])[0].numpy()
        name = f"{pair.target.label} with {pair.interferer.label}, {pair.snr_db:.1f} dB"
        parts = {f"mixture: {name}": mixture, f"target: {pair.target.label}": target, f"output for the query “{pair.target.label}”": out}
        spectrograms(parts, listener.info.sample_rate, folder / f"separation{i}.png")


@app.command()
@opt.plain_errors
def average(
    checkpoints: Annotated[list[Path], typer.Argument(help="best.pt of runs with one start.", metavar="CHECKPOINT...")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The checkpoint to write.", metavar="FILE.pt")],
) -> None:
    """One separator of several runs that began with the same checkpoint, each with its own seed: the mean of their weights."""
    from offline_training.utils import checkpoint_io

    if len(checkpoints) < 2:
        raise UsageError("name at least two checkpoints")
    with sentences():
        checkpoint_io.save(output, checkpoint_io.mean(checkpoints))


@app.command()
@opt.plain_errors
def notice(
    corpus: CorpusFolder = Path("cache/corpus"),
    photos: Photos = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="The file to write.")] = Path("NOTICE"),
) -> None:
    """The attributions of everything that a model was trained on, generated from the manifests."""
    from offline_training.data.corpus import Corpus, attributions
    from offline_training.utils.recipe_files import RECIPES

    text = (RECIPES / "notice_head.txt").read_text(encoding="utf-8")
    with sentences(), bar() as progress:
        bank = photo_bank(photos, progress)
        text += credits(attributions(Corpus(corpus).clips, ("train", "val")), "clip")
        if bank is not None:
            text += "\nThe image tower was trained on photographs of the following collections. No photograph is part of this package.\n\n"
            text += credits(attributions(bank.photos), "photograph")
    write_whole(output, text)


def credits(lines: list[tuple[str, str, int]], what: str) -> str:
    """A line for each author and licence."""
    return "".join(f"{who or 'unnamed author'} ({licence}): {n} {what}{'s' if n > 1 else ''}\n" for licence, who, n in lines)


register_encoders(app)
register_papers(app)
register_experiment(app)
