"""``marssep train``: the commands about the field's corpora and tables (field-lists, clean-plus)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from marssep_rt.cli import options as opt
from marssep_rt.errors import UsageError
from offline_training.cli.common import (
    Device,
    EncoderName,
    Heads,
    TextFrom,
    Weights,
    bar,
    check_device,
    check_output,
    sentences,
    write_json,
)

Root = Annotated[
    Path, typer.Option("--root", help="Folder that the lists' paths begin at.", metavar="FOLDER")
]


@opt.plain_errors
def field_lists(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for manifest.csv and images.csv.", metavar="FOLDER")
    ],
    train: Annotated[Path, typer.Option("--train", help="List of training clips.", metavar="CSV")],
    val: Annotated[
        Path | None, typer.Option("--val", help="List of validation clips.", metavar="CSV")
    ] = None,
    test: Annotated[Path | None, typer.Option("--test", help="List of test clips.", metavar="CSV")] = None,
    root: Root = Path(),
) -> None:
    """Manifests from the lists of VGGSound or MUSIC (sound, frames, number of frames, label) and your own
    recordings.
    """
    from offline_training.data.corpus import read_manifest
    from offline_training.data.vggsound import write_manifests

    lists = {
        split: path for split, path in (("train", train), ("val", val), ("test", test)) if path is not None
    }
    with sentences():
        counts = write_manifests(lists, root, output)
        read_manifest(output / "manifest.csv")
    told = ", ".join(f"{split} {kept} of {listed}" for split, (kept, listed) in counts.items())
    opt.console.print(
        f"{output / 'manifest.csv'}: clips that are there: {told}", markup=False, soft_wrap=True
    )


@dataclass(kw_only=True)
class CleanPlusOptions:
    """The options of ``marssep train clean-plus``."""

    checkpoint: Annotated[
        Path, typer.Argument(help="A checkpoint of supervise or reinforce.", metavar="CHECKPOINT")
    ]
    targets: Annotated[
        Path, typer.Option("--targets", help="List of targets (test-good.csv).", metavar="CSV")
    ]
    others: Annotated[
        Path, typer.Option("--others", help="List of interferers (test-no-music.csv).", metavar="CSV")
    ]
    output: Annotated[Path, typer.Option("-o", "--output", help="Figures to write.", metavar="FILE.json")]
    examples: Annotated[
        Path | None, typer.Option("--examples", help="List of clips for audio queries.", metavar="CSV")
    ] = None
    root: Root = Path()
    query: Annotated[str, typer.Option("--query", help="text, audio, image or omni.")] = "text"
    encoder: EncoderName = "builtin"
    weights: Weights = None
    heads: Heads = None
    text: TextFrom = None
    clap: Annotated[
        str | None, typer.Option("--clap", help="CLAP weights (name or folder) for CLAPt and CLAPa.")
    ] = None
    device: Device = "cpu"


def clean_plus(options: CleanPlusOptions) -> None:
    """The tables of the papers: VGGSound-clean+ and MUSIC-clean+ by the field's own protocol, mean and
    standard error.
    """
    from offline_training.data.vggsound import read_list, there
    from offline_training.encoders import open_encoder
    from offline_training.encoders.clap_clip import Clap
    from offline_training.evaluation.clean_plus import KINDS, Queries, measure, summarise
    from offline_training.models.registry import load_separator

    check_device(options.device)
    check_output(options.output)
    if options.query not in KINDS:
        raise UsageError(f"query is {options.query!r}; choose {', '.join(KINDS[:-1])} or {KINDS[-1]}")
    with sentences(), bar() as progress:
        model, content = load_separator(options.checkpoint)
        loaded = open_encoder(options.encoder, options.weights, options.heads, options.device, options.text)
        if content.get("encoder", loaded.id) != loaded.id:
            raise UsageError(
                f"{options.checkpoint} was trained on encoder {content['encoder']}, not on "
                f"{loaded.id}; name it with --encoder"
            )
        targets, others, examples = (
            there(read_list(path, options.root), str(path)) if path is not None else []
            for path in (options.targets, options.others, options.examples)
        )
        clap = Clap.from_pretrained(options.clap, options.device) if options.clap is not None else None
        task = progress.add_task("measuring", total=len(targets))
        rows = measure(
            model.to(options.device),
            Queries(loaded, examples),
            targets,
            others,
            options.query,
            clap,
            options.device,
            lambda done, _: progress.update(task, completed=done),
        )
    named = {"targets_list": options.targets.name, "others_list": options.others.name}
    figures = {"query": options.query, **named, **summarise(rows)}
    write_json(options.output, {**figures, "rows": rows})
    print(json.dumps(figures, indent=1))


def register(app: typer.Typer) -> None:
    """Put the commands on ``marssep train``."""
    app.command(cls=opt.PlainCommand)(field_lists)
    opt.command(app, CleanPlusOptions)(clean_plus)
