"""``marssep train``: the commands about encoders and their query space (trunk, space, rebase, embed ...)."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from marssep_rt.cli import options as opt
from marssep_rt.errors import UsageError
from offline_training.cli.common import (
    CorpusFolder,
    Device,
    EncoderName,
    Heads,
    ImageManifest,
    Queries,
    Recipe,
    TextFrom,
    Weights,
    bar,
    check_output,
    check_split,
    image_bank,
    make_folder_of,
    read_recipe,
    read_table,
    sentences,
    stepwise,
    write_json,
    write_text,
)


@opt.plain_errors
def trunk(
    source: Annotated[
        Path,
        typer.Argument(help="YAMNet or a MobileNetV2 in TensorFlow Lite, or a file that has one inside."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The trunk to write.", metavar="FILE.pt")],
) -> None:
    """Take a pre-trained trunk out of a TensorFlow Lite model: YAMNet for sounds (space), MobileNetV2 for
    images (align).
    """
    from offline_training.encoders.trunks import convert

    with sentences():
        name = convert(source, output)
    opt.console.print(f"wrote {output} ({name})", markup=False, soft_wrap=True)


@opt.plain_errors
def space(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for ear.pt and places.npz.", metavar="FOLDER")
    ],
    trunk: Annotated[
        Path, typer.Option("--trunk", help="YAMNet's trunk, by marssep train trunk.", metavar="FILE.pt")
    ],
    corpus: CorpusFolder = Path("cache/corpus"),
    recipe: Recipe = Path("space"),
    image_from: Annotated[
        Path | None,
        typer.Option(
            "--image-from",
            help="File or a bundle whose image encoder goes along in ear.pt.",
            metavar="PATH",
        ),
    ] = None,
) -> None:
    """Make the query space out of sound: an audio encoder into it, and where labels, families and AudioSet's
    classes lie in it.

    Next: text --places teaches the text encoder those places, align --start ear.pt trains the audio encoder
    further.
    """
    from offline_training.data.corpus import Corpus
    from offline_training.encoders import pair, sound_space
    from offline_training.encoders.audio_image import EncoderShape, TorchImageEncoder
    from offline_training.encoders.builtin import describe, open_encoders
    from offline_training.utils import checkpoint_io
    from offline_training.utils.run import check_folder

    config = read_recipe(recipe, "space", sound_space.SpaceConfig)
    with sentences(), bar() as progress:
        report = stepwise(progress)
        check_folder(output)
        given = None if image_from is None else open_encoders(image_from).image
        made = sound_space.make(
            trunk, Corpus(corpus), config, lambda done, total: report("listening", done, total)
        )
        image = given or TorchImageEncoder(EncoderShape(dim=config.dim))
        encoders = pair.EncoderPair(made.ear, image)
        checkpoint_io.save(
            output / "ear.pt",
            {
                "kind": pair.KIND,
                "describe": json.dumps(describe(encoders)),
                "weights": encoders.state_dict(),
            },
        )
    made.places.save(output / "places.npz")
    opt.console.print(
        f"{output}: {len(made.places.phrases)} labels, {len(made.places.families)} families, "
        f"{len(made.places.classes)} "
        "further classes",
        markup=False,
        soft_wrap=True,
    )


@opt.plain_errors
def rebase(
    checkpoint: Annotated[Path, typer.Argument(help="A separator of another query space.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The checkpoint to write.", metavar="FILE.pt")
    ],
    queries: Queries = Path("runs/queries.npz"),
    bundle: Annotated[
        Path | None,
        typer.Option("--bundle", help="Whose words the checkpoint was asked with (else the built-in one)."),
    ] = None,
) -> None:
    """Fit a separator's query layer to another query space: what "supervise --start" then goes on from."""
    from marssep_rt.model import bundle as bundles
    from marssep_rt.query.encoders import TextEncoder
    from marssep_rt.query.vocabulary import Vocabulary
    from offline_training.training.rebase import rebase as into
    from offline_training.utils import checkpoint_io as checkpoints

    check_output(output)
    with sentences():
        table, content, asked = read_table(queries), checkpoints.load(checkpoint), bundles.load(bundle)
        if asked.encoder != content["encoder"]:
            raise UsageError(
                f"{checkpoint} was trained on encoder {content['encoder']}, the bundle "
                f"{asked.path} speaks {asked.encoder}"
            )
        words, known = TextEncoder(asked), Vocabulary.of(asked)
        labels = known.labels if known else tuple(table.phrases)
        checkpoints.save(output, into(content, {label: words.embed(label) for label in labels}, table))
    opt.console.print(f"wrote {output} (encoder {table.encoder})", markup=False, soft_wrap=True)


@dataclass(kw_only=True)
class EmbedOptions:
    """The options of ``marssep train embed``."""

    output: Annotated[
        Path, typer.Option("-o", "--output", help="The query table to write.", metavar="FILE.npz")
    ]
    corpus: Annotated[
        Path | None, typer.Option("--corpus", help="Folder made by marssep train corpus.", metavar="FOLDER")
    ] = None
    images: ImageManifest = None
    encoder: EncoderName = "builtin"
    weights: Weights = None
    heads: Heads = None
    text: TextFrom = None
    wordnet: Annotated[Path, typer.Option("--wordnet", help="Folder of WordNet's files.")] = Path(
        "/usr/share/wordnet"
    )
    crossed: Annotated[
        list[Path] | None,
        typer.Option(
            "--cross-fitted",
            help="builtin: encoders of align --fold, for the items that they left out.",
            metavar="FILE.pt",
        ),
    ] = None
    device: Device = "cpu"


def embed(options: EmbedOptions) -> None:
    """Embed every label's phrases, and with --corpus and --images its recordings and images: what
    supervise asks with."""
    from offline_training.alignment import data as alignment_data
    from offline_training.data.corpus import Corpus
    from offline_training.data.own_labels import with_own_labels
    from offline_training.encoders import open_encoder

    check_output(options.output)
    text = options.text
    with sentences(), bar() as progress:
        loaded = open_encoder(options.encoder, options.weights, options.heads, options.device, text)
        bank = image_bank(options.images, progress)
        data = Corpus(options.corpus) if options.corpus is not None else None
        others = crossed_encoders(options.crossed or [], text)
        report = stepwise(progress)
        words = None
        if text is not None and (text / "queries.npz").exists():
            words = read_table(text / "queries.npz")
        shown = [p.label for p in bank.images] if bank else []
        phrases = words.phrases if words else alignment_data.phrase_lists(options.wordnet, shown)
        phrases = with_own_labels(phrases, data.labels() if data else ())
        ear, rough = getattr(loaded, "ear", None), None
        if data is not None and ear is not None and not others:
            rough = alignment_data.rough_vectors(ear, data, 4, report)
        table = alignment_data.query_table(
            loaded, phrases, data, bank, report=report, crossed=others, rough_of=rough
        )
        if words:
            table.families, table.family_vectors = words.families, words.family_vectors
            table.classes = words.classes
    make_folder_of(options.output)
    table.save(options.output)
    opt.console.print(
        f"{options.output}: encoder {table.encoder}, {len(phrases)} labels, {len(table.audio)} with "
        f"recordings, {len(table.image)} with images",
        markup=False,
        soft_wrap=True,
    )


def crossed_encoders(encoders: list[Path], text: Path | None) -> dict[str, Any]:
    """By path of a clip or image, the first of ``encoders`` that was trained without it."""
    from offline_training.encoders.builtin import BuiltinEncoder, left_out_of

    found: dict[str, Any] = {}
    for path in encoders:
        items = left_out_of(path)
        if not items:
            raise UsageError(
                f"{path} was trained on everything; --cross-fitted takes encoders of align --fold"
            )
        encoder = BuiltinEncoder(path, text)
        for item in items:
            found.setdefault(item, encoder)
    return found


@opt.plain_errors
def query(
    output: Annotated[Path, typer.Option("-o", "--output", help="The file to write.", metavar="NAME.query")],
    query: opt.Texts = None,
    image: opt.Images = None,
    audio: opt.Audios = None,
    encoder: EncoderName = "builtin",
    weights: Weights = None,
    heads: Heads = None,
    device: Device = "cpu",
) -> None:
    """A .query file by any encoder: for bundles whose encoder is too large to ship."""
    import numpy as np

    from marssep_rt.query.audio_input import read_windows
    from marssep_rt.query.image_input import read_image
    from marssep_rt.query.query_file import write_query
    from marssep_rt.query.types import Query
    from marssep_rt.utils.vectors import unit_vector as unit
    from offline_training.encoders import open_encoder

    check_output(output)
    if not (query or image or audio):
        raise UsageError("say what to hear: --query TEXT, --audio FILE or --image FILE")
    with sentences():
        loaded = open_encoder(encoder, weights, heads, device)
        parts = [*loaded.embed_text(list(query))] if query else []
        parts += [loaded.embed_image([read_image(path, 336)])[0] for path in image or []]
        parts += [unit(loaded.embed_audio(read_windows(path)).mean(axis=0)) for path in audio or []]
    label = " + ".join([*(query or []), *(p.name for p in [*(image or []), *(audio or [])])])
    write_query(output, Query(unit(np.mean(parts, axis=0)), loaded.id, label))
    opt.console.print(f"{label} -> {output} (encoder {loaded.id})", markup=False, soft_wrap=True)


@opt.plain_errors
def semantics(
    output: Annotated[Path, typer.Option("-o", "--output", help="Figures to write.", metavar="FILE.json")],
    run: Annotated[
        Path, typer.Option("--run", help="Folder of marssep train align (builtin).", metavar="FOLDER")
    ],
    corpus: CorpusFolder = Path("cache/corpus"),
    images: ImageManifest = None,
    text: TextFrom = None,
    split: Annotated[str, typer.Option("--split", help="val or test.")] = "test",
    pairs: Annotated[
        int, typer.Option("--pairs", help="(target, mixture) pairs of the discriminability.", min=10)
    ] = 500,
    classifier: Annotated[
        Path | None,
        typer.Option("--classifier", help="Folder of align --recipe classifier.", metavar="FOLDER"),
    ] = None,
) -> None:
    """What the encoders know after each stage: sounds and images to labels, and the paper's
    discriminability (its Table 10).
    """
    from offline_training.data.corpus import Corpus
    from offline_training.encoders.builtin import BuiltinEncoder
    from offline_training.evaluation.encoder_report import report_on

    check_split(split)
    check_output(output)
    with sentences(), bar() as progress:
        bank = image_bank(images, progress)
        figures = report_on(
            run, Corpus(corpus), bank, BuiltinEncoder(text=text), split, pairs, classifier, stepwise(progress)
        )
    command = f"marssep train semantics --run {run.name} --split {split} --pairs {pairs}"
    write_json(output, {"command": command, **figures})
    print(json.dumps(figures, indent=1))


@opt.plain_errors
def vocabulary(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="sounds.json for a bundle.", metavar="FILE.json")
    ],
    corpus: CorpusFolder = Path("cache/corpus"),
    images: ImageManifest = None,
    weights: Weights = None,
    text: TextFrom = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            "--checkpoint",
            help="The separator whose labels are known (else all in train).",
            metavar="FILE.pt",
        ),
    ] = None,
    places: Annotated[
        Path | None,
        typer.Option(
            "--places",
            help="Families and classes of marssep train space are known words too.",
            metavar="FILE.npz",
        ),
    ] = None,
) -> None:
    """Fit from which distance on a query is out of vocabulary; prints how well that works."""
    from offline_training.alignment import data as alignment_data
    from offline_training.data.corpus import BACKGROUNDS, Corpus
    from offline_training.encoders.builtin import BuiltinEncoder
    from offline_training.evaluation import vocabulary_fit
    from offline_training.utils import checkpoint_io

    check_output(output)
    with sentences(), bar() as progress:
        known_labels = None if checkpoint is None else checkpoint_io.load(checkpoint).get("labels")
        found = None if places is None else read_table(places)
        encoder = BuiltinEncoder(Path(weights) if weights else None, text)
        data = Corpus(corpus)
        bank = image_bank(images, progress)
        labels = sorted({c.label for c in data.clips if c.split == "train"} - set(BACKGROUNDS))
        labels = known_labels or labels
        named = [] if found is None else [name.lower() for name in (*found.families, *found.classes)]
        sounds = shown = None
        if "audio" in encoder.modalities:
            wanted = [data.samples(c) for c in data.clips if c.split == "val" and c.label in labels]
            sounds = encoder.embed_audio(wanted)
        if "image" in encoder.modalities and bank is not None:
            held_out = alignment_data.held_out_images(bank, labels, "val")
            shown = encoder.embed_image([rgb for group in held_out.values() for rgb in group])
        words = [*labels, *(n for n in dict.fromkeys(named) if n not in labels)]
        families = {} if found is None else found.families
        asked = len({*labels, *(name.lower() for name in families)})
        known, figures = vocabulary_fit.fit(encoder, words, sounds, shown, len(labels))
        known = replace(known, asked=asked)
    write_text(output, known.dump(encoder.id, figures))
    print(json.dumps(figures, indent=1))


def register(app: typer.Typer) -> None:
    """Put the commands on ``marssep train``."""
    app.command(cls=opt.PlainCommand)(trunk)
    app.command(cls=opt.PlainCommand)(space)
    app.command(cls=opt.PlainCommand)(rebase)
    opt.command(app, EmbedOptions)(embed)
    app.command(cls=opt.PlainCommand)(query)
    app.command(cls=opt.PlainCommand)(semantics)
    app.command(cls=opt.PlainCommand)(vocabulary)
