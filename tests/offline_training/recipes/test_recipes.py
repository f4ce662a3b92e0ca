"""Every recipe that ships can be read and built."""

import tomllib
from pathlib import Path

import pytest

from offline_training.alignment.config import AlignmentConfig
from offline_training.data.eval_mixtures import EvalConfig
from offline_training.data.mixtures import MixtureConfig
from offline_training.encoders.sound_space import space_config
from offline_training.evaluation.experiment import Plan, changed
from offline_training.models import registry
from offline_training.reinforce.trainer import ReinforceConfig
from offline_training.training.supervised import TrainConfig
from offline_training.utils.recipe_files import RECIPES, RENAMED, recipe_path, shipped


@pytest.mark.parametrize("path", shipped().values(), ids=lambda p: p.stem)
def test_recipe(path):
    recipe = tomllib.loads(path.read_text())
    kind = recipe.pop("kind")
    if kind in ("supervise", "reinforce"):
        known = {"bf16", "separator", "train", "mixtures", "validation"} | (
            {"anchor", "reinforce", "surrogate", "reward"} if kind == "reinforce" else set()
        )
        assert recipe.keys() <= known
        config = TrainConfig(**recipe["train"])
        assert 0 < config.decay_steps <= config.steps
        mixtures = MixtureConfig(**recipe["mixtures"])
        assert sum(mixtures.query_kinds) == pytest.approx(1)
        EvalConfig(**recipe["validation"])
        registry.build(recipe.get("separator", {}))
        ReinforceConfig.of(recipe)
    elif kind in ("align", "judge"):
        for taken in ("towers", "views", "one_hot", "held_out_labels", "splits", "fresh"):
            recipe.pop(taken, None)
        assert [s.number for s in AlignmentConfig.of(recipe).stages] == sorted(
            {s["number"] for s in recipe["stages"]}
        )
    elif kind == "experiment":
        plan = Plan.of(recipe)
        for arm in plan.arms:
            if arm.kind != "start":
                inner = changed(tomllib.loads(recipe_path(Path(arm.recipe)).read_text()), arm.set)
                assert inner["kind"] == arm.kind
                TrainConfig(**inner["train"])
                ReinforceConfig.of(inner)
    elif kind == "space":
        space_config(recipe)
    else:
        assert kind == "text"


def test_recipes_are_found_by_name_by_folder_and_by_their_earlier_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(shipped()) == len(list(RECIPES.rglob("*.toml")))  # no name stands in two folders
    assert (
        recipe_path(Path("align"))
        == recipe_path(Path("encoders/align"))
        == RECIPES / "encoders" / "align.toml"
    )
    assert recipe_path(Path("base")) == RECIPES / "separator" / "1_base.toml"
    assert all(recipe_path(Path(name)) is not None and name not in shipped() for name in RENAMED)
    assert recipe_path(Path("rl/align")) is None
    Path("align").mkdir()
    assert recipe_path(Path("align")) == RECIPES / "encoders" / "align.toml"
    Path("base").write_text("")
    assert recipe_path(Path("base")) == Path("base")


def test_the_control_of_the_ablation_is_fair():
    """As many updates as reinforcement makes, on the same mixtures."""
    ours, control = (
        tomllib.loads(recipe_path(Path(name)).read_text()) for name in ("reinforce", "continued")
    )
    assert control["train"]["steps"] == ours["train"]["steps"] * ours["reinforce"]["inner_steps"]
    assert control["mixtures"] == ours["mixtures"]
    for name in ("lr", "weight_decay"):
        assert control["train"][name] == ours["train"][name]
    # reinforcement averages its weights once a rollout, supervision once an update
    assert control["train"]["ema"] ** ours["reinforce"]["inner_steps"] == pytest.approx(
        ours["train"]["ema"], abs=5e-4
    )
    for name in ("warmup_steps", "decay_steps"):
        assert control["train"][name] == ours["train"][name] * ours["reinforce"]["inner_steps"]


def test_labels_that_are_left_out_are_labels():
    left_out = tomllib.loads(recipe_path(Path("unseen")).read_text())["mixtures"]["held_out_labels"]
    assert len(set(left_out)) == 10
    assert left_out == sorted(left_out)
