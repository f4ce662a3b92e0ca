"""What a checkpoint has heard is known again under other names, and a run says so before it begins."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch

from offline_training.data import heard
from offline_training.data.corpus import Corpus, decode
from offline_training.training.config import SuperviseRecipe
from offline_training.utils import checkpoint_io
from offline_training.utils.recipe import read
from runs import supervised
from signals import RATE

PLAIN = {
    "bf16": False,
    "separator": {"unet": {"channels": [4] * 7, "dilations": [1], "components": 4, "query_hidden": 8}},
    "train": {"steps": 2, "workers": 0, "validate_every": 2, "warmup_steps": 1, "decay_steps": 1},
    "mixtures": {"seconds": 0.5, "queries": 3},
    "validation": {"mixtures": 4, "seconds": 1.0},
}
RECIPE = read(SuperviseRecipe, PLAIN)


@pytest.fixture
def begun(corpus, table, tmp_path):
    supervised(tmp_path / "first", corpus, table, RECIPE).run()
    return tmp_path / "first" / "best.pt"


def of_split(corpus, split):
    return [c for c in corpus.clips if c.split == split]


def test_the_checkpoint_knows_what_it_has_heard(corpus, begun):
    known = heard.heard_of(checkpoint_io.load(begun))
    assert all(heard.mark(corpus, clip) in known for clip in of_split(corpus, "train"))
    assert not any(heard.mark(corpus, clip) in known for clip in of_split(corpus, "val"))


def test_the_same_split_gives_no_warning(corpus, table, tmp_path, begun):
    assert supervised(tmp_path / "second", corpus, table, RECIPE, start=begun).warnings == []


def test_another_split_of_the_same_recordings_is_told(corpus, table, tmp_path, begun):
    shuffled = Corpus(corpus.folder)
    changed = {"train": "train", "val": "train", "test": "val"}
    moved = of_split(corpus, "train")[:3]
    shuffled.clips = [
        replace(c, split="test" if c in moved else changed[c.split], path=f"new/{c.path}")
        for c in corpus.clips
    ]
    run = supervised(tmp_path / "second", shuffled, table, RECIPE, start=begun)
    assert (
        f"{begun} was trained on 3 of the 3 recordings of test: figures on them are too good"
        == run.warnings[0]
    )
    run.run()
    # what the first run heard is not forgotten, and a resumed run keeps it
    first, second = (heard.heard_of(checkpoint_io.load(p)) for p in (begun, tmp_path / "second" / "best.pt"))
    assert first < second
    again = supervised(tmp_path / "second", shuffled, table, RECIPE, start=begun)
    assert again.marked == second


def test_a_checkpoint_that_does_not_say_is_told(corpus, table, tmp_path, begun):
    content = checkpoint_io.load(begun)
    del content["heard"]
    checkpoint_io.save(tmp_path / "old.pt", content)
    run = supervised(tmp_path / "second", corpus, table, RECIPE, start=tmp_path / "old.pt")
    assert "does not say which recordings it was trained on" in run.warnings[0]
    assert "heard" not in run.provenance()  # nor does what comes of it


def test_the_mean_of_checkpoints_has_heard_what_any_of_them_has(tmp_path):
    for name, known in (("a", {3, 1}), ("b", {3, -7})):
        plain = {"separator": {}, "weights": {"w": torch.zeros(1)}, "encoder": "e"}
        checkpoint_io.save(tmp_path / name, {**plain, "heard": heard.stored(known)})
    assert checkpoint_io.mean([tmp_path / "a", tmp_path / "b"])["heard"].tolist() == [-7, 1, 3]


def test_silence_has_no_mark(tmp_path):
    rng = np.random.default_rng(0)
    for name, sound in (("loud", rng.standard_normal(RATE) * 0.1), ("silent", np.zeros(RATE))):
        soundfile.write(tmp_path / f"{name}.wav", sound, RATE)
    (tmp_path / "m.csv").write_text("path,label,split,group\nloud.wav,a,train,1\nsilent.wav,b,train,2\n")
    list(decode(tmp_path / "m.csv", tmp_path / "c"))
    corpus = Corpus(tmp_path / "c")
    found = {c.label: heard.mark(corpus, c) for c in corpus.clips}
    assert found["b"] is None
    assert len(heard.marks(corpus, corpus.clips)) == 1
