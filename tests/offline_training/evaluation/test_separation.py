"""Figures of the built-in bundle on a tiny set; statistics by hand; pictures and the command line."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from offline_training.data.eval_mixtures import EvalConfig
from offline_training.evaluation.bootstrap import interval
from offline_training.evaluation.separation import (
    Group,
    Row,
    example_gains,
    measure,
    summarise,
    target_figures,
)
from offline_training.utils import checkpoint_io

BIN = Path(sys.executable).parent


def test_figures_of_the_shipped_bundle_are_complete_and_plausible(bundle, corpus):
    config = EvalConfig(split="test", mixtures=10, seconds=2.0)
    rows = measure(bundle, corpus, config)
    figures = summarise(rows, config)
    assert figures["mixtures"] == 10
    assert sum(v["mixtures"] for v in figures["labels"].values()) == 10
    low, high = figures["si_sdri_db"]["mean_95"]
    assert low <= figures["si_sdri_db"]["mean"] <= high
    # the ideal mask of the model's own bands is far above what any model does here, and above doing nothing
    assert figures["ceiling_si_sdri_db"] > max(5.0, figures["si_sdri_db"]["mean"])
    assert figures["absent_output_db"]["mean"] < 0
    for row in rows:
        assert row.si_sdr_mixture == pytest.approx(row.snr_db, abs=1.5)


def test_figures_of_a_row_by_hand():
    target, noise = torch.tensor([[2.0, 0.0, -2.0, 0.0]]), torch.tensor([[0.0, 1.0, 0.0, -1.0]])
    mixture = target + noise
    half = target + noise / 2
    (row,) = target_figures(half, mixture / 10, target + noise / 10, mixture, target)
    assert row == {
        "si_sdr_mixture": pytest.approx(10 * np.log10(8 / 2), abs=1e-3),
        "si_sdri": pytest.approx(20 * np.log10(2), abs=1e-3),
        "sdri": pytest.approx(20 * np.log10(2), abs=1e-3),
        "si_sdri_ceiling": pytest.approx(20.0, abs=1e-3),
        "absent_db": pytest.approx(-20.0, abs=1e-3),
    }


class Halving:
    """Gives back the mixture with a half of what the query says; remembers how many rows it was asked."""

    def __init__(self):
        self.asked = []

    def separate(self, mixtures, queries, others=None):
        self.asked.append(len(queries))
        return torch.from_numpy(mixtures * queries[:, :1])


def test_gains_by_example_are_of_the_rows_that_have_one():
    mixtures = np.array([[1, 1, 1, 1], [1, -1, 3, 9], [2, 0, 0, 1]], np.float32)
    targets = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.5, 0.0], [2.0, 1.0, 0.0]])
    listener = Halving()
    half = np.array([0.5], np.float32)
    queries = {"audio": [None, half], "image": [None, None]}
    gains = example_gains(listener, queries, mixtures, torch.from_numpy(mixtures)[:, :3], targets)
    assert gains == [{}, {"audio": pytest.approx(0.0, abs=1e-4)}, {}]  # the gain has no scale
    assert listener.asked == [1]


def test_a_group_knows_how_many_of_it_are_among_the_first():
    group = Group(8, [None] * 8, np.zeros((8, 1)), np.zeros((8, 1)))
    assert [group.among(most) for most in (None, 0, 8, 11, 99)] == [8, 0, 0, 3, 8]


def test_labels_that_a_training_left_out_are_summed_up_apart():
    rows = [
        Row(label, "x", 0.0, 0.0, gain, gain, 9.0, "y", -20.0)
        for label, gain in (("dog", 6.0), ("dog", 8.0), ("rain", -1.0), ("rain", 2.0))
    ]
    figures = summarise(rows, EvalConfig(), ["rain"])
    assert figures["heard"]["si_sdri_db"]["mean"] == 7.0
    assert figures["unheard"]["si_sdri_db"]["mean"] == 0.5
    assert figures["unheard"]["made_worse"] == 0.5
    assert "unheard" not in summarise(rows, EvalConfig())


def test_bootstrap_covers_the_mean_of_a_known_distribution():
    rng = np.random.default_rng(0)
    hits = 0
    for seed in range(60):
        low, high = interval(rng.normal(2.0, 1.0, 80), np.mean, seed=seed, draws=400)
        hits += low <= 2.0 <= high
    assert hits >= 50


def test_commands_from_manifest_to_figures(clips, tmp_path):
    def run(*args):
        done = subprocess.run(
            [BIN / "marssep-train", *map(str, args)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert "Traceback" not in done.stderr
        return done

    assert run("corpus", clips, "-o", "c").returncode == 0
    done = run(
        "evaluate", "--corpus", "c", "--split", "test", "--mixtures", 10, "-o", "r.json", "--plots", "p"
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "r.json").read_text())
    assert figures["command"] == "marssep train evaluate --split test --mixtures 10"
    assert len(figures["rows"]) == 10
    assert (tmp_path / "p" / "separation0.png").stat().st_size > 10_000
    assert run("notice", "--corpus", "c", "-o", "NOTICE").returncode == 0
    assert "tests (CC0): 56 clips" in (tmp_path / "NOTICE").read_text()
    for args, words in [
        (("evaluate", "--corpus", "none"), "marssep train corpus"),
        (("evaluate", "--corpus", "c", "--split", "train"), "val or test"),
        (("corpus", "none.csv", "-o", "d"), "cannot read"),
        (("supervise", "--corpus", "c", "-o", "r", "--queries", "none.npz"), "marssep train embed"),
        (("supervise", "--corpus", "c", "-o", "r", "--recipe", "none"), "one of:"),
    ]:
        done = run(*args)
        assert done.returncode == 2
        assert words in done.stderr


def test_training_by_recipe_draws_its_curves(clips, table, tmp_path):
    def run(*args):
        return subprocess.run(
            [BIN / "marssep-train", *map(str, args)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
        )

    assert run("corpus", clips, "-o", "c").returncode == 0
    table.save(tmp_path / "q.npz")
    (tmp_path / "tiny.toml").write_text(
        'kind = "supervise"\nbf16 = false\n'
        "[separator.unet]\nchannels = [4, 4, 4, 4, 4, 4, 4]\ndilations = [1]\ncomponents = "
        "4\nquery_hidden = 8\n"
        "[train]\nsteps = 6\nlog_every = 1\nvalidate_every = 3\nworkers = 1\n"
        "[mixtures]\nseconds = 0.5\nqueries = 3\n[validation]\nmixtures = 8\nseconds = 1.0\n"
    )
    done = run("supervise", "--corpus", "c", "--queries", "q.npz", "--recipe", "tiny.toml", "-o", "r")
    assert done.returncode == 0, done.stderr
    assert {p.name for p in (tmp_path / "r").iterdir()} == {
        "best.pt",
        "last.pt",
        "log.jsonl",
        "curves.png",
        "tensorboard",
    }
    (tmp_path / "bad.toml").write_text('kind = "supervise"\n[train]\nstepz = 6\n')
    done = run("supervise", "--corpus", "c", "--queries", "q.npz", "--recipe", "bad.toml", "-o", "r2")
    assert done.returncode == 2
    assert "[train] has no key 'stepz'; did you mean steps?" in " ".join(done.stderr.split())


def test_a_quick_run_ends_and_so_many_steps_are_taken(clips, table, tmp_path):
    def run(*args):
        command = [BIN / "marssep-train", *map(str, args)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)

    assert run("corpus", clips, "-o", "c").returncode == 0
    table.save(tmp_path / "q.npz")
    (tmp_path / "small.toml").write_text(
        'kind = "supervise"\nbf16 = false\n[separator.unet]\nchannels = [4, 4, 4, 4, 4, 4, 4]\n'
        "dilations = [1]\ncomponents = 4\nquery_hidden = 8\n[mixtures]\nseconds = 0.5\nqueries = 3\n"
    )
    common = ("supervise", "--corpus", "c", "--queries", "q.npz", "--recipe", "small.toml")
    done = run(*common, "--quick", "-o", "new/folder")
    assert done.returncode == 0, done.stderr
    log = [json.loads(line) for line in (tmp_path / "new" / "folder" / "log.jsonl").read_text().splitlines()]
    assert [e["step"] for e in log if "loss" in e] == [1, 2, 3, 4, 5, 6]
    assert [e["step"] for e in log if "val" in e] == [3, 6]
    assert (tmp_path / "new" / "folder" / "best.pt").exists()
    done = run(*common, "--quick", "--steps", 2, "-o", "r", "--start", "new/folder/best.pt")
    assert done.returncode == 0, done.stderr
    assert checkpoint_io.load(tmp_path / "r" / "last.pt")["step"] == 2
    assert "warning" not in done.stdout + done.stderr
    done = run(*common, "--quick", "--steps", 4, "-o", "r")
    assert done.returncode == 2
    assert "train.steps: 2 -> 4" in " ".join(done.stderr.split())
