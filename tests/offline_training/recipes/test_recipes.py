"""Every recipe that ships can be read, and what is wrong with one is said in a sentence."""

import tomllib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from offline_training.alignment.config import AlignmentConfig
from offline_training.cli.recipes import KINDS, reference
from offline_training.encoders.text_distillation import TextConfig
from offline_training.evaluation.experiment import changed
from offline_training.models import registry
from offline_training.reinforce.config import ReinforceRecipe
from offline_training.training.config import SuperviseRecipe
from offline_training.utils.recipe import Key, RecipeError, read, rows, share
from offline_training.utils.recipe_files import RECIPES, RENAMED, recipe_path, shipped, word_list

DOCS = Path(__file__).parents[3] / "docs" / "recipes.md"


def load(name):
    """A shipped recipe and its kind."""
    plain = tomllib.loads(recipe_path(Path(name)).read_text())
    kind = plain.pop("kind")
    return read(KINDS[kind], plain), kind


@pytest.mark.parametrize("name", shipped())
def test_recipe(name):
    recipe, kind = load(name)
    if kind in ("supervise", "reinforce"):
        assert 0 < recipe.train.decay_steps <= recipe.train.steps
        registry.build({} if recipe.separator is None else asdict(recipe.separator))
    elif kind in ("align", "judge"):
        numbers = [s.number for s in recipe.stages]
        assert numbers
        assert numbers == sorted(set(numbers))
    elif kind == "experiment":
        for arm in recipe.arms:
            if arm.kind != "start":
                inner = tomllib.loads(recipe_path(Path(arm.recipe)).read_text())
                assert inner.pop("kind") == arm.kind
                read(KINDS[arm.kind], changed(inner, arm.set))


@dataclass(frozen=True)
class Inner:
    """A table."""

    window: Annotated[int, Key("Size of the window.", least=1)] = 4
    windows: Annotated[tuple[int, ...], Key("Sizes.", least=1)] = (1, 2)
    other: Annotated[float, share("A share.")] = 0.5


@dataclass(frozen=True)
class Outer:
    """A recipe."""

    name: Annotated[str, Key("Its name.")]
    kind: Annotated[Literal["a", "b"], Key("Its kind.")] = "a"
    pair: Annotated[tuple[float, float], Key("Two numbers.", least=-1, most=1)] = (0.0, 1.0)
    labels: Annotated[tuple[str, ...], Key("Labels.", named=True)] = ()
    weights: Annotated[dict[str, float], Key("Of losses.", least=0)] = field(default_factory=dict)
    most: Annotated[int | None, Key("How many.", least=0)] = None
    flag: Annotated[bool, Key("Whether.")] = False
    inner: Inner = field(default_factory=Inner)
    many: tuple[Inner, ...] = ()
    loose: Annotated[dict[str, Any], Key("", table=Inner)] = field(default_factory=dict)

    def __post_init__(self):
        if self.name == "impossible":
            raise ValueError("this name cannot be")


def test_a_recipe_is_read_into_its_types():
    made = read(
        Outer,
        {
            "name": "x",
            "pair": [0, 0.5],
            "weights": {"one": 1},
            "most": 3,
            "inner": {"windows": [3]},
            "many": [{"window": 2}, {}],
            "loose": {"window": 7},
        },
    )
    assert made == Outer(
        "x",
        pair=(0.0, 0.5),
        weights={"one": 1.0},
        most=3,
        inner=Inner(windows=(3,)),
        many=(Inner(2), Inner()),
        loose={"window": 7},  # plain, so that its other defaults may depend on something
    )
    assert isinstance(made.pair[0], float)
    assert read(Outer, asdict(made)) == made


@pytest.mark.parametrize(
    ("plain", "said"),
    [
        ({"nam": "x"}, "the recipe has no key 'nam'; did you mean name?"),
        (
            {"name": "x", "zzz": 1},
            "the recipe has no key 'zzz'; its keys are name, kind, pair, labels, weights",
        ),
        ({"name": "x", "inner": {"windw": 1}}, "[inner] has no key 'windw'; did you mean window or windows?"),
        ({"name": "x", "other": 0.1}, "the recipe has no key 'other'; it belongs in [inner]"),
        ({"name": "x", "otherr": 0.1}, "the recipe has no key 'otherr'; did you mean other of [inner]?"),
        ({"name": "x", "inner": {"flag": True}}, "[inner] has no key 'flag'; it belongs in the recipe"),
        ({"name": "x", "many": [{"wind": 1}]}, "[many] has no key 'wind'; did you mean window"),
        ({"name": "x", "loose": {"wind": 1}}, "[loose] has no key 'wind'; did you mean window"),
        ({}, "the recipe lacks the key name"),
        ({"name": 3}, "name in the recipe is 3; give a text"),
        ({"name": "x", "kind": "c"}, 'kind in the recipe is "c"; give one of a, b'),
        ({"name": "x", "flag": 1}, "flag in the recipe is 1; give true or false"),
        ({"name": "x", "most": True}, "most in the recipe is true; give a whole number of at least 0"),
        ({"name": "x", "most": 1.5}, "most in the recipe is 1.5; give a whole number of at least 0"),
        ({"name": "x", "pair": [0]}, "give a list of two numbers from -1 to 1"),
        (
            {"name": "x", "pair": [0, 2]},
            "pair in the recipe is [0, 2]; give a list of two numbers from -1 to 1",
        ),
        ({"name": "x", "weights": {"a": -1}}, "give a table of numbers of at least 0"),
        (
            {"name": "x", "inner": {"other": float("nan")}},
            "other in [inner] is NaN; give a number from 0 to 1",
        ),
        ({"name": "x", "inner": {"windows": [0]}}, "give a list of whole numbers of at least 1"),
        ({"name": "x", "inner": 3}, "inner in the recipe is 3; give a table [inner]"),
        ({"name": "x", "many": {"window": 1}}, "give tables [[many]]"),
        ({"name": "x", "labels": "no_such_list"}, "no no_such_list.txt in recipes/lexicon"),
        ({"name": "impossible"}, "the recipe: this name cannot be"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(plain, said):
    with pytest.raises(RecipeError) as error:
        read(Outer, plain)
    assert said in str(error.value)


def test_a_key_may_have_its_earlier_name():
    sizes = {"audio": {"widths": [4, 8]}}
    assert read(AlignmentConfig, {"stages": [], "towers": sizes}) == read(
        AlignmentConfig, {"stages": [], "encoders": sizes}
    )
    with pytest.raises(RecipeError, match="the recipe has 'encoders' twice, once as 'towers'"):
        read(AlignmentConfig, {"stages": [], "towers": sizes, "encoders": sizes})


def test_the_keys_of_a_separator_are_those_of_its_network():
    read(SuperviseRecipe, {"separator": {"unet": {"band_memory": [16, 8]}}})
    with pytest.raises(RecipeError, match=r"\[separator.unet\] has no key 'chanels'; did you mean channels"):
        read(SuperviseRecipe, {"separator": {"unet": {"chanels": [1]}}})
    with pytest.raises(RecipeError, match=r"\[separator.unet\] has no key 'band_memory'"):
        read(SuperviseRecipe, {"separator": {"network": "paper", "unet": {"band_memory": [16, 8]}}})


def test_shares_make_a_whole():
    with pytest.raises(RecipeError, match=r"\[mixtures\]: the shares of query_kinds are 0.9 together, not 1"):
        read(SuperviseRecipe, {"mixtures": {"query_kinds": [0.5, 0.2, 0.1, 0.1]}})


def test_a_name_stands_for_a_list_of_words():
    recipe, _ = load("sound_queries")
    assert recipe.mixtures.held_out_labels == word_list("unseen_labels")
    assert "gong" in recipe.mixtures.held_out_labels
    assert all("#" not in word for word in word_list("unseen_labels"))


def test_the_unseen_labels_stand_in_one_place():
    for path in shipped().values():
        assert "geyser" not in path.read_text(), path
    for name, key in (
        ("ear", "held_out_labels"),
        ("images_in_sound_space", "held_out_labels"),
        ("space", "unseen"),
    ):
        assert getattr(load(name)[0], key) == word_list("unseen_labels")


def test_every_key_has_a_meaning_and_the_reference_is_not_stale():
    for kind, made in KINDS.items():
        for row in rows(made):
            assert row.meaning, f"{kind}: {row.table}.{row.name}"
    assert DOCS.read_text(encoding="utf-8") == reference(), (
        "write it again: python -m offline_training.cli.recipes"
    )


def test_fewer_steps_keep_their_schedule_whole():
    recipe = read(SuperviseRecipe, {"train": {"steps": 1000, "warmup_steps": 300, "decay_steps": 500}})
    train = recipe.with_steps(40).train
    assert (train.steps, train.warmup_steps, train.decay_steps) == (40, 10, 20)
    train = recipe.with_steps(5000).train
    assert (train.steps, train.warmup_steps, train.decay_steps) == (5000, 300, 500)
    plain = {"number": 0, "steps": 900, "warmup": 50}
    stages = read(AlignmentConfig, {"stages": [plain, {**plain, "number": 1}]}).with_steps(20).stages
    assert [(s.number, s.steps, s.warmup) for s in stages] == [(0, 20, 5), (1, 20, 5)]
    assert TextConfig().with_steps(7).steps == 7


def test_quick_recipes_are_short_and_ask_for_little():
    for kind in (SuperviseRecipe, ReinforceRecipe):
        recipe = kind().quick()
        assert recipe.train.steps <= 10
        assert recipe.train.log_every == 1
        assert recipe.validation.mixtures <= 8
        assert recipe.validation.least_training_clips == 1
        assert recipe.mixtures.seconds <= 1
    assert ReinforceRecipe().quick().reinforce.group == 2
    assert TextConfig().quick().general_phrases < 1000


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
    ours, control = load("reinforce")[0], load("continued")[0]
    inner = ours.reinforce.inner_steps
    assert control.train.steps == ours.train.steps * inner
    assert control.mixtures == ours.mixtures
    for name in ("lr", "weight_decay"):
        assert getattr(control.train, name) == getattr(ours.train, name)
    # reinforcement averages its weights once a rollout, supervision once an update
    assert control.train.ema**inner == pytest.approx(ours.train.ema, abs=5e-4)
    for name in ("warmup_steps", "decay_steps"):
        assert getattr(control.train, name) == getattr(ours.train, name) * inner


def test_labels_that_are_left_out_are_labels():
    left_out = load("unseen")[0].mixtures.held_out_labels
    assert len(set(left_out)) == 10
    assert list(left_out) == sorted(left_out)
