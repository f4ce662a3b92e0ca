"""Alignment on a tiny corpus: it learns, freezes, hands on, skips, resumes."""

import copy
import itertools
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from coloured import Coloured
from offline_training.alignment.config import AlignmentConfig, StageConfig
from offline_training.alignment.data import builtin, heads, query_table, rough_vectors
from offline_training.alignment.judge import Judge, JudgeEncoder, kept, verdict
from offline_training.alignment.judge import prepare as prepare_judge
from offline_training.alignment.terms import Losses
from offline_training.alignment.trainer import Alignment, freeze
from offline_training.data.corpus import CorpusError
from offline_training.data.query_table import QueryTable
from offline_training.data.training_data import TrainingData
from offline_training.encoders import pair
from offline_training.encoders.audio_image import EncoderShape
from offline_training.encoders.builtin import build_encoders, describe, load_encoders
from offline_training.encoders.heads import Headed, build_heads
from offline_training.encoders.pair import EncoderPair
from offline_training.utils.checkpoint_io import CheckpointError
from offline_training.utils.recipe import read
from offline_training.utils.run import RunError, RunOptions

ALL = {
    "audio_audio": 1.0,
    "audio_triplet": 1.0,
    "mixture_triplet": 1.0,
    "consistency": 1.0,
    "audio_text": 0.5,
    "near": 0.5,
}
STAGES = (
    StageConfig(
        0,
        12,
        batch=16,
        lr=5e-3,
        warmup=2,
        trains=("audio", "log_scale"),
        weights={"audio_labels": 1.0, "near": 1.0},
        validate_every=6,
    ),
    StageConfig(
        1, 4, batch=8, trains=("audio.head", "log_scale"), weights={"audio_text": 1.0}, validate_every=2
    ),
    StageConfig(
        2, 4, batch=8, trains=("audio.head",), weights=ALL, select=("audio_top1", "gap"), validate_every=2
    ),
    StageConfig(
        3,
        4,
        batch=8,
        weights={"audio_image": 1.0, "image_triplet": 1.0, "image_text": 1.0, **ALL},
        validate_every=2,
    ),
)


@pytest.fixture
def parts(corpus, table):
    torch.manual_seed(0)
    recipe = {
        "encoders": {k: {"widths": [8, 8, 16], "dropout": 0.0} for k in ("audio", "image")},
        "views": {"frames": 80},
    }
    return builtin(TrainingData(corpus, table), read(AlignmentConfig, {"stages": [], **recipe}))


def start(folder, parts, stages=STAGES, changed=False):
    config = AlignmentConfig(stages=stages, bf16=False)
    return Alignment(RunOptions(folder, changed=changed), parts, config)


def test_stages_run_one_after_another_and_images_are_not_needed(tmp_path, parts):
    said = []
    assert start(tmp_path, parts).run(said.append)
    assert [e["stage"] for e in said if "skipped" in e] == [3]
    assert sorted(p.name for p in tmp_path.glob("stage*.pt")) == ["stage0.pt", "stage1.pt", "stage2.pt"]
    first, last = (next(e for e in order if "loss" in e or "val" in e) for order in (said, said[::-1]))
    assert last["val"]["audio_top1"] >= first["val"]["audio_top1"]
    encoders, content = load_encoders(tmp_path / "stage2.pt")
    assert content["stage"] == 2
    assert not encoders.training


def test_stage_zero_learns_the_labels(tmp_path, parts):
    stage = replace(STAGES[0], steps=60, validate_every=20)
    start(tmp_path, parts, (stage,)).run()
    assert pair.load(tmp_path / "stage0.pt")["val"]["audio_top1"] >= 0.75  # four labels: chance is a quarter


def test_only_what_is_named_moves(tmp_path, parts):
    run = start(tmp_path, parts, STAGES[1:2])
    better = itertools.count()
    run.measure = lambda _: {"audio_top1": float(next(better))}  # the last encoders are the best
    before = {k: v.clone() for k, v in run.encoders.state_dict().items()}
    run.run()
    moved = {
        k for k, v in pair.load(tmp_path / "last.pt")["weights"].items() if not torch.equal(v, before[k])
    }
    assert moved
    assert all(k.startswith("audio.head") or k == "log_scale" for k in moved), (
        moved
    )  # norms of the frozen trunk too stay as they are


def test_nothing_to_train_is_an_error(parts):
    with pytest.raises(ValueError, match="nothing to train"):
        freeze(parts[0], ["sound"])
    with pytest.raises(ValueError, match="unknown losses: infonce"):
        StageConfig(1, 1, weights={"infonce": 1.0})


def test_a_resumed_run_is_the_uninterrupted_one(tmp_path, corpus, table):
    def fresh():
        torch.manual_seed(0)
        recipe = {
            "encoders": {k: {"widths": [4, 8], "dropout": 0.1} for k in ("audio", "image")},
            "views": {"frames": 60},
        }
        return builtin(TrainingData(corpus, table), read(AlignmentConfig, {"stages": [], **recipe}))

    stages = (replace(STAGES[0], steps=8, validate_every=4), replace(STAGES[1], steps=4))
    start(tmp_path / "whole", fresh(), stages).run()
    broken = start(tmp_path / "broken", fresh(), stages)

    def stop(entry):
        if entry.get("step") == 4 and "val" in entry:
            os.kill(os.getpid(), signal.SIGTERM)

    assert not broken.run(stop)
    assert start(tmp_path / "broken", fresh(), stages).run()
    a, b = (pair.load(tmp_path / name / "last.pt")["weights"] for name in ("whole", "broken"))
    for key in a:
        torch.testing.assert_close(a[key], b[key], msg=key)


def test_another_recipe_is_refused_and_a_run_of_an_earlier_version_goes_on(tmp_path, parts):
    stages = (replace(STAGES[0], steps=4, validate_every=2),)
    start(tmp_path, parts, stages).run(
        lambda entry: os.kill(os.getpid(), signal.SIGTERM) if entry["step"] == 2 else None
    )
    longer = (replace(stages[0], steps=6),)
    with pytest.raises(RunError, match="begun with another recipe"):
        start(tmp_path, parts, longer)
    assert start(tmp_path, parts, longer, changed=True).interrupted["step"] == 2
    content = pair.load(tmp_path / "last.pt")
    recipe = json.loads(content["recipe"])
    recipe["towers"] = recipe.pop("encoders")  # as earlier versions wrote it
    torch.save({**content, "kind": "towers", "recipe": json.dumps(recipe)}, tmp_path / "last.pt")
    assert start(tmp_path, parts, stages).interrupted["step"] == 2
    del content["recipe"], content["stale"]  # as still earlier versions wrote it
    torch.save(content, tmp_path / "last.pt")
    assert start(tmp_path, parts, longer).run()
    assert pair.load(tmp_path / "last.pt")["done"] == [0]


def test_unusable_checkpoints(tmp_path):
    (tmp_path / "junk.pt").write_bytes(b"junk")
    torch.save({"kind": "other"}, tmp_path / "other.pt")
    for name, words in (
        ("none", "no encoders at"),
        ("junk", "not a readable"),
        ("other", "not a checkpoint of marssep train align"),
    ):
        with pytest.raises(CheckpointError, match=words):
            pair.load(tmp_path / f"{name}.pt")


def test_heads_on_a_frozen_encoder(tmp_path, corpus, table):
    encoder = Coloured()
    recipe = AlignmentConfig(stages=(), vector_views=2, val_pairs=10)
    prepared = heads(encoder, TrainingData(corpus, table), recipe)
    x = torch.from_numpy(encoder.embed_audio([np.random.default_rng(0).standard_normal(48_000)]))
    torch.testing.assert_close(prepared.encoders.audio(x), x)  # heads start as the identity
    torch.manual_seed(7)
    again = heads(encoder, TrainingData(corpus, table), recipe).encoders.state_dict()  # by the recipe's seed
    assert all(torch.equal(v, again[k]) for k, v in prepared.encoders.state_dict().items())
    stage = StageConfig(
        1,
        200,
        batch=8,
        lr=5e-3,
        warmup=5,
        trains=("audio", "log_scale"),
        weights={"audio_text": 1.0},
        validate_every=50,
    )
    Alignment(RunOptions(tmp_path), prepared, AlignmentConfig(stages=(stage,), bf16=False)).run()
    assert pair.load(tmp_path / "stage1.pt")["val"]["audio_top1"] >= 0.75
    aligned = Headed.load(encoder, tmp_path / "stage1.pt")
    assert aligned.id == "bands-1+stage1"
    assert aligned.embed_audio([np.ones(48_000, np.float32)]).shape == (1, 16)
    encoder.id = "bands-2"
    with pytest.raises(CheckpointError, match="bands-1, not for bands-2"):
        Headed.load(encoder, tmp_path / "stage1.pt")
    with pytest.raises(CheckpointError, match="heads"):
        load_encoders(tmp_path / "stage1.pt")


def test_query_table_of_any_encoder(corpus, tmp_path):
    phrases = {"siren": ["siren", "a siren"], "rain": ["rain"]}
    made = query_table(Coloured(), phrases, corpus, None, augmented=2)
    assert made.encoder == "bands-1"
    siren = made.audio["siren"]
    assert len(siren.vectors) == 12 * 3 + 2  # train clips plain and twice altered, val clips plain
    assert sorted(set(siren.splits)) == ["rough", "train", "val"]
    made.save(tmp_path / "t.npz")
    again = type(made).load(tmp_path / "t.npz")
    np.testing.assert_array_equal(again.audio["rain"].vectors, made.audio["rain"].vectors)
    assert again.audio["siren"].groups == siren.groups
    assert again.image == {}


def test_the_judge_keeps_its_own_recordings_and_gives_verdicts(tmp_path, table):
    share = np.mean([kept(f"recording {i}") for i in range(2000)])
    assert 0.72 < share < 0.78
    encoders = EncoderPair(JudgeEncoder(16), None)
    torch.save(
        {
            "kind": "encoders",
            "describe": json.dumps({"kind": "judge", "dim": 16}),
            "weights": encoders.state_dict(),
        },
        tmp_path / "j.pt",
    )
    judge = Judge(tmp_path / "j.pt", Coloured())
    sounds = [np.random.default_rng(i).standard_normal(48_000).astype(np.float32) for i in range(2)]
    found = verdict(judge, sounds, ["rain", "siren"], ["siren", "rain"])
    vectors, words = judge.embed_audio(sounds), Coloured().embed_text(["rain", "siren"])
    np.testing.assert_allclose(found["similarity"], (vectors * words).sum(1), rtol=1e-5)
    assert found["wins"].tolist() == [float(v @ words[i] > v @ words[1 - i]) for i, v in enumerate(vectors)]


def test_the_command_says_what_is_wrong(tmp_path):
    bin_ = Path(sys.executable).parent / "marssep-train"
    (tmp_path / "bad.toml").write_text(
        'kind = "align"\n[[stages]]\nnumber = 1\nsteps = 2\nweights = { nonsense = 1.0 }\n'
    )
    for arguments, words in (
        (["align", "-o", tmp_path / "run", "--queries", tmp_path / "none.npz"], "not a query table"),
        (["align", "-o", tmp_path / "run", "--recipe", tmp_path / "bad.toml"], "unknown losses: nonsense"),
        (["embed", "-o", tmp_path / "t.npz", "--encoder", "openl3"], "choose one of builtin"),
        (["embed", "-o", tmp_path / "t.npz", "--weights", tmp_path / "none.pt"], "no encoders at"),
        (["query", "-o", tmp_path / "q.query"], "say what to hear"),
        (
            ["semantics", "-o", tmp_path / "s.json", "--run", tmp_path, "--split", "train"],
            "choose val or test",
        ),
    ):
        done = subprocess.run([bin_, *map(str, arguments)], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 2, done.stderr
        assert words in " ".join(done.stderr.split())
        assert "Traceback" not in done.stderr


def test_builtin_description_rebuilds_the_encoders():
    encoders = build_encoders(EncoderShape(widths=(4, 8), dim=8), EncoderShape(widths=(4, 6), dim=8))
    plain = json.loads(json.dumps(describe(encoders)))
    assert plain["image"]["widths"] == [4, 6]
    assert build_heads(8).scale.item() == pytest.approx(1 / 0.07, rel=1e-4)


def test_keep_holds_what_was_heard_in_plain_recordings(tmp_path, parts):
    """Zero for the encoder that the run began with on views without alterations, more for another encoder."""
    encoders, material, *_ = parts
    stage = StageConfig(0, 2, batch=8, trains=("audio",), weights={"keep": 1.0}, validate_every=2)
    run = start(tmp_path, parts, (stage,))
    material.audio_views.config = replace(
        material.audio_views.config,
        speed=0.0,
        equaliser=0.0,
        bandwidth=0.0,
        background=0.0,
        noise=0.0,
        masks=0.0,
    )
    rng = np.random.default_rng(0)
    encoders.eval()
    config = AlignmentConfig(stages=(stage,), bf16=False)
    with torch.no_grad():
        same = Losses(encoders, material, config, stage, rng, run.reference).all()["keep"]
        other = build_encoders(encoders.audio.shape, encoders.image.shape).eval()
        apart = Losses(other, material, config, stage, rng, run.reference).all()["keep"]
    assert same.item() == pytest.approx(0.0, abs=1e-5)
    assert apart.item() > 0.01
    assert not any(p.requires_grad for p in run.reference.parameters())


def test_pairs_are_plain_and_rough_views_of_the_same_stretches(parts):
    views = parts[1].audio_views
    plain, rough = views.pairs([0, 1, 2], np.random.default_rng(0))
    assert plain.shape == rough.shape
    assert (plain - rough).abs().max() > 0.1
    again, _ = views.pairs([0, 1, 2], np.random.default_rng(0))
    torch.testing.assert_close(plain, again)


def test_rough_vectors_of_every_training_clip(corpus):
    encoder = build_encoders(
        EncoderShape(widths=(8, 8, 16), dim=12), EncoderShape(widths=(8, 8, 16), dim=12)
    ).audio
    found = rough_vectors(encoder, corpus, 2)
    assert found.keys() == {c.path for c in corpus.clips if c.split == "train"}
    for vectors in found.values():
        assert vectors.shape == (2, 12)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-2)


def test_what_cannot_be_aligned_is_said_before_anything_is_analysed(corpus, table, monkeypatch):
    monkeypatch.setattr("offline_training.alignment.data.MelBank", lambda *_: pytest.fail("too late"))
    data = TrainingData(corpus, table)
    stage = StageConfig(1, 4, trains=("sound",), weights={"audio_text": 1.0})
    with pytest.raises(RunError, match="stage 1 has nothing to train: no parameter is named sound"):
        builtin(data, AlignmentConfig(stages=(stage,)))
    other = EncoderShape(widths=(4, 8), dim=24)
    with pytest.raises(RunError, match="make vectors of 24 numbers, those of the query table have 16"):
        builtin(data, AlignmentConfig(stages=()), build_encoders(other, other))
    without_val = copy.copy(corpus)
    without_val.clips = [clip for clip in corpus.clips if clip.split != "val"]
    with pytest.raises(CorpusError, match="split val has fewer than three labels"):
        builtin(TrainingData(without_val, table), AlignmentConfig(stages=()))
    strange = QueryTable({"x": ["x"]}, {"x": np.eye(1, 16, dtype=np.float32)}, "test")
    with pytest.raises(CorpusError, match="no clips of train whose labels the query table knows"):
        builtin(TrainingData(corpus, strange), AlignmentConfig(stages=()))


def test_a_judge_that_cannot_be_trained_is_refused_before_anything_is_analysed(corpus, table, monkeypatch):
    monkeypatch.setattr("offline_training.alignment.judge.MelBank", lambda *_: pytest.fail("too late"))
    stage = StageConfig(0, 4, trains=("image",), weights={"audio_labels": 1.0})
    with pytest.raises(RunError, match="stage 0 has nothing to train: no parameter is named image"):
        prepare_judge(TrainingData(corpus, table), AlignmentConfig(stages=(stage,)))
