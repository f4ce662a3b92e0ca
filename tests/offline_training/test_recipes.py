"""Every recipe that ships can be read and built."""

import tomllib

import pytest

from offline_training import checkpoint
from offline_training.alignment import AlignmentConfig
from offline_training.cli_tools import RECIPES
from offline_training.eval_set import EvalConfig
from offline_training.experiment import Plan, changed
from offline_training.mixtures import MixtureConfig
from offline_training.reinforce import ReinforceConfig
from offline_training.supervised import TrainConfig


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda p: p.stem)
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
        checkpoint.build(recipe.get("separator", {}))
        ReinforceConfig.of(recipe)
    elif kind in ("align", "judge"):
        for taken in ("towers", "views", "one_hot", "held_out_labels", "splits", "fresh"):
            recipe.pop(taken, None)
        assert [s.number for s in AlignmentConfig.of(recipe).stages] == sorted({s["number"] for s in recipe["stages"]})
    elif kind == "experiment":
        plan = Plan.of(recipe)
        for arm in plan.arms:
            if arm.kind != "start":
                inner = changed(tomllib.loads((RECIPES / f"{arm.recipe}.toml").read_text()), arm.set)
                assert inner["kind"] == arm.kind
                TrainConfig(**inner["train"])
                ReinforceConfig.of(inner)
    else:
        assert kind == "text"


def test_the_control_of_the_ablation_is_fair():
    """As many updates as reinforcement makes, on the same mixtures."""
    ours, control = (tomllib.loads((RECIPES / f"{name}.toml").read_text()) for name in ("reinforce", "continued"))
    assert control["train"]["steps"] == ours["train"]["steps"] * ours["reinforce"]["inner_steps"]
    assert control["mixtures"] == ours["mixtures"]
    for name in ("lr", "weight_decay"):
        assert control["train"][name] == ours["train"][name]
    # reinforcement averages its weights once a rollout, supervision once an update
    assert control["train"]["ema"] ** ours["reinforce"]["inner_steps"] == pytest.approx(ours["train"]["ema"], abs=5e-4)
    for name in ("warmup_steps", "decay_steps"):
        assert control["train"][name] == ours["train"][name] * ours["reinforce"]["inner_steps"]


def test_labels_that_are_left_out_are_labels():
    left_out = tomllib.loads((RECIPES / "unheard.toml").read_text())["mixtures"]["held_out_labels"]
    assert len(set(left_out)) == 10
    assert left_out == sorted(left_out)
