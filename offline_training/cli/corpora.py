"""``marssep train``: the commands about recordings (manifest, corpus, notice)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from marssep_rt.cli import options as opt
from marssep_rt.errors import UsageError
from offline_training.cli.common import CorpusFolder, ImageManifest, bar, image_bank, sentences, write_text


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
        text, counts, skipped = from_folder(folder, output)
    write_text(output, text)
    thin = [label for label, count in counts.items() if count < 3]
    print(f"{output}: {sum(counts.values())} recordings of {len(counts)} labels")
    if skipped:
        print(f"left out {skipped} files that are no recordings")
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
        opt.console.print(
            f"left out {len(made.unreadable)} unreadable clips: {'; '.join(made.unreadable)}",
            markup=False,
            soft_wrap=True,
        )
    if lone := made.lone_labels():
        opt.console.print(
            f"labels with a single recording in train, which audio queries then also use: {', '.join(lone)}",
            markup=False,
            soft_wrap=True,
        )


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
