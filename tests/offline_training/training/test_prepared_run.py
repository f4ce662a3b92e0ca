"""What a run needs is checked before recordings and queries are loaded."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from offline_training.data.query_table import QueryTable
from offline_training.data.training_data import TrainingData
from offline_training.models import registry
from offline_training.models.unet import ADDED
from offline_training.reinforce.config import ReinforceRecipe
from offline_training.training.config import SuperviseRecipe
from offline_training.training.prepared_run import prepare_run
from offline_training.utils import checkpoint_io
from offline_training.utils.checkpoint_io import CheckpointError
from offline_training.utils.recipe import RecipeError, read
from offline_training.utils.run import RunError, RunOptions, check_folder
from runs import supervised

UNET = {"channels": [4] * 7, "dilations": [1], "components": 4, "query_hidden": 8}
PLAIN = {
    "bf16": False,
    "separator": {"unet": UNET},
    "train": {"steps": 2, "workers": 0, "validate_every": 2, "warmup_steps": 1, "decay_steps": 1},
    "mixtures": {"seconds": 0.5, "queries": 3},
    "validation": {"mixtures": 4, "seconds": 1.0},
}
RECIPE = read(SuperviseRecipe, PLAIN)


def write_start(path, encoder="test", **unet):
    model = registry.build({"unet": {**UNET, "query_dim": 16, **unet}})
    content = {
        "separator": registry.describe(model),
        "weights": model.state_dict(),
        "encoder": encoder,
        "heard": torch.zeros(0, dtype=torch.int64),
    }
    checkpoint_io.save(path, content)
    return path


def with_start(path, recipe=RECIPE):
    return prepare_run(RunOptions(path.parent / "run", start=path), recipe)


def test_a_start_that_fits(tmp_path, corpus, table):
    prepared = with_start(write_start(tmp_path / "s.pt"))
    prepared.check(TrainingData(corpus, table))
    assert prepared.last is None
    # the recipe may leave the network to the start, and ask for parts that the start does not have yet
    free = with_start(write_start(tmp_path / "s.pt", query_hidden=24), replace(RECIPE, separator=None))
    assert free.separator(16)["unet"]["query_hidden"] == 24
    grown = read(SuperviseRecipe, {**PLAIN, "separator": {"unet": {**UNET, "other": True}}})
    assert any(name.startswith(f"unet.{ADDED[0]}") for name in registry.build(grown_plain()).state_dict())
    with_start(write_start(tmp_path / "s.pt"), grown)
    assert not (tmp_path / "run").exists()


def grown_plain():
    return {"unet": {**UNET, "query_dim": 16, "other": True}}


def test_decisions_on_the_openness_add_their_head_to_any_start(tmp_path):
    plain = {**PLAIN, "reinforce": {"act": "openness"}}
    free = {k: v for k, v in plain.items() if k != "separator"}
    for recipe in (free, plain):
        prepared = with_start(write_start(tmp_path / "s.pt"), read(ReinforceRecipe, recipe))
        model = registry.build(prepared.separator(16))
        assert model.unet.openness is not None
    without = with_start(write_start(tmp_path / "s.pt"), read(ReinforceRecipe, {**free, "reinforce": {}}))
    assert not without.separator(16)["unet"]["openness"]


def test_decisions_on_the_openness_of_a_network_that_has_none(tmp_path):
    plain = {**PLAIN, "reinforce": {"act": "openness"}}
    with pytest.raises(RecipeError, match=r"openness in \[separator.unet\] is false; act"):
        read(ReinforceRecipe, {**plain, "separator": {"unet": {**UNET, "openness": False}}})
    words = r'^act = "openness" needs the streaming network, not the paper\'s$'
    with pytest.raises(RecipeError, match=words):
        read(ReinforceRecipe, {**plain, "separator": {"network": "paper"}})
    paper = registry.build({"network": "paper", "unet": {"query_dim": 16, "channels": [4] * 7}})
    content = {"separator": registry.describe(paper), "weights": paper.state_dict(), "encoder": "test"}
    checkpoint_io.save(tmp_path / "s.pt", content)
    with pytest.raises(RecipeError, match=words):
        with_start(tmp_path / "s.pt", replace(read(ReinforceRecipe, plain), separator=None))


def test_a_start_that_is_no_separator(tmp_path):
    torch.save({"kind": "encoders", "weights": {}}, tmp_path / "encoders.pt")
    (tmp_path / "text.pt").write_text("hello")
    for name, words in [
        ("none", r"there is no checkpoint at .*none\.pt"),
        ("text", r"text\.pt is not a readable checkpoint"),
        ("encoders", r"encoders\.pt is not a checkpoint of marssep train$"),
    ]:
        with pytest.raises(CheckpointError, match=words):
            with_start(tmp_path / f"{name}.pt")


def test_a_start_of_another_network_or_space(tmp_path, corpus, table):
    words = (
        r"s\.pt holds another network than the recipe's \[separator\] \(the checkpoint does not fit the "
        r"model: unet\.query\.0\.weight has the size 24x16 instead of 8x16\); take the recipe"
    )
    with pytest.raises(CheckpointError, match=words):
        with_start(write_start(tmp_path / "s.pt", query_hidden=24))
    other = with_start(write_start(tmp_path / "s.pt", encoder="other-1"))
    with pytest.raises(RunError, match="was trained on encoder other-1, the query table is of test"):
        other.check(TrainingData(corpus, table))


def test_a_run_that_is_there(tmp_path, corpus, table):
    supervised(tmp_path, corpus, table, RECIPE).run()
    longer = RECIPE.with_steps(4)
    with pytest.raises(RunError, match=r"train\.steps: 2 -> 4"):
        prepare_run(RunOptions(tmp_path), longer)
    assert prepare_run(RunOptions(tmp_path, changed=True), longer).last["step"] == 2
    wider = read(SuperviseRecipe, {**PLAIN, "separator": {"unet": {**UNET, "query_hidden": 24}}})
    with pytest.raises(CheckpointError, match=r"last\.pt holds another network"):
        prepare_run(RunOptions(tmp_path, changed=True), wider)
    # its weights know the vectors of one encoder
    elsewhere = QueryTable(table.phrases, table.vectors, "other-1")
    with pytest.raises(RunError, match="of the encoder test, the query table is of other-1"):
        prepare_run(RunOptions(tmp_path), RECIPE).check(TrainingData(corpus, elsewhere))


def test_a_reinforced_run_of_before_says_no_anchor(tmp_path):
    recipe = read(ReinforceRecipe, {**PLAIN, "anchor": "mean"})
    stored = {k: v for k, v in PLAIN.items() if k != "anchor"}
    content = checkpoint_io.load(write_start(tmp_path / "last.pt"))
    checkpoint_io.save(
        tmp_path / "last.pt", {**content, "model": content["weights"], "recipe": json.dumps(stored)}
    )
    assert prepare_run(RunOptions(tmp_path), recipe).last is not None


def test_folders_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(RunError, match=r"file is a file; name another folder"):
            check_folder(folder)
    check_folder(tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()

    def refused(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("offline_training.utils.run.tempfile.TemporaryFile", refused)
    with pytest.raises(RunError, match=r"nothing can be written into .* \(permission denied\)"):
        check_folder(tmp_path / "a")


def test_labels_to_hold_out_that_the_corpus_does_not_have(tmp_path, corpus, table):
    labels = [*(f"no label {i}" for i in range(7)), corpus.labels()[0]]
    recipe = read(SuperviseRecipe, {**PLAIN, "mixtures": {**PLAIN["mixtures"], "held_out_labels": labels}})
    (warning,) = supervised(tmp_path, corpus, table, recipe).warnings
    assert warning == (
        "held_out_labels names labels that the corpus does not have: no label 0, no label 1, no label 2, "
        "no label 3, no label 4 and 2 more"
    )
    assert supervised(tmp_path, corpus, table, RECIPE).warnings == []


@pytest.mark.parametrize(
    ("command", "options", "words"),
    [
        ("supervise", ["--start", "none.pt"], "there is no checkpoint at none.pt"),
        (
            "reinforce",
            ["--start", "s.pt", "--judge", "none.pt"],
            "there are no encoders at none.pt; train them with: marssep train judge -o FOLDER",
        ),
        ("reinforce", ["--start", "s.pt", "--judge", "s.pt"], "not a checkpoint of marssep train judge"),
        ("reinforce", ["--start", "s.pt", "--judge", "."], ". is a folder; name a checkpoint in it"),
        ("align", ["--start", "none.pt"], "there are no encoders at none.pt"),
        ("judge", ["-o", "s.pt"], "s.pt is a file; name another folder"),
    ],
)
def test_commands_refuse_before_they_load_anything(tmp_path, command, options, words):
    """There is neither a corpus nor a query table here, and it is not them that are missed."""
    write_start(tmp_path / "s.pt")
    done = subprocess.run(
        [Path(sys.executable).parent / "marssep-train", command, "-o", "run", *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert words in " ".join(done.stderr.split())
    assert [p.name for p in tmp_path.iterdir()] == ["s.pt"]
