"""The loop on a tiny policy: it earns more, contains bad rewards, resumes to the same weights."""

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from offline_training.data.mixtures import MixtureDataset
from offline_training.data.query_table import Examples, QueryTable
from offline_training.data.training_data import TrainingData
from offline_training.encoders.audio_image import EncoderShape
from offline_training.encoders.builtin import build_encoders, describe
from offline_training.models import registry
from offline_training.models.streaming_state import Memory
from offline_training.reinforce import policy
from offline_training.reinforce.config import ReinforceRecipe
from offline_training.reinforce.reinforcement import Anchors, Hearing
from offline_training.training.config import SuperviseRecipe
from offline_training.utils import checkpoint_io
from offline_training.utils.recipe import RecipeError, read
from runs import reinforced, supervised

TINY = {"unet": {"channels": [6, 8, 8, 8, 8, 8, 8], "dilations": [1, 2], "components": 8, "query_hidden": 16}}


def recipe(reinforce=None, surrogate=None, reward=None, **train):
    plain = {
        "bf16": False,
        "separator": TINY,
        "train": {
            "workers": 0,
            "log_every": 2,
            "validate_every": 10,
            "warmup_steps": 1,
            "decay_steps": 1,
            "lr": 3e-3,
            **train,
        },
        "mixtures": {"seconds": 0.5, "queries": 4},
        "validation": {"mixtures": 8, "seconds": 1.0},
        "reinforce": {"group": 4, **(reinforce or {})},
        "surrogate": {"entropy": 0.0, "kl": 0.0, **(surrogate or {})},
        "reward": reward or {},
    }
    return read(ReinforceRecipe, plain)


def ear(sound):
    """A sound's spectrum in sixteen bands."""
    bands = torch.fft.rfft(sound.float(), 32_768).abs()[:, :16_384].reshape(len(sound), 16, -1).mean(2) ** 0.5
    return torch.nn.functional.normalize(bands, dim=1)


@pytest.fixture
def start(corpus, table, tmp_path):
    """A supervised checkpoint to begin with."""
    shared = recipe(steps=4, lr=1e-3)
    plain = SuperviseRecipe(shared.bf16, shared.separator, shared.train, shared.mixtures, shared.validation)
    supervised(tmp_path / "base", corpus, table, plain).run()
    return tmp_path / "base" / "best.pt"


def make(folder, corpus, table, start, plain, hearing=ear, judge=None, **more):
    anchors = Anchors(table, ear, lambda parts, present: parts["audio"])
    return reinforced(
        folder, TrainingData(corpus, table), plain, Hearing(hearing, anchors, judge), start=start, **more
    )


def batches(trainer, count):
    data = MixtureDataset(trainer.data.corpus, trainer.data.table, trainer.mixtures, 100, trainer.config.seed)
    return [data[i] for i in range(count)]


def mean_reward(trainer, batch):
    """Of the proposal itself, without sampling."""
    with torch.no_grad():
        spectra = trainer.model.spectra(batch["mixtures"][:, None, :24_000], Memory()).repeat(
            batch["mixture_of"]
        )
        p = torch.sigmoid(trainer.method.propose(trainer.model.eval(), spectra, batch).logits)
        out = trainer.model.apply_mask(spectra, p, Memory())[:, 0, trainer.model.latency :]
        cosine = (ear(out) * ear(batch["targets"][:, : out.shape[1]])).sum(1)
    return cosine[~batch["absent"]].mean().item()


def test_rewarded_masks_become_likelier(corpus, table, tmp_path, start):
    trainer = make(
        tmp_path / "rl", corpus, table, start, recipe({"group": 8, "block": [10, 16]}, steps=1000, lr=3e-3)
    )
    batch = next(b for b in batches(trainer, 50) if not b["absent"].any())
    before = mean_reward(trainer, batch)
    first = trainer.train_step(batch)
    assert first["ratio_mean"] == pytest.approx(1.0, abs=0.05)
    assert first["reward_spread"] > 0
    for _ in range(80):
        figures = trainer.train_step(batch)
    assert figures["skipped"] == figures["non_finite"] == 0
    assert mean_reward(trainer, batch) > before + 0.05


@pytest.mark.parametrize(
    "ways",
    [
        {"advantage": {"against": "deployed", "floor": 0.005, "most": 3.0}},
        {"advantage": {"each": True}, "reward": {"cosine": 1.0, "margin": 1.0}},
        {"reinforce": {"group": 8, "block": [10, 16], "learn": "winner"}},
    ],
    ids=["against the deployed mask", "each reward for itself", "expert iteration"],
)
def test_other_ways_to_reward_learn_too(corpus, table, tmp_path, start, ways):
    plain = recipe({"group": 8, "block": [10, 16]}, steps=1000, lr=3e-3)
    parts = asdict(plain) | {k: asdict(plain)[k] | v for k, v in ways.items()}
    trainer = make(
        tmp_path / "rl", corpus, table, start, read(ReinforceRecipe, json.loads(json.dumps(parts)))
    )
    batch = next(b for b in batches(trainer, 50) if not b["absent"].any())
    before = mean_reward(trainer, batch)
    for _ in range(120):
        figures = trainer.train_step(batch)
    assert figures["skipped"] == figures["non_finite"] == 0
    assert mean_reward(trainer, batch) > before + 0.05


def test_masks_drawn_in_blocks_differ_more_in_what_they_earn(corpus, table, tmp_path, start):
    """Noise of single bins averages out in the sound and leaves nothing to learn from."""
    spread = []
    for i, block in enumerate(([1, 1], [10, 16])):
        trainer = make(
            tmp_path / f"rl{i}", corpus, table, start, recipe({"group": 8, "block": block}, steps=1000)
        )
        spread.append(np.mean([trainer.train_step(b)["reward_spread"] for b in batches(trainer, 4)]))
    assert spread[1] > 2 * spread[0]


def test_old_and_new_policy_agree_until_a_step_is_taken(corpus, table, tmp_path, start):
    trainer = make(
        tmp_path / "rl", corpus, table, start, recipe({"inner_steps": 1, "refresh_every": 3}, steps=1000)
    )
    all_batches = batches(trainer, 4)
    ratios = [trainer.train_step(b)["ratio_mean"] for b in all_batches]
    assert ratios[0] == pytest.approx(1.0, abs=1e-6)
    assert abs(ratios[1] - 1.0) > 1e-6  # the old policy lags
    assert ratios[3] == pytest.approx(1.0, abs=1e-6)  # and was refreshed after the third update


def test_norms_keep_the_statistics_of_the_start(corpus, table, tmp_path, start):
    trainer = make(tmp_path / "rl", corpus, table, start, recipe(steps=1000))
    before = {k: v.clone() for k, v in trainer.model.named_buffers()}
    for batch in batches(trainer, 2):
        trainer.train_step(batch)
    for name, value in trainer.model.named_buffers():
        assert torch.equal(value, before[name])


def test_rewards_that_are_no_numbers_move_nothing(corpus, table, tmp_path, start):
    trainer = make(
        tmp_path / "rl",
        corpus,
        table,
        start,
        recipe(steps=1000, weight_decay=0.0),
        hearing=lambda x: ear(x) * float("nan"),
    )
    before = {k: v.clone() for k, v in trainer.model.named_parameters()}
    batch = next(b for b in batches(trainer, 50) if not b["absent"].any())
    figures = trainer.train_step(batch)
    assert figures["non_finite"] == len(batch["absent"]) * 4
    assert all(torch.equal(value, before[name]) for name, value in trainer.model.named_parameters())


@pytest.mark.parametrize("act", ["mask", "openness"])
def test_resumed_equals_uninterrupted(corpus, table, tmp_path, start, act):
    settings = recipe({"refresh_every": 2, "act": act}, steps=6)
    whole = make(tmp_path / "a", corpus, table, start, settings)
    whole.run()
    half = make(tmp_path / "b", corpus, table, start, settings)
    for batch in batches(half, 3):
        half.train_step(batch)
    half.folder.mkdir()
    half.save()
    again = make(tmp_path / "b", corpus, table, start, settings)
    assert again.step == 3
    again.run()
    assert whole.method.baseline == pytest.approx(again.method.baseline)
    for a, b in zip(whole.average.state_dict().values(), again.average.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


def test_anchor_reference_judge_and_bf16(corpus, table, tmp_path, start):
    plain = recipe(
        {"supervised": 0.1, "inner_steps": 1},
        {"reference_kl": 0.1, "ratio": "mean", "kl": 0.01},
        {"level": 0.1, "absent": 1.0},
        steps=3,
    )
    plain = replace(plain, bf16=True)
    trainer = make(tmp_path / "rl", corpus, table, start, plain, judge=ear)
    figures = [trainer.train_step(b) for b in batches(trainer, 3)]
    assert figures[0]["reference_kl"] == pytest.approx(0.0, abs=1e-6)
    assert figures[2]["reference_kl"] > 1e-6
    assert all(np.isfinite(list(f.values())).all() for f in figures)
    assert {"supervised", "judge", "si_sdr_db", "level", "decided"} <= figures[0].keys()
    assert trainer.method.old.training is False


def test_the_same_seed_gives_the_same_run(corpus, table, tmp_path, start):
    one, two = (make(tmp_path / name, corpus, table, start, recipe(steps=10)) for name in "ab")
    for batch in batches(one, 2):
        assert one.train_step(batch)["reward"] == two.train_step(batch)["reward"]


def test_settings_that_are_none(tmp_path):
    with pytest.raises(RecipeError, match=r"\[reinforce\] has no key 'grop'; did you mean group\?"):
        recipe({"grop": 2})
    with pytest.raises(RecipeError, match=r"group in \[reinforce\] is 0; give a whole number of at least 1"):
        recipe({"group": 0})
    assert recipe().reinforce.kappa == policy.KAPPA


def test_a_run_of_before_goes_on_whatever_its_anchor(corpus, table, tmp_path, start):
    """Earlier versions did not keep the anchor's kind beside the recipe."""
    settings = replace(recipe(steps=4), anchor="mean")
    make(tmp_path / "rl", corpus, table, start, settings).run()
    content = checkpoint_io.load(tmp_path / "rl" / "last.pt")
    stored = json.loads(content["recipe"])
    assert stored.pop("anchor") == "mean"
    checkpoint_io.save(tmp_path / "rl" / "last.pt", {**content, "recipe": json.dumps(stored)})
    assert make(tmp_path / "rl", corpus, table, start, settings).step == 4


def test_the_best_of_a_run_is_a_checkpoint_like_any_other(corpus, table, tmp_path, start):
    trainer = make(tmp_path / "rl", corpus, table, start, recipe(steps=2))
    trainer.run()
    model, _ = registry.load_separator(tmp_path / "rl" / "best.pt")
    assert not model.training


@pytest.fixture
def inputs(corpus, table, tmp_path):
    """A folder with query tables, encoders, and a recipe and two wrong ones, for the command."""
    audio = {
        k: Examples(np.repeat(v, 2, 0)[:4], ("train",) * 3 + ("val",), tuple("abcd"))
        for k, v in table.vectors.items()
    }
    table.save(tmp_path / "words.npz")
    QueryTable(table.phrases, table.vectors, table.encoder, audio).save(tmp_path / "all.npz")
    shape = EncoderShape(widths=(4, 8, 8), dim=16)
    encoders = build_encoders(shape, shape)
    torch.save(
        {"kind": "encoders", "describe": json.dumps(describe(encoders)), "weights": encoders.state_dict()},
        tmp_path / "encoders.pt",
    )
    (tmp_path / "rl.toml").write_text(
        'kind = "reinforce"\nbf16 = false\n'
        "[train]\nsteps = 2\nworkers = 0\nvalidate_every = 2\nlog_every = 1\n"
        "[mixtures]\nseconds = 0.5\nqueries = 3\n[validation]\nmixtures = 8\nseconds = 1.0\n"
        "[reinforce]\ngroup = 2\n"
    )
    (tmp_path / "bad.toml").write_text('kind = "reinforce"\nanchor = "max"\n')
    (tmp_path / "odd.toml").write_text('kind = "reinforce"\n[reinforce]\ngrop = 1\n')
    return tmp_path


def test_the_command_trains_and_says_what_is_wrong(corpus, inputs, start):
    def run(queries="all.npz", recipe="rl.toml", *more):
        given = {
            "-o": inputs / "run",
            "--corpus": corpus.folder,
            "--start": start,
            "--queries": inputs / queries,
            "--recipe": inputs / recipe,
            "--encoders": inputs / "encoders.pt",
        }
        command = [Path(sys.executable).parent / "marssep-train", "reinforce"]
        command += [word for option in given.items() for word in option]
        done = subprocess.run([*command, *more], capture_output=True, text=True, check=False, timeout=300)
        return done.returncode, done.stdout + done.stderr

    code, said = run()
    assert code == 0, said
    assert (inputs / "run" / "anchor.pt").exists()
    assert (inputs / "run" / "curves.png").exists()
    assert checkpoint_io.load(inputs / "run" / "best.pt")["step"] == 2
    (inputs / "run" / "anchor.pt").unlink()
    for arguments, words in [
        (("words.npz",), "embed --corpus"),
        (("all.npz", "rl.toml", "--device", "cuda"), "no CUDA device"),
        (("all.npz", "bad.toml"), 'anchor in the recipe is "max"; give one of mlbp, mean'),
        (("all.npz", "odd.toml"), "grop"),
    ]:
        code, said = run(*arguments)
        assert code == 2, said
        assert words in " ".join(said.split())
        assert "Traceback" not in said


def words_where_nothing_was_heard(parts, present):
    return torch.where(present["audio"][:, None], parts["audio"], torch.full_like(parts["audio"], 0.25))


@pytest.mark.parametrize("alone", [(), ("siren",)], ids=["with references", "by ear alone"])
def test_labels_by_ear_alone_need_no_reference(corpus, table, tmp_path, start, alone):
    """Another reference of theirs changes nothing, in reward, anchor or supervised loss."""
    found = []
    for name in ("a", "b"):
        anchors = Anchors(table, ear, words_where_nothing_was_heard, ear_alone=alone)
        data = TrainingData(corpus, table)
        plain = recipe({"supervised": 1.0, "ear_alone": list(alone)}, steps=100)
        trainer = reinforced(tmp_path / name, data, plain, Hearing(ear, anchors), start=start)
        batch = next(
            b
            for b in batches(trainer, 50)
            if (b["labels"] == table.index["siren"]).any() and not b["absent"].any()
        )
        if name == "b":
            mine = batch["labels"] == table.index["siren"]
            noise = torch.randn(batch["targets"].shape, generator=torch.Generator().manual_seed(0))
            batch["targets"][mine] = noise[mine]
        trainer.train_step(batch)
        found.append(torch.cat([p.flatten() for p in trainer.model.parameters()]))
    assert torch.equal(*found) == bool(alone)


def test_rewards_that_need_references_do_not_go_with_labels_by_ear_alone():
    for reward in ({"level": 0.1}, {"si_sdr": 0.1}):
        with pytest.raises(RecipeError, match="level and si_sdr use references"):
            recipe({"ear_alone": ["siren"]}, reward=reward)
