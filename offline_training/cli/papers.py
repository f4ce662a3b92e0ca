"""``marssep train``: the commands about the field's corpora and tables (field-lists, clean-plus, lass)."""

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


@dataclass(kw_only=True)
class LassOptions:
    """The options of ``marssep train lass``."""

    bundle: Annotated[Path | None, typer.Argument(help="A bundle; the built-in one if left out.")] = None
    protocol: Annotated[str, typer.Option("--protocol", help="audiosep or dcase.")]
    mixtures: Annotated[
        Path,
        typer.Option(
            "--list", help="Such as esc50_eval.csv or lass_synthetic_validation.csv.", metavar="CSV"
        ),
    ]
    audio: Annotated[Path, typer.Option("--audio", help="Folder of the list's audio.", metavar="FOLDER")]
    output: Annotated[Path, typer.Option("-o", "--output", help="Figures to write.", metavar="FILE.json")]
    query_column: Annotated[
        str | None,
        typer.Option(
            "--query-column",
            help="Column of the query; caption if left out (of VGGSound s0_text).",
            metavar="NAME",
        ),
    ] = None

    @property
    def command(self) -> str:
        """The command that repeats the measurement, without what is only a folder of this machine."""
        named = "" if self.query_column is None else f" --query-column {self.query_column}"
        return f"marssep train lass --protocol {self.protocol} --list {self.mixtures.name}{named}"


def lass(options: LassOptions) -> None:
    """SDRi and SI-SDR by the public lists of language-queried audio source separation: AudioSep's, and DCASE
    2024 Task 9's.
    """
    from marssep_rt.model import bundle as bundles
    from offline_training.data.lass_lists import RATES, present, read_mixtures
    from offline_training.evaluation.lass import UsersBundle, as_rows, measure, summarise

    if options.protocol not in RATES:
        raise UsageError(f"protocol is {options.protocol!r}; choose {' or '.join(RATES)}")
    check_output(options.output)
    loaded = bundles.load(options.bundle)
    rate = RATES[options.protocol]
    with sentences(), bar() as progress:
        listed = read_mixtures(options.mixtures, options.audio, options.protocol, options.query_column)
        there = present(listed, options.mixtures)
        if len(there) < len(listed):
            gone = f"not there, and left out: {len(listed) - len(there)} of {len(listed)} mixtures"
            progress.console.print(gone, markup=False, soft_wrap=True)
        task = progress.add_task("measuring", total=len(there))
        found, left_out = measure(
            there, rate, UsersBundle(loaded).separate, lambda done: progress.update(task, completed=done)
        )
        if left_out:
            first = f"the first, {left_out[0]['id']}: {left_out[0]['why']}"
            progress.console.print(
                f"{len(left_out)} more cannot be measured; {first}", markup=False, soft_wrap=True
            )
    figures = {
        "command": options.command,
        "protocol": options.protocol,
        "list": options.mixtures.name,
        "bundle": loaded.name,
        "sample_rate": rate,
        "rows_used": len(found),
        "rows_missing": len(listed) - len(there),
        "rows_not_measured": len(left_out),
        **summarise(found),
    }
    write_json(options.output, {**figures, "not_measured": left_out, "rows": as_rows(found)})
    print(json.dumps(figures, indent=1))


def register(app: typer.Typer) -> None:
    """Put the commands on ``marssep train``."""
    app.command(cls=opt.PlainCommand)(field_lists)
    opt.command(app, CleanPlusOptions)(clean_plus)
    opt.command(app, LassOptions)(lass)
