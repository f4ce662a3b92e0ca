"""Figures of the built-in bundle on a tiny set; statistics by hand; pictures and the command line."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from offline_training.data.eval_mixtures import EvalConfig
from offline_training.evaluation.bootstrap import interval
from offline_training.evaluation.separation import Row, measure, summarise

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
        done = subprocess.run([BIN / "marssep-train", *map(str, args)], cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert "Traceback" not in done.stderr
        return done

    assert run("corpus", clips, "-o", "c").returncode == 0
    done = run("evaluate", "--corpus", "c", "--split", "test", "--mixtures", 10, "-o", "r.json", "--plots", "p")
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "r.json").read_text())
    assert figures["command"] == "marssep-train evaluate --split test --mixtures 10"
    assert len(figures["rows"]) == 10
    assert (tmp_path / "p" / "separation0.png").stat().st_size > 10_000
    assert run("notice", "--corpus", "c", "-o", "NOTICE").returncode == 0
    assert "tests (CC0): 56 clips" in (tmp_path / "NOTICE").read_text()
    for args, words in [
        (("evaluate", "--corpus", "none"), "marssep-train corpus"),
        (("evaluate", "--corpus", "c", "--split", "train"), "val or test"),
        (("corpus", "none.csv", "-o", "d"), "cannot read"),
        (("supervise", "--corpus", "c", "-o", "r", "--queries", "none.npz"), "marssep-train embed"),
        (("supervise", "--corpus", "c", "-o", "r", "--recipe", "none"), "one of:"),
    ]:
        done = run(*args)
        assert done.returncode == 2
        assert words in done.stderr


def test_training_by_recipe_draws_its_curves(clips, table, tmp_path):
    def run(*args):
        return subprocess.run([BIN / "marssep-train", *map(str, args)], cwd=tmp_path, capture_output=True, text=True, timeout=300)

    assert run("corpus", clips, "-o", "c").returncode == 0
    table.save(tmp_path / "q.npz")
    (tmp_path / "tiny.toml").write_text(
        'kind = "supervise"\nbf16 = false\n'
        "[separator.unet]\nchannels = [4, 4, 4, 4, 4, 4, 4]\ndilations = [1]\ncomponents = 4\nquery_hidden = 8\n"
        "[train]\nsteps = 6\nlog_every = 1\nvalidate_every = 3\nworkers = 1\n"
        "[mixtures]\nseconds = 0.5\nqueries = 3\n[validation]\nmixtures = 8\nseconds = 1.0\n"
    )
    done = run("supervise", "--corpus", "c", "--queries", "q.npz", "--recipe", "tiny.toml", "-o", "r")
    assert done.returncode == 0, done.stderr
    assert {p.name for p in (tmp_path / "r").iterdir()} == {"best.pt", "last.pt", "log.jsonl", "curves.png", "tensorboard"}
    (tmp_path / "bad.toml").write_text('kind = "supervise"\n[train]\nstepz = 6\n')
    done = run("supervise", "--corpus", "c", "--queries", "q.npz", "--recipe", "bad.toml", "-o", "r2")
    assert done.returncode == 2
    assert "stepz" in done.stderr
