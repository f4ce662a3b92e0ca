"""A manifest out of a folder of recordings."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from offline_training.data.corpus import CorpusError, decode, read_manifest
from offline_training.data.manifest import from_folder, splits_of

BIN = Path(sys.executable).parent


@pytest.fixture
def sounds(tmp_path):
    folder = tmp_path / "my sounds"
    for label, count in (("dog_barking", 8), ("rain", 3), ("lone", 1)):
        (folder / label).mkdir(parents=True)
        for i in range(count):
            soundfile.write(folder / label / f"take {i}.wav", np.zeros(4800, np.float32), 48_000)
    (folder / "rain" / "notes.txt").write_text("no sound")
    (folder / "rain" / "._take 0.wav").write_bytes(b"what a Mac leaves behind")
    (folder / ".hidden").mkdir()
    return folder


def test_every_split_has_a_file_as_soon_as_there_are_enough():
    assert list(splits_of(["a"]).values()) == ["train"]
    assert sorted(splits_of(["a", "b"]).values()) == ["train", "val"]
    assert sorted(splits_of(["a", "b", "c"]).values()) == ["test", "train", "val"]
    many = list(splits_of([f"{i}.wav" for i in range(40)]).values())
    assert (many.count("val"), many.count("test"), many.count("train")) == (6, 6, 28)


def test_the_manifest_is_one_that_the_corpus_reads(sounds, tmp_path):
    text, counts, skipped = from_folder(sounds, tmp_path / "my.csv")
    (tmp_path / "my.csv").write_text(text, encoding="utf-8")
    assert counts == {"dog barking": 8, "lone": 1, "rain": 3}
    assert skipped == 1
    rows = read_manifest(tmp_path / "my.csv")
    assert len(rows) == 12
    assert {r["split"] for r in rows if r["label"] == "rain"} == {"train", "val", "test"}
    assert list(decode(tmp_path / "my.csv", tmp_path / "corpus"))[-1] == (12, 12)


def test_a_manifest_from_a_spreadsheet(sounds, tmp_path):
    text, *_ = from_folder(sounds, tmp_path / "my.csv")
    (tmp_path / "my.csv").write_text(text, encoding="utf-8-sig")
    assert set(read_manifest(tmp_path / "my.csv")[0]) == {"path", "label", "split", "group"}


def test_nothing_to_make_a_manifest_of(tmp_path):
    with pytest.raises(CorpusError, match="no sub-folders with recordings"):
        from_folder(tmp_path, tmp_path / "my.csv")
    with pytest.raises(CorpusError, match="there is no folder"):
        from_folder(tmp_path / "x", tmp_path / "my.csv")


def test_the_command(sounds, tmp_path):
    run = [str(BIN / "marssep"), "train", "manifest", str(sounds), "-o", "my.csv"]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "12 recordings of 3 labels" in done.stdout
    assert "fewer than three recordings" in done.stdout
    assert "needs 3 labels with at least 12 recordings; here are 0" in " ".join(done.stdout.split())
    assert "lone" in done.stdout
    with open(tmp_path / "my.csv", newline="") as f:
        assert all((tmp_path / row["path"]).exists() for row in csv.DictReader(f))
    again = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True)
    assert again.returncode == 2
    assert "--overwrite" in again.stderr
