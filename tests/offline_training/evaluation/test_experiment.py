"""Experiments: plans, statistics by hand, going on after a stop, and the command on a tiny policy."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from marssep_rt.errors import UsageError
from offline_training.cli.common import read_recipe
from offline_training.cli.experiment import ExperimentOptions, check_arms, open_rewards, read_rewards
from offline_training.data.query_table import QueryTable
from offline_training.encoders.audio_image import EncoderShape
from offline_training.encoders.builtin import build_encoders, describe
from offline_training.evaluation.experiment import (
    Arm,
    Experiment,
    Measured,
    Plan,
    as_markdown,
    changed,
    columns,
    compare,
    interval,
)
from offline_training.evaluation.separation import Row
from offline_training.models import registry
from offline_training.utils import checkpoint_io
from offline_training.utils.checkpoint_io import CheckpointError
from offline_training.utils.recipe import read
from offline_training.utils.run import RunError

BIN = Path(sys.executable).parent


def row(gain, absent=-20.0, **more):
    return Row("dog", "rain", 0.0, 0.0, gain, gain + 1, 9.0, "siren", absent, **more)


def test_plans():
    plan = read(
        Plan,
        {
            "control": "a",
            "arms": [{"name": "a", "kind": "start"}, {"name": "b", "kind": "supervise", "recipe": "x"}],
            "seeds": [5],
        },
    )
    assert plan.seeds == (5,)
    for wrong, words in [
        ({"control": "z", "arms": [{"name": "a", "kind": "start"}]}, "must be the control 'z'"),
        ({"control": "a", "arms": [{"name": "a", "kind": "start"}] * 2}, "name of its own"),
        ({"control": "a", "arms": [{"name": "a", "kind": "dream"}]}, "one of start, supervise, reinforce"),
        ({"control": "a", "arms": [{"name": "a", "kind": "reinforce"}]}, "names no reward"),
    ]:
        with pytest.raises(ValueError, match=words):
            read(Plan, wrong)


def test_settings_are_changed_by_name_in_a_copy():
    recipe = {"train": {"steps": 3}, "anchor": "mlbp"}
    assert changed(recipe, {"train.steps": 9, "reward.cosine": 0.5, "anchor": "mean"}) == {
        "train": {"steps": 9},
        "reward": {"cosine": 0.5},
        "anchor": "mean",
    }
    assert recipe == {"train": {"steps": 3}, "anchor": "mlbp"}


def test_columns_hold_a_number_for_each_mixture():
    found = columns(
        [
            row(2.0, judged={"output_similarity": 0.5, "output_wins": 1.0}, by_query={"audio": 1.0}),
            row(-1.0, by_query={}),
        ]
    )
    np.testing.assert_array_equal(found["si_sdri"], [2.0, -1.0])
    np.testing.assert_array_equal(found["worse"], [0.0, 1.0])
    np.testing.assert_array_equal(found["similarity"], [0.5, np.nan])
    np.testing.assert_array_equal(found["audio"], [1.0, np.nan])
    assert "sir" not in found
    assert "image" not in found


def test_intervals_cover_what_is_drawn_and_know_both_mixtures_and_seeds():
    rng = np.random.default_rng(0)
    constant = np.full((3, 50), 0.7)
    assert interval(constant) == pytest.approx((0.7, 0.7))
    between_seeds = np.repeat([[0.0], [1.0], [2.0]], 50, axis=1)
    low, high = interval(between_seeds)
    assert low < 0.4
    assert high > 1.6
    hits = 0
    for i in range(40):
        low, high = interval(rng.normal(0.3, 1.0, (1, 100)), seed=i, draws=400)
        hits += low <= 0.3 <= high
    assert hits >= 33
    with_holes = np.array([[1.0, np.nan, 1.0], [1.0, 5.0, 1.0]])
    assert interval(with_holes) == pytest.approx((1.0, 1.0))


def test_arms_are_compared_pair_by_pair():
    rng = np.random.default_rng(1)
    base = rng.normal(5, 4, 60)
    arms = {
        "start": [{"si_sdri": base - 0.2}],
        "control": [{"si_sdri": base}, {"si_sdri": base + 0.1}],
        "better": [{"si_sdri": base + 0.3}, {"si_sdri": base + 0.4}],
    }
    found = compare(arms, "control")
    cell = found["better"]["columns"]["si_sdri"]
    assert cell["minus_control"] == pytest.approx(0.3, abs=1e-4)
    assert cell["minus_control_95"] == pytest.approx(
        [0.3, 0.3], abs=1e-4
    )  # pairs: the spread of mixtures does not count
    assert found["start"]["columns"]["si_sdri"]["minus_control"] == pytest.approx(-0.25, abs=1e-4)
    table = as_markdown(found, "control")
    assert "(+0.300, +0.300 .. +0.300)" in table
    assert table.count("\n") == 5


def test_what_is_there_is_not_made_again(tmp_path):
    plan = read(
        Plan,
        {
            "control": "base",
            "seeds": [1, 2],
            "arms": [{"name": "base", "kind": "start"}, {"name": "more", "kind": "supervise"}],
        },
    )
    trained, measured = [], []

    def train(arm: Arm, recipe, folder):
        trained.append((folder.name, recipe["train"]["seed"]))
        return len(trained) != 2  # the second is stopped

    def measure(path):
        measured.append(path.parent.name)
        more = 1.0 if "more" in str(path) else 0.5
        return Measured([row(more), row(2.0)], {"paraphrases": [3 * more, 0.0, 0.0]})

    def make():
        return Experiment(
            tmp_path / "e",
            plan,
            tmp_path / "start" / "best.pt",
            lambda name, kind: {"train": {"steps": 2}},
            train,
            measure,
        )

    assert make().run() is None
    assert not (tmp_path / "e" / "report.json").exists()
    report = make().run()
    assert trained == [("more-1", 1), ("more-2", 2), ("more-2", 2)]
    assert measured == ["start", "more-1", "more-2"]
    assert report["arms"]["more"]["columns"]["si_sdri"]["minus_control"] == pytest.approx(0.25)
    assert report["arms"]["more"]["columns"]["paraphrases"]["minus_control"] == pytest.approx(0.5)
    assert "| more |" in (tmp_path / "e" / "report.md").read_text()
    make().run()
    assert len(trained) == len(measured) == 3


def test_processes_share_the_work(tmp_path):
    """Each takes some of the runs; who finds them all there writes the report."""
    plan = read(
        Plan,
        {
            "control": "a",
            "seeds": [1, 2],
            "arms": [{"name": "a", "kind": "start"}, {"name": "b", "kind": "supervise"}],
        },
    )
    trained = []

    def make():
        return Experiment(
            tmp_path,
            plan,
            tmp_path / "a.pt",
            lambda *_: {},
            lambda arm, recipe, to: not trained.append(to.name),
            lambda _: Measured([row(1.0)]),
        )

    assert make().run(["b-2"]) is None
    assert trained == ["b-2"]
    assert make().missing() == ["a", "b-1"]
    assert make().run(["a"]) is None
    with pytest.raises(RunError, match="c is no arm and no run of this experiment; there are a, b-1, b-2"):
        make().run(["c"])
    assert set(make().run(["b"])["arms"]) == {"a", "b"}
    assert trained == ["b-2", "b-1"]


def test_rewards_are_named():
    assert read_rewards(["a=t.pt,q.npz"], {"a"}) == {"a": (Path("t.pt"), Path("q.npz"))}
    with pytest.raises(UsageError, match=r"give NAME=ENCODERS\.pt,TABLE\.npz"):
        read_rewards(["a=t.pt"], {"a"})
    with pytest.raises(UsageError, match="rewards by b"):
        read_rewards(["a=t.pt,q.npz"], {"a", "b"})


def run(folder, *args):
    """``marssep-train`` in a folder, without a traceback."""
    command = [BIN / "marssep-train", *map(str, args)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=400)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def write_inputs(folder):
    """A query table, a policy and encoders to begin with, all tiny, in the bundle's own space."""
    from marssep_rt import embed_text

    phrases = {label: [label, f"sound of {label}"] for label in ("siren", "rain", "bass drum", "crickets")}
    vectors = {label: np.stack([embed_text(p) for p in group]) for label, group in phrases.items()}
    QueryTable(phrases, vectors, "builtin-text-1").save(folder / "q.npz")
    torch.manual_seed(0)
    unet = {"channels": [4] * 7, "dilations": [1], "components": 4, "query_hidden": 8, "query_dim": 384}
    model = registry.build({"unet": unet})
    checkpoint_io.save(
        folder / "start.pt",
        {"separator": registry.describe(model), "weights": model.state_dict(), "encoder": "builtin-text-1"},
    )
    shape = EncoderShape(widths=(4, 8, 8), dim=384)
    encoders = build_encoders(shape, shape)
    torch.save(
        {"kind": "encoders", "describe": json.dumps(describe(encoders)), "weights": encoders.state_dict()},
        folder / "t.pt",
    )


def write_recipes(folder):
    """An experiment of three arms and the recipes of two of them, of two steps each."""
    common = (
        "bf16 = false\n[train]\nsteps = 2\nworkers = 0\nvalidate_every = 2\nlog_every = 1\ndecay_steps = 1\n"
        "[mixtures]\nseconds = 0.5\nqueries = 3\n[validation]\nmixtures = 4\nseconds = 1.0\n"
    )
    (folder / "s.toml").write_text('kind = "supervise"\n' + common)
    (folder / "r.toml").write_text(
        'kind = "reinforce"\nanchor = "mean"\n' + common + "[reinforce]\ngroup = 2\n"
    )
    (folder / "e.toml").write_text(
        'kind = "experiment"\ncontrol = "continued"\nseeds = [1]\nsplit = "test"\n'
        "mixtures = 10\nbss = 2\nby_example = 6\n"
        'unseen = ["rain"]\nunseen_mixtures = 3\nsets = ["unseen, text"]\n'
        '[[arms]]\nname = "base"\nkind = "start"\n'
        '[[arms]]\nname = "continued"\nkind = "supervise"\nrecipe = "s.toml"\n'
        '[[arms]]\nname = "rl"\nkind = "reinforce"\nrecipe = "r.toml"\nreward = "aligned"\n'
    )


def test_what_trainings_cannot_begin_with_is_said_before_the_first(tmp_path, monkeypatch):
    write_inputs(tmp_path)
    write_recipes(tmp_path)
    monkeypatch.chdir(tmp_path)
    plan = read_recipe(Path("e.toml"), "experiment", Plan)

    def check(**options):
        given = {"output": Path("x"), "start": Path("start.pt"), **options}
        check_arms(plan, ExperimentOptions(**given))

    check(only=["rl-1"])
    for options, words in [
        ({"start": Path("none.pt")}, "there is no checkpoint at none.pt"),
        ({"start": Path("t.pt")}, "t.pt is not a checkpoint of marssep train"),
        ({"output": Path("q.npz")}, "q.npz is a file; name another folder"),
        ({"only": ["nobody"]}, "nobody is no arm and no run of this experiment"),
    ]:
        with pytest.raises((CheckpointError, RunError), match=words):
            check(**options)
    (tmp_path / "s.toml").write_text('kind = "supervise"\n[separator.unet]\nquery_hidden = 24\n')
    with pytest.raises(CheckpointError, match="holds another network than the recipe's"):
        check()
    assert not (tmp_path / "x").exists()
    rewards = {"aligned": (Path("t.pt"), Path("q.npz"))}
    options = ExperimentOptions(output=Path("x"), start=Path("start.pt"))
    assert open_rewards(rewards, options)["aligned"][1].encoder == "builtin-text-1"
    small = QueryTable({"a": ["a"]}, {"a": np.eye(1, 16, dtype=np.float32)}, "other-1")
    small.save(tmp_path / "small.npz")
    with pytest.raises(RunError, match="give vectors of 384 numbers, the query table those of 16"):
        open_rewards({"aligned": (Path("t.pt"), Path("small.npz"))}, options)


def test_the_command(clips, tmp_path):
    """Both kinds of training and the measurement, end to end on a tiny policy."""
    assert run(tmp_path, "corpus", clips, "-o", "c").returncode == 0
    write_inputs(tmp_path)
    write_recipes(tmp_path)
    given = {"-o": "x", "--start": "start.pt", "--corpus": "c", "--queries": "q.npz", "--recipe": "e.toml"}
    begin = ("experiment", *(word for option in given.items() for word in option))
    done = run(tmp_path, *begin, "--reward", "aligned=t.pt,q.npz", "--only", "base")
    assert "not all is there yet (continued-1, rl-1)" in " ".join(done.stderr.split())
    done = run(tmp_path, *begin, "--reward", "aligned=t.pt,q.npz")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "x" / "report.json").read_text())
    assert set(report["arms"]) == {"base", "continued", "rl"}
    assert {"si_sdri", "absent_db", "sir", "audio"} <= set(report["arms"]["rl"]["columns"])
    measured = json.loads((tmp_path / "x" / "rl-1.rows.json").read_text())
    assert len(measured["sets"]["unseen, text"]) == 3
    assert "unseen, text" in report["arms"]["rl"]["columns"]
    rows = measured["rows"]
    assert "rain" not in {r["label"] for r in rows}
    assert ["audio" in r["by_query"] for r in rows] == [True] * 6 + [False] * 4
    assert (tmp_path / "x" / "report.png").stat().st_size > 5_000
    done = run(tmp_path, *begin)
    assert done.returncode == 2
    assert "--reward aligned=" in " ".join(done.stderr.split())
