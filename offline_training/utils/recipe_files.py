"""Where the shipped recipes and word lists are, and what a recipe's name stands for."""

from __future__ import annotations

from pathlib import Path

RECIPES = Path(__file__).parents[1] / "recipes"
LEXICON = RECIPES / "lexicon"
RENAMED = {  # names that recipes had before they moved into folders
    "base": "1_base",
    "base_decay": "2_base_decay",
    "more": "3_restart",
    "follow": "4_all_queries",
    "again": "5_warm_restart",
    "once_more": "6_warm_restart_b",
    "cross": "crossfit_queries",
    "sight": "mobilenet",
    "unaligned": "stage0_only",
    "unheard": "unseen",
}


def shipped() -> dict[str, Path]:
    """Name -> file of every recipe that ships; the name is the file's, without its folder."""
    return {path.stem: path for path in sorted(RECIPES.rglob("*.toml"))}


def recipe_path(name: Path) -> Path | None:
    """The file of a recipe: ``name`` itself where it is a file, else the one that ships by that name (with or
    without its folder, or by an earlier name); None where there is none.
    """
    if name.exists() and not name.is_dir():
        return name
    files = shipped()
    found = files.get(RENAMED.get(str(name), name.name))
    if found is None or (len(name.parts) > 1 and found != RECIPES / f"{name}.toml"):
        return None
    return found
