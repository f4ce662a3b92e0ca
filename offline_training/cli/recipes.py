"""The reference of all recipe keys: ``python -m offline_training.cli.recipes`` writes ``docs/recipes.md``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from offline_training.alignment.config import AlignmentConfig
from offline_training.encoders.sound_space import SpaceConfig
from offline_training.encoders.text_distillation import TextConfig
from offline_training.evaluation.experiment import Plan
from offline_training.models.omnisep import PaperConfig, PaperSpectral
from offline_training.models.stft import SpectralConfig
from offline_training.models.unet import UNetConfig
from offline_training.reinforce.config import ReinforceRecipe
from offline_training.training.config import SuperviseRecipe
from offline_training.utils.recipe import Row, rows

KINDS: dict[str, type] = {
    "supervise": SuperviseRecipe,
    "reinforce": ReinforceRecipe,
    "align": AlignmentConfig,
    "judge": AlignmentConfig,
    "space": SpaceConfig,
    "text": TextConfig,
    "experiment": Plan,
}
HEAD = """# Recipe keys

Every key of every recipe, its values, its default and its meaning. A recipe is a TOML file; its first key,
`kind`, says which command it is for. A key that does not exist is an error that names the nearest right keys;
a value that a key cannot have is an error that says what the key takes. Recipes that ship are in
`offline_training/recipes/`. See [training](training.md).

This file is generated: `python -m offline_training.cli.recipes`.
"""


def reference() -> str:
    """The whole reference as Markdown."""
    known = {(row.table, row.name) for row in rows(SuperviseRecipe)}
    reinforced = [row for row in rows(ReinforceRecipe) if (row.table, row.name) not in known]
    networks = {
        "separator.unet": UNetConfig,
        "separator.spectral": SpectralConfig,
        'separator.unet, network = "paper"': PaperConfig,
        'separator.spectral, network = "paper"': PaperSpectral,
    }
    separator = [row for table, kind in networks.items() for row in rows(kind, table) if row.table == table]
    parts = [
        HEAD,
        "## supervise\n\n" + tables([*rows(SuperviseRecipe), *separator]),
        "## reinforce\n\nThe keys of supervise, and these.\n\n" + tables(reinforced),
        "## align and judge\n\n" + tables(rows(AlignmentConfig)),
        "## space\n\n" + tables(rows(SpaceConfig)),
        "## text\n\n" + tables(rows(TextConfig)),
        "## experiment\n\n" + tables(rows(Plan)),
    ]
    return "\n".join(parts)


def tables(keys: Iterable[Row]) -> str:
    """Keys as Markdown, one table for each of the recipe's tables."""
    by_table: dict[str, list[Row]] = {}
    for row in keys:
        by_table.setdefault(row.table, []).append(row)
    lines: list[str] = []
    for name, group in by_table.items():
        if name:
            lines += [f"### [{name}]", ""]
        lines += ["| key | values | default | meaning |", "|---|---|---|---|"]
        lines += [f"| `{r.name}` | {r.values} | `{r.default}` | {r.meaning} |" for r in group]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    (Path(__file__).parents[2] / "docs" / "recipes.md").write_text(reference(), encoding="utf-8")
