"""Experiments: several ways to train (arms), several seeds each, measured on the same mixtures and compared
pair by pair.

Everything lies in one folder and is made once: what is there already is not made again, so an interrupted
experiment goes on with the same command. Arms differ from the control in nothing but what the recipe says.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt

from marssep_rt.utils.atomic_io import write_whole
from offline_training.evaluation.separation import Row
from offline_training.utils.recipe import Key
from offline_training.utils.run import RunError

Numbers = npt.NDArray[np.float64]
COLUMNS = (
    "si_sdri",
    "sdri",
    "sdr",
    "sir",
    "sar",
    "similarity",
    "wins",
    "absent_db",
    "worse",
    "audio",
    "audio_new",
    "image",
    "omni",
)


@dataclass(frozen=True)
class Arm:
    """One way to train."""

    name: Annotated[str, Key("Of the arm.")]
    kind: Annotated[
        Literal["start", "supervise", "reinforce"],
        Key("start: the checkpoint that all begin with; else how the arm goes on from it."),
    ]
    recipe: Annotated[str, Key("Name or file of the arm's recipe.")] = ""
    set: Annotated[dict[str, Any], Key("Keys of it that are changed, by dotted name.")] = field(
        default_factory=dict
    )
    reward: Annotated[str, Key("Which of the rewards (--reward) a reinforced arm earns.")] = ""

    def __post_init__(self) -> None:
        if self.kind == "reinforce" and not self.reward:
            raise ValueError(f"arm {self.name} is reinforced and names no reward")


@dataclass(frozen=True)
class Plan:
    """A recipe of kind experiment."""

    arms: tuple[Arm, ...]
    control: Annotated[str, Key("The arm that the others are compared with.")]
    seeds: Annotated[tuple[int, ...], Key("Every arm is trained once with each.", least=0)] = (1, 2, 3)
    split: Annotated[Literal["val", "test"], Key("What is measured on.")] = "val"
    mixtures: Annotated[int, Key("Mixtures that all are measured on.", least=1)] = 1000
    bss: Annotated[int, Key("Of how many BSS-eval is worked out.", least=0)] = 200
    by_example: Annotated[
        int | None, Key("With how many recordings and images query, too; unset: with all.", least=0)
    ] = None
    absent_of: Annotated[
        int | None, Key("With how many an absent label is queried; unset: with all.", least=0)
    ] = None
    unseen: Annotated[
        tuple[str, ...],
        Key("Labels that no mixture holds but those of the set of unseen labels.", named=True),
    ] = ()
    sets: Annotated[tuple[str, ...], Key("Sets of marssep train suite that are asked, too.")] = ()
    unseen_mixtures: Annotated[int, Key("Mixtures of the set of unseen labels.", least=0)] = 60

    def __post_init__(self) -> None:
        names = [arm.name for arm in self.arms]
        if len(set(names)) != len(names) or self.control not in names:
            told = ", ".join(names) or "missing"
            raise ValueError(
                f"arms are {told}; each needs a name of its own and one must be the control {self.control!r}"
            )


def changed(recipe: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe with settings replaced by dotted name ("surrogate.entropy")."""
    result = copy.deepcopy(dict(recipe))
    for name, value in changes.items():
        *sections, last = name.split(".")
        place = result
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = value
    return result


@dataclass(frozen=True)
class Measured:
    """What a checkpoint does.

    Attributes:
        rows: On the plan's mixtures.
        sets: Set of ``suite`` -> SI-SDRi of every question in dB.
    """

    rows: list[Row]
    sets: dict[str, list[float]] = field(default_factory=dict)

    def dump(self) -> str:
        """As JSON."""
        return json.dumps({"rows": [asdict(row) for row in self.rows], "sets": self.sets})

    @classmethod
    def read(cls, path: Path) -> Measured:
        """What ``dump`` wrote; earlier files hold the rows alone."""
        plain = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(plain, list):
            plain = {"rows": plain}
        return cls([Row(**row) for row in plain["rows"]], plain.get("sets", {}))

    def columns(self) -> dict[str, Numbers]:
        """Every column by name, [questions]."""
        return columns(self.rows) | {name: np.array(gains) for name, gains in self.sets.items()}


def columns(rows: Sequence[Row]) -> dict[str, Numbers]:
    """Every column of COLUMNS that the rows have, [mixtures], NaN where a mixture has none."""
    plain: dict[str, list[float]] = {name: [] for name in COLUMNS}
    for row in rows:
        known = {
            "si_sdri": row.si_sdri,
            "sdri": row.sdri,
            "absent_db": row.absent_db,
            "worse": float(row.si_sdri < 0),
            **row.bss,
            "similarity": row.judged.get("output_similarity"),
            "wins": row.judged.get("output_wins"),
            **row.by_query,
        }
        for name in COLUMNS:
            value = known.get(name)
            plain[name].append(np.nan if value is None else float(value))
    found = {name: np.array(values) for name, values in plain.items()}
    return {name: values for name, values in found.items() if not np.isnan(values).all()}


def interval(values: Numbers, seed: int = 0, draws: int = 2000) -> tuple[float, float]:
    """95 % percentile interval of the mean of [seeds, mixtures], drawn over both; mixtures without the figure
    are left out.
    """
    values = values[:, ~np.isnan(values).any(axis=0)]
    rng = np.random.default_rng(seed)
    seeds, mixtures = values.shape
    means = np.empty(draws)
    for i in range(draws):
        some = values[rng.integers(0, seeds, seeds)].mean(axis=0)
        means[i] = some[rng.integers(0, mixtures, mixtures)].mean()
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def compare(arms: Mapping[str, Sequence[dict[str, Numbers]]], control: str) -> dict[str, dict[str, Any]]:
    """Means of every arm and column, and their paired differences to ``control`` with intervals over mixtures
    and seeds.

    ``arms``: for each arm the ``columns`` of each of its seeds. An arm with another number of seeds than the
    control (the start has one) is compared by its mean over seeds.
    """
    result: dict[str, dict[str, Any]] = {}
    for name, runs in arms.items():
        result[name] = {"seeds": len(runs), "columns": {}}
        for column in (*COLUMNS, *(c for c in arms[control][0] if c not in COLUMNS)):
            if not all(column in run for run in runs) or not all(column in run for run in arms[control]):
                continue
            own, other = (np.stack([run[column] for run in some]) for some in (runs, arms[control]))
            if len(own) != len(other):
                own, other = own.mean(axis=0, keepdims=True), other.mean(axis=0, keepdims=True)
            difference = own - other
            low, high = interval(difference)
            result[name]["columns"][column] = {
                "mean": round(float(np.nanmean(own)), 4),
                "minus_control": round(float(np.nanmean(difference)), 4),
                "minus_control_95": [round(low, 4), round(high, 4)],
            }
    return result


def as_markdown(found: Mapping[str, Mapping[str, Any]], control: str) -> str:
    """The comparison as a table: mean and, under it, the difference to the control with its interval."""
    names = list(dict.fromkeys(c for arm in found.values() for c in arm["columns"]))
    lines = ["| arm | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for arm, figures in found.items():
        cells = []
        for column in names:
            cell = figures["columns"].get(column)
            if cell is None:
                cells.append("")
                continue
            low, high = cell["minus_control_95"]
            against = "" if arm == control else f" ({cell['minus_control']:+.3f}, {low:+.3f} .. {high:+.3f})"
            cells.append(f"{cell['mean']:.3f}{against}")
        lines.append(f"| {arm} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def named_runs(plan: Plan) -> dict[str, tuple[Arm, int | None]]:
    """Every training by name, ARM or ARM-SEED, in the order in which it is done: all arms of a seed before
    the next seed.
    """
    first: list[tuple[Arm, int | None]] = [(arm, None) for arm in plan.arms if arm.kind == "start"]
    runs = first + [(arm, seed) for seed in plan.seeds for arm in plan.arms if arm.kind != "start"]
    return {arm.name if seed is None else f"{arm.name}-{seed}": (arm, seed) for arm, seed in runs}


def check_names(plan: Plan, only: Collection[str]) -> None:
    """Raise RunError for a name that is neither an arm nor a run of a plan."""
    named = named_runs(plan)
    if unknown := sorted(set(only) - set(named) - {arm.name for arm in plan.arms}):
        raise RunError(f"{unknown[0]} is no arm and no run of this experiment; there are {', '.join(named)}")


class Experiment:
    """A plan carried out in ``folder``: ``ARM-SEED/`` for each training, ``ARM-SEED.rows.json`` for its
    figures, ``report.*``.

    ``train(arm, recipe, folder)`` trains to the end or returns False when it was stopped.
    """

    def __init__(
        self,
        folder: Path,
        plan: Plan,
        start: Path,
        read_recipe: Callable[[str, str], dict[str, Any]],
        train: Callable[[Arm, dict[str, Any], Path], bool],
        measure: Callable[[Path], Measured],
    ) -> None:
        self.folder, self.plan, self.start = folder, plan, start
        self.read_recipe, self.train, self.measure = read_recipe, train, measure

    def rows_path(self, name: str) -> Path:
        return self.folder / f"{name}.rows.json"

    def missing(self) -> list[str]:
        """Names of the runs that have no figures yet."""
        return [name for name in named_runs(self.plan) if not self.rows_path(name).exists()]

    def make(self, name: str) -> bool:
        """Train and measure a run; False when it was stopped."""
        arm, seed = named_runs(self.plan)[name]
        checkpoint = self.start
        if seed is not None:
            recipe = changed(self.read_recipe(arm.recipe, arm.kind), {**arm.set, "train.seed": seed})
            if not self.train(arm, recipe, self.folder / name):
                return False
            checkpoint = self.folder / name / "best.pt"
        write_whole(self.rows_path(name), self.measure(checkpoint).dump())
        return True

    def run(self, only: Collection[str] = ()) -> dict[str, Any] | None:
        """Everything that is missing (of the arms or runs in ``only``, if any are named), then
        ``report.json`` and ``report.md``.

        None when a training was stopped or when others than those are still missing. Raises RunError for a
        name that is none.
        """
        check_names(self.plan, only)
        self.folder.mkdir(parents=True, exist_ok=True)
        named = named_runs(self.plan)
        for name in self.missing():
            if only and not {name, named[name][0].name} & set(only):
                continue
            if not self.make(name):
                return None
        if self.missing():
            return None
        found: dict[str, list[dict[str, Numbers]]] = {arm.name: [] for arm in self.plan.arms}
        for name, (arm, _) in named.items():
            found[arm.name].append(Measured.read(self.rows_path(name)).columns())
        report = {"plan": asdict(self.plan), "arms": compare(found, self.plan.control)}
        write_whole(self.folder / "report.json", json.dumps(report, indent=1))
        write_whole(self.folder / "report.md", as_markdown(report["arms"], self.plan.control))
        return report
