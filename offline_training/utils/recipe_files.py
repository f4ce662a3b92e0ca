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


def word_list(name: str) -> tuple[str, ...]:
    """The lines of a list in ``recipes/lexicon``; raises ValueError where there is none by that name."""
    path = LEXICON / f"{name}.txt"
    if not path.is_file():
        raise ValueError(f"no {path.name} in recipes/lexicon")
    lines = (line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return tuple(line for line in lines if line)
