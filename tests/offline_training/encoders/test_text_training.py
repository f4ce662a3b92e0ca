"""The text encoder's training on made lessons: it learns its places, resumes, and refuses another recipe."""

import json
import os
import signal

import numpy as np
import pytest
import torch

from offline_training.data.lexicon import LexiconError
from offline_training.encoders.text_distillation import TextConfig
from offline_training.encoders.text_encoder import TorchTextEncoder
from offline_training.encoders.text_training import Lessons, TextTraining, last_of, prepare
from offline_training.utils.checkpoint_io import CheckpointError
from offline_training.utils.recipe import read
from offline_training.utils.run import RunError, RunOptions

WORDS = ["[PAD]", "[UNK]", "dog", "rain", "bark", "drizzle", "hound", "shower", "other", "thing"]
CONFIG = read(TextConfig, {"steps": 60, "batch": 8, "lr": 0.01, "seed": 3})


def lessons():
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    taught = {"dog": ["dog", "bark", "hound"], "rain": ["rain", "drizzle", "shower"]}
    pairs = [(p, i) for i, name in enumerate(taught) for p in taught[name]]
    anchors = torch.eye(24)[:2]
    return Lessons(
        taught=taught,
        anchors=anchors,
        tokenizer=json.loads(tokenizer.to_str()),
        kept=list(range(len(WORDS))),
        ids=[[WORDS.index(p)] for p, _ in pairs],
        targets=torch.tensor([i for _, i in pairs]),
        general_ids=[[8], [9]],
        general_targets=-torch.nn.functional.normalize(anchors.sum(0), dim=0).expand(2, -1),
        held_out=pairs,
    )


def start(folder, config=CONFIG):
    torch.manual_seed(0)
    encoder = TorchTextEncoder(len(WORDS), 1, dim=24, heads=2, inner=32)
    return TextTraining(folder, config, lessons(), encoder, np.random.default_rng(config.seed))


def test_phrases_come_to_their_places(tmp_path):
    run = start(tmp_path)
    said = []
    assert run.validate()["held_out_top1"] < 1
    assert run.run(said.append)
    assert run.validate() == {"held_out_top1": 1.0, "held_out_top5": 1.0}
    assert [e["step"] for e in said if "val" in e] == [60]
    assert all(e["stage"] == "student" for e in said)
    assert run.encoder.training


def stopped(folder, step):
    run = start(folder)

    def advance(done, steps, figures):
        if done == step:
            os.kill(os.getpid(), signal.SIGTERM)

    assert not run.run(advance=advance)
    return run


@pytest.mark.parametrize("key", ["weights", "tower"])  # a run of before has the other
def test_a_resumed_run_is_the_uninterrupted_one(tmp_path, key):
    whole = start(tmp_path / "whole")
    whole.run()
    assert stopped(tmp_path / "broken", 25).position.step == 25
    again = start(tmp_path / "broken")
    content = torch.load(tmp_path / "broken" / "last.pt", weights_only=True)
    content[key] = content.pop("weights")
    again.resume(content)
    assert again.position.step == 25
    assert again.run()
    for name, value in whole.encoder.state_dict().items():
        torch.testing.assert_close(again.encoder.state_dict()[name], value, msg=name)


def test_another_recipe_is_refused(tmp_path):
    stopped(tmp_path, 5)
    other = CONFIG.with_steps(90)
    with pytest.raises(RunError, match=r"steps: 60 -> 90\); take another folder, or --allow-recipe-change"):
        last_of(RunOptions(tmp_path), other)
    again = start(tmp_path, other)
    again.resume(last_of(RunOptions(tmp_path, changed=True), other))
    assert again.position.step == 5


def test_what_a_run_cannot_begin_with_is_said_before_the_teacher_is_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr("offline_training.encoders.text_training.Teacher", lambda: pytest.fail("too late"))
    with pytest.raises(CheckpointError, match=r"there is no finished text encoder in .*nothing"):
        prepare(CONFIG, None, tmp_path, RunOptions(tmp_path / "run", start=tmp_path / "nothing"))
    with pytest.raises(LexiconError, match="no WordNet in"):
        prepare(CONFIG, None, tmp_path, RunOptions(tmp_path / "run"))
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"file is a file; name another folder"):
        prepare(CONFIG, None, tmp_path, RunOptions(tmp_path / "file"))
    torch.save({"weights": {}}, tmp_path / "last.pt")
    with pytest.raises(CheckpointError, match=r"last\.pt is not a checkpoint of marssep train text"):
        prepare(CONFIG, None, tmp_path, RunOptions(tmp_path))
