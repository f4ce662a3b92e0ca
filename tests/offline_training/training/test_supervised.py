"""Training really trains: it overfits one mixture, resumes to the same weights, and finishes its schedule."""

import json

import numpy as np
import pytest
import torch

from offline_training.data.corpus import CorpusError
from offline_training.evaluation.metrics import si_sdr
from offline_training.models import registry
from offline_training.models.inference import separate
from offline_training.training.config import SuperviseRecipe, TrainConfig
from offline_training.training.trainer import learning_rate
from offline_training.utils import checkpoint_io
from offline_training.utils.checkpoint_io import CheckpointError
from offline_training.utils.recipe import read
from offline_training.utils.run import RunError
from runs import supervised

TINY = {"unet": {"channels": [6, 8, 8, 8, 8, 8, 8], "dilations": [1, 2], "components": 8, "query_hidden": 16}}


def recipe(**train):
    plain = {
        "bf16": False,
        "separator": TINY,
        "train": {
            "workers": 0,
            "log_every": 5,
            "validate_every": 10,
            "warmup_steps": 2,
            "decay_steps": 4,
            **train,
        },
        "mixtures": {"seconds": 0.5, "queries": 4},
        "validation": {"mixtures": 8, "seconds": 1.0},
    }
    return read(SuperviseRecipe, plain)


def test_overfits_one_mixture(corpus, table, tmp_path):
    trainer = supervised(
        tmp_path, corpus, table, recipe(steps=1000, lr=5e-3, warmup_steps=1, decay_steps=1, ema=0.9)
    )
    batch = next(b for b in (trainer_batch(trainer, i) for i in range(50)) if not b["absent"].any())
    for _ in range(150):
        figures = trainer.train_step(batch)
    assert figures["skipped"] == 0
    out = separate(trainer.model.eval(), batch["mixtures"][batch["mixture_of"]], batch["queries"], None)
    n = out.shape[1]
    mixture, target = batch["mixtures"][batch["mixture_of"]][:, :n], batch["targets"][:, :n]
    gain = si_sdr(out, target) - si_sdr(mixture, target)
    assert gain.mean() > 6.0, gain


def trainer_batch(trainer, step):
    from offline_training.data.mixtures import MixtureDataset

    return MixtureDataset(
        trainer.data.corpus, trainer.data.table, trainer.mixtures, 100, trainer.config.seed
    )[step]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_batches_are_pinned_for_cuda_alone(corpus, table, tmp_path, device):
    trainer = supervised(tmp_path, corpus, table, recipe(steps=8))
    trainer.device = torch.device(device)
    assert trainer.batches(0).pin_memory == (device == "cuda")


def test_resumed_equals_uninterrupted(corpus, table, tmp_path):
    whole = supervised(tmp_path / "a", corpus, table, recipe(steps=8))
    whole.run()
    # the first half of the same schedule, stopped from outside after four steps
    half = supervised(tmp_path / "b", corpus, table, recipe(steps=8, log_every=4))
    stop_after(half, 4)
    assert half.step == 4
    again = supervised(tmp_path / "b", corpus, table, recipe(steps=8, log_every=4))
    assert again.step == 4
    again.run()
    for a, b in zip(whole.average.state_dict().values(), again.average.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


def test_muon_learns_resumes_and_takes_over(corpus, table, tmp_path):
    whole = supervised(tmp_path / "a", corpus, table, recipe(steps=8, optimiser="muon"))
    whole.run()
    half = supervised(tmp_path / "b", corpus, table, recipe(steps=8, log_every=4, optimiser="muon"))
    stop_after(half, 4)
    again = supervised(tmp_path / "b", corpus, table, recipe(steps=8, log_every=4, optimiser="muon"))
    again.run()
    for a, b in zip(whole.average.state_dict().values(), again.average.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)
    adamw = supervised(tmp_path / "c", corpus, table, recipe(steps=8, log_every=4))
    stop_after(adamw, 4)
    changed = recipe(steps=8, log_every=4, optimiser="muon")
    muon = supervised(tmp_path / "c", corpus, table, changed, changed=True)
    assert muon.step == 4
    muon.run()
    assert muon.step == 8
    assert "muon" in muon.content()["optimiser"]


def stop_after(trainer, steps):
    import os
    import signal

    def report(entry):
        if entry["step"] == steps and "loss" in entry:
            os.kill(os.getpid(), signal.SIGTERM)

    trainer.run(report)


def test_best_checkpoint_loads_and_fits_no_other(corpus, table, tmp_path):
    trainer = supervised(tmp_path, corpus, table, recipe(steps=10))
    best = trainer.run()
    model, content = registry.load_separator(tmp_path / "best.pt")
    assert np.isfinite(best)
    assert content["encoder"] == "test"
    assert not model.training
    with pytest.raises(CheckpointError, match="no checkpoint"):
        checkpoint_io.load(tmp_path / "none.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "best.pt").read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="not a readable checkpoint"):
        checkpoint_io.load(tmp_path / "cut.pt")
    torch.save({"x": 1}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="not a checkpoint of marssep train"):
        checkpoint_io.load(tmp_path / "other.pt")


def test_mean_of_checkpoints(tmp_path):
    paths = [tmp_path / f"{i}.pt" for i in range(3)]
    for i, path in enumerate(paths):
        weights = {"w": torch.full((2,), float(i * i)).half(), "batches": torch.tensor(i + 7)}
        checkpoint_io.save(
            path,
            {"separator": {}, "weights": weights, "encoder": "e", "step": i, "val": {"si_sdri": 5.0 + i}},
        )
    made = checkpoint_io.mean(paths)
    torch.testing.assert_close(made["weights"]["w"], torch.full((2,), 5 / 3).half(), rtol=0, atol=0)
    assert made["weights"]["batches"] == 7
    assert made["encoder"] == "e"
    assert "val" not in made  # nobody has measured the mean
    told = checkpoint_io.training(made)["mean_of"]
    assert [(run["step"], run["val"]["si_sdri"]) for run in told] == [(0, 5.0), (1, 6.0), (2, 7.0)]
    made = checkpoint_io.mean(paths[1:], [0.5, 1.5])  # of 1 and 4
    torch.testing.assert_close(made["weights"]["w"], torch.full((2,), 3.25).half(), rtol=0, atol=0)
    assert [run["share"] for run in checkpoint_io.training(made)["mean_of"]] == [0.25, 0.75]
    checkpoint_io.save(paths[1], {"separator": {}, "weights": weights, "encoder": "f"})
    with pytest.raises(CheckpointError, match=r"1\.pt was trained on encoder f, .*0\.pt on e"):
        checkpoint_io.mean(paths)
    checkpoint_io.save(paths[1], {"separator": {}, "weights": weights, "encoder": "e"})
    checkpoint_io.save(paths[2], {"separator": {}, "weights": {"w": torch.zeros(3)}})
    with pytest.raises(CheckpointError, match=r"2\.pt is a model of another shape than .*0\.pt"):
        checkpoint_io.mean(paths)


def weights_of(trainer):
    return {k: v.clone() for k, v in trainer.model.named_parameters()}


def unmoved(trainer, before):
    return all(torch.equal(value, before[name]) for name, value in trainer.model.named_parameters())


def test_a_gradient_that_is_no_number_is_skipped_and_changes_nothing(corpus, table, tmp_path):
    trainer = supervised(tmp_path, corpus, table, recipe(steps=10))
    trainer.model.unet.bias.register_hook(lambda g: g * float("inf"))
    before = weights_of(trainer)
    assert trainer.train_step(trainer_batch(trainer, 0))["skipped"] == 1
    assert unmoved(trainer, before)


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_its_batch(corpus, table, tmp_path):
    trainer = supervised(tmp_path, corpus, table, recipe(steps=10))
    batch = trainer_batch(trainer, 0)
    batch["targets"][0, 100] = float("nan")
    before = weights_of(trainer)
    with pytest.raises(RunError, match=r"step 0 is nan.*bad_batch\.pt"):
        trainer.train_step(batch)
    assert unmoved(trainer, before)
    kept = torch.load(tmp_path / "bad_batch.pt", weights_only=True)
    assert torch.equal(kept["queries"], batch["queries"])


def test_another_recipe_is_refused_and_the_difference_shown(corpus, table, tmp_path):
    supervised(tmp_path, corpus, table, recipe(steps=2)).run()
    with pytest.raises(
        RunError,
        match=r"train\.lr: 0\.001 -> 0\.5; train\.steps: 2 -> 4|train\.steps: 2 -> 4; train\.lr: "
        r"0\.001 -> 0\.5",
    ):
        supervised(tmp_path, corpus, table, recipe(steps=4, lr=0.5))
    assert supervised(tmp_path, corpus, table, recipe(steps=4), changed=True).step == 2


def test_a_run_of_an_earlier_version_goes_on(corpus, table, tmp_path):
    """Its last.pt holds the recipe as the file had it: unset keys have no value there."""
    run = recipe(steps=4)
    stop_after(supervised(tmp_path, corpus, table, recipe(steps=4, log_every=2)), 2)
    content = checkpoint_io.load(tmp_path / "last.pt")
    sections = {"bf16": False, "separator": TINY, "mixtures": {"seconds": 0.5, "queries": 4}}
    plain = {"workers": 0, "validate_every": 10, "warmup_steps": 2, "decay_steps": 4, "steps": 4}
    stored = {**sections, "train": {**plain, "log_every": 5}, "validation": {"mixtures": 8, "seconds": 1.0}}
    del content["stale"]
    checkpoint_io.save(tmp_path / "last.pt", {**content, "recipe": json.dumps(stored)})
    again = supervised(tmp_path, corpus, table, run)
    assert again.step == 2
    again.run()
    assert again.step == 4
    # a key that no longer exists counts as a difference, not as a broken checkpoint
    checkpoint_io.save(tmp_path / "last.pt", {**content, "recipe": json.dumps({**stored, "gone": 1})})
    with pytest.raises(RunError, match=r"gone: 1 -> unset"):
        supervised(tmp_path, corpus, table, run)
    assert supervised(tmp_path, corpus, table, run, changed=True).step == 2


def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    checkpoint_io.save(tmp_path / "x.pt", {"step": 1})

    def full(content, path):
        path.write_bytes(b"half")
        raise RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(CheckpointError, match=r"cannot write .*x\.pt \(is the disk full\?\)"):
        checkpoint_io.save(tmp_path / "x.pt", {"step": 2})
    assert torch.load(tmp_path / "x.pt", weights_only=True) == {"step": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["x.pt"]


def test_patience_ends_a_run_that_does_not_improve(corpus, table, tmp_path, monkeypatch):
    figures = iter([1.0, 2.0, 1.5, 1.5, 9.0])
    monkeypatch.setattr("offline_training.training.trainer.validate", lambda *_: {"si_sdri": next(figures)})
    settings = recipe(steps=30, validate_every=2, decay_steps=1, patience=2)
    trainer = supervised(tmp_path / "p", corpus, table, settings)
    assert trainer.run() == 2.0
    assert trainer.step == 8
    assert checkpoint_io.load(tmp_path / "p" / "best.pt")["step"] == 4
    again = supervised(tmp_path / "p", corpus, table, settings)
    assert again.done
    assert again.run() == 2.0
    assert again.step == 8


def test_schedule_is_a_trapezoid():
    config = TrainConfig(steps=100, warmup_steps=10, decay_steps=20, lr=1.0)
    assert learning_rate(config, 0) == pytest.approx(0.1)
    assert learning_rate(config, 9) == learning_rate(config, 50) == learning_rate(config, 80) == 1.0
    assert learning_rate(config, 90) == pytest.approx(0.5)
    assert learning_rate(config, 100) == 0.0


def test_what_can_be_known_at_the_start_is_said_at_the_start(tmp_path, corpus, table):
    """A split without enough labels used to end a run at its first validation, hours later."""
    recipe = read(SuperviseRecipe, {"separator": {}, "validation": {"least_training_clips": 1000}})
    with pytest.raises(CorpusError, match="fewer than three labels with 1000 training clips"):
        supervised(tmp_path / "run", corpus, table, recipe)
    assert not (tmp_path / "run").exists()
