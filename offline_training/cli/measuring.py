"""``marssep train``: the commands that measure separators (evaluate, suite)."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from marssep_rt.cli import options as opt
from marssep_rt.errors import UsageError
from offline_training.cli.common import (
    CorpusFolder,
    ImageManifest,
    Split,
    TextFrom,
    bar,
    check_output,
    check_split,
    image_bank,
    read_recipe,
    sentences,
    write_json,
)

FiguresFile = Annotated[
    Path | None, typer.Option("-o", "--output", help="Write the figures.", metavar="FILE.json")
]


@dataclass(kw_only=True)
class EvaluateOptions:
    """The options of ``marssep train evaluate``."""

    bundle: Annotated[Path | None, typer.Argument(help="A bundle; the built-in one if left out.")] = None
    corpus: CorpusFolder = Path("cache/corpus")
    split: Split = "val"
    mixtures: Annotated[int, typer.Option("--mixtures", min=10, help="How many.")] = 1000
    output: FiguresFile = None
    plots: Annotated[
        Path | None,
        typer.Option("--plots", help="Spectrograms of a few separations.", metavar="FOLDER"),
    ] = None
    images: ImageManifest = None
    judge: Annotated[
        Path | None,
        typer.Option("--judge", help="A judge of marssep train judge, for figures of meaning."),
    ] = None
    unseen_from: Annotated[
        Path | None,
        typer.Option(
            "--unseen-from",
            help="A recipe of supervise: separate figures for its held_out_labels, the unseen classes.",
            metavar="RECIPE",
        ),
    ] = None

    @property
    def command(self) -> str:
        """The command that repeats the measurement, without what is only a folder of this machine."""
        given = (("--images", self.images), ("--judge", self.judge), ("--unseen-from", self.unseen_from))
        more = "".join(f" {name} {path.name}" for name, path in given if path is not None)
        return f"marssep train evaluate --split {self.split} --mixtures {self.mixtures}{more}"


def evaluate(options: EvaluateOptions) -> None:
    """SI-SDRi and SDRi on fixed two-source mixtures (-5..5 dB) of unseen recordings, text query = label.

    With audio and image encoders in the bundle also for queries by recordings, images (--images) and all
    at once.
    """
    from marssep_rt.model import bundle as bundles
    from offline_training.alignment.judge import Judge
    from offline_training.data.corpus import Corpus
    from offline_training.data.eval_mixtures import EvalConfig
    from offline_training.encoders.builtin import BuiltinEncoder
    from offline_training.evaluation.separation import Extras, measure, summarise

    check_split(options.split)
    if options.output is not None:
        check_output(options.output)
    if options.plots is not None:
        check_output(options.plots / "separation0.png")
    left_out = held_out_labels(options.unseen_from)
    config = replace(EvalConfig(), split=options.split, mixtures=options.mixtures)
    loaded = bundles.load(options.bundle)
    with sentences(), bar() as progress:
        task = progress.add_task("measuring", total=options.mixtures)
        data = Corpus(options.corpus)
        judge = Judge(options.judge, BuiltinEncoder()) if options.judge is not None else None
        extras = Extras(images=image_bank(options.images, progress), judge=judge)
        rows = measure(
            loaded, data, config, extras, progress=lambda done, _: progress.update(task, completed=done)
        )
    figures = {**summarise(rows, config, left_out), "command": options.command}
    if options.output is not None:
        write_json(options.output, {**figures, "rows": [asdict(r) for r in rows]})
    if options.plots is not None:
        draw(loaded, data, config, options.plots)
    print(json.dumps(figures, indent=1))


def held_out_labels(recipe: Path | None) -> tuple[str, ...]:
    """The labels that a recipe holds out of its training."""
    from offline_training.training.config import SuperviseRecipe

    if recipe is None:
        return ()
    return read_recipe(recipe, "supervise", SuperviseRecipe).mixtures.held_out_labels


def draw(bundle: Any, data: Any, config: Any, folder: Path, count: int = 4) -> None:
    """Mixture, target and output of the set's first mixtures as spectrograms."""
    from offline_training.data.corpus import SAMPLE_RATE
    from offline_training.data.eval_mixtures import draw_pairs, render
    from offline_training.evaluation.listeners import BundleListener, Words
    from offline_training.evaluation.plots import spectrograms

    folder.mkdir(parents=True, exist_ok=True)
    listener, words = BundleListener(bundle), Words(bundle)
    for i, pair in enumerate(draw_pairs(data, config)[:count]):
        mixture, target, _ = render(data, pair, config)
        out = listener.separate(mixture[None], words.query(pair.target.label)[None])[0].numpy()
        name = f"{pair.target.label} with {pair.interferer.label}, {pair.snr_db:.1f} dB"
        parts = {
            f"mixture: {name}": mixture,
            f"target: {pair.target.label}": target,
            f"output for the query “{pair.target.label}”": out,
        }
        spectrograms(parts, SAMPLE_RATE, folder / f"separation{i}.png")


@dataclass(kw_only=True)
class SuiteOptions:
    """The options of ``marssep train suite``."""

    model: Annotated[
        Path | None,
        typer.Argument(help="A bundle or a separator's checkpoint; the built-in bundle if left out."),
    ] = None
    corpus: CorpusFolder = Path("cache/corpus")
    split: Split = "val"
    mixtures: Annotated[
        int,
        typer.Option("--mixtures", min=10, help="How many in the larger sets; a third in the others."),
    ] = 300
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Only this set; may be repeated.", metavar="SET")
    ] = None
    unseen: Annotated[
        Path,
        typer.Option(
            "--unseen-from",
            help="A recipe of supervise whose held_out_labels are the unseen classes.",
            metavar="RECIPE",
        ),
    ] = Path("sound_queries")
    images: ImageManifest = None
    weights: Annotated[
        Path | None, typer.Option("--weights", help="Of a checkpoint: its encoders.", metavar="FILE.pt")
    ] = None
    text: TextFrom = None
    output: FiguresFile = None


def suite(options: SuiteOptions) -> None:
    """Everything that a separator is asked: seen and unseen labels, words people type, recordings, images,
    two at once, absent, wild."""
    from offline_training.data.corpus import Corpus
    from offline_training.data.eval_mixtures import EvalConfig
    from offline_training.evaluation import suite as suites
    from offline_training.evaluation.questions import Sources
    from offline_training.evaluation.voice import EncoderVoice

    check_split(options.split)
    if options.output is not None:
        check_output(options.output)
    mixtures = options.mixtures
    config = replace(
        EvalConfig(), split=options.split, mixtures=mixtures, unseen_mixtures=max(60, mixtures // 3)
    )
    with sentences(), bar() as progress:
        data = Corpus(options.corpus)
        bank = image_bank(options.images, progress)
        listener, encoder, known, words = open_listener(options)
        sources = Sources(data, config, held_out_labels(options.unseen))
        sets = suites.sets(sources, EncoderVoice(encoder, data, bank, known, words), mixtures)
        if wrong := set(options.only or ()) - sets.keys():
            raise UsageError(f"there is no set {', '.join(sorted(wrong))}; choose among: {', '.join(sets)}")
        figures = suites.run(
            listener,
            sets,
            options.only or (),
            lambda name, found: progress.console.print(f"{name}: {json.dumps(found)}", markup=False),
        )
    if options.output is not None:
        command = f"marssep train suite --split {options.split} --mixtures {mixtures}"
        write_json(options.output, {"command": command, "set": asdict(config), "sets": figures})
    else:
        print(json.dumps(figures, indent=1))


def open_listener(options: SuiteOptions) -> tuple[Any, Any, Any, Any]:
    """What separates, the encoder of its queries, the known sounds that examples are drawn to, and what
    words mean."""
    from marssep_rt.model import bundle as bundles
    from marssep_rt.query.vocabulary import Vocabulary
    from marssep_rt.query.words import Words
    from offline_training.encoders.builtin import BuiltinEncoder
    from offline_training.evaluation.listeners import BundleListener, CheckpointListener

    if options.model is None or options.model.suffix != ".pt":
        loaded = bundles.load(options.model)
        encoder, known = BuiltinEncoder(text=loaded.path), Vocabulary.of(loaded)
        return BundleListener(loaded), encoder, known, Words.of(loaded)
    listener, encoder = CheckpointListener(options.model), BuiltinEncoder(options.weights, options.text)
    if listener.encoder != encoder.id:
        raise UsageError(
            f"{options.model} was trained on encoder {listener.encoder}, "
            f"the words are of {encoder.id}; name --text"
        )
    return listener, encoder, None, Words()


def register(app: typer.Typer) -> None:
    """Put the commands on ``marssep train``."""
    opt.command(app, EvaluateOptions)(evaluate)
    opt.command(app, SuiteOptions)(suite)
