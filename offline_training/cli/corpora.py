"""``marssep train``: the commands about recordings (manifest, corpus, notice)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from marssep_rt.cli import options as opt
from marssep_rt.console import print_line
from marssep_rt.errors import UsageError
from offline_training.cli.common import CorpusFolder, ImageManifest, bar, image_bank, sentences, write_text
from offline_training.utils.wording import SHOWN, first_few


@opt.plain_errors
def manifest(
    folder: Annotated[Path, typer.Argument(help="A folder with a sub-folder of recordings for every label.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The manifest to write.", metavar="FILE.csv")
    ],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing manifest.")] = False,
) -> None:
    """A manifest of your own recordings: marssep train manifest sounds/ -o sounds.csv"""
    from offline_training.data.manifest import LEAST_LABELS, LEAST_RECORDINGS, from_folder

    if output.exists() and not overwrite:
        raise UsageError(f"{output} exists; give --overwrite to replace it")
    with sentences():
        made = from_folder(folder, output)
    write_text(output, made.text)
    counts = made.counts
    thin = [label for label, count in counts.items() if count < 3]
    print(f"{output}: {sum(counts.values())} recordings of {len(counts)} labels")
    if made.left_out:
        print(made.left_out_sentence())
    if thin:
        print(
            "labels with fewer than three recordings, which cannot be trained, validated and "
            f"tested: {', '.join(thin)}"
        )
    enough = sum(count >= LEAST_RECORDINGS for count in counts.values())
    if enough < LEAST_LABELS:
        print(
            f"a training with its validation needs {LEAST_LABELS} labels with at least {LEAST_RECORDINGS} "
            f"recordings; here are {enough}"
        )


@opt.plain_errors
def corpus(
    manifest: Annotated[
        Path, typer.Argument(help="CSV with path, label, split, group; or a folder of LABEL/recordings.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for the decoded corpus.", metavar="FOLDER")
    ],
) -> None:
    """Decode a manifest of labelled clips once into one memory-mapped file; of a folder the manifest is made
    first."""
    from offline_training.data.corpus import Corpus, decode
    from offline_training.data.manifest import written_beside_corpus
    from offline_training.utils.run import check_folder

    with sentences(), bar() as progress:
        check_folder(output)
        if manifest.is_dir():
            manifest, said = written_beside_corpus(manifest, output)
            for sentence in said:
                print_line(sentence)
        task = progress.add_task("decoding", total=None)
        for done, total in decode(manifest, output):
            progress.update(task, completed=done, total=total)
        made = Corpus(output)
    if made.unreadable:
        number = len(made.unreadable)
        print_line(
            f"left out {number} {'clip' if number == 1 else 'clips'} that cannot be read: "
            f"{first_few(made.unreadable)}{everything_in(output, number)}"
        )
    if lone := made.lone_labels():
        print_line(
            f"labels with a single recording in train, which audio queries then also use: {', '.join(lone)}"
        )


def everything_in(corpus: Path, number: int) -> str:
    """Where all names are, if not all of a ``number`` of them are shown."""
    return f"; {corpus / 'index.json'} names all" if number > SHOWN else ""


@opt.plain_errors
def notice(
    corpus: CorpusFolder = Path("cache/corpus"),
    images: ImageManifest = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="The file to write.")] = Path("NOTICE"),
) -> None:
    """The attributions of everything that a model was trained on, generated from the manifests."""
    from offline_training.data.corpus import Corpus, attributions
    from offline_training.utils.recipe_files import RECIPES

    text = (RECIPES / "notice_head.txt").read_text(encoding="utf-8")
    with sentences(), bar() as progress:
        bank = image_bank(images, progress)
        text += credits(attributions(Corpus(corpus).clips, ("train", "val")), "clip")
        if bank is not None:
            text += "\nThe image encoder was trained on images of the following collections. "
            text += "No image is part of this package.\n\n"
            text += credits(attributions(bank.images), "image")
    write_text(output, text)


def credits(lines: list[tuple[str, str, int]], what: str) -> str:
    """A line for each author and licence."""
    return "".join(
        f"{who or 'unnamed author'} ({licence}): {n} {what}{'s' if n > 1 else ''}\n"
        for licence, who, n in lines
    )


def register(app: typer.Typer) -> None:
    """Put the commands on ``marssep train``."""
    for command in (manifest, corpus, notice):
        app.command(cls=opt.PlainCommand)(command)
