"""A manifest out of a folder of recordings."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ffmpeg_files import encoded, needs_ffmpeg
from offline_training.data.corpus import Corpus, CorpusError, decode, read_manifest
from offline_training.data.manifest import from_folder, splits_of
from signals import RATE, tone

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
    made = from_folder(sounds, tmp_path / "my.csv")
    (tmp_path / "my.csv").write_text(made.text, encoding="utf-8")
    assert made.counts == {"dog barking": 8, "lone": 1, "rain": 3}
    assert made.left_out == ["rain/notes.txt (no sound file by its name)"]
    rows = read_manifest(tmp_path / "my.csv")
    assert len(rows) == 12
    assert {r["split"] for r in rows if r["label"] == "rain"} == {"train", "val", "test"}
    assert list(decode(tmp_path / "my.csv", tmp_path / "corpus"))[-1] == (12, 12)


def test_a_manifest_from_a_spreadsheet(sounds, tmp_path):
    made = from_folder(sounds, tmp_path / "my.csv")
    (tmp_path / "my.csv").write_text(made.text, encoding="utf-8-sig")
    assert set(read_manifest(tmp_path / "my.csv")[0]) == {"path", "label", "split", "group"}


def test_nothing_to_make_a_manifest_of(tmp_path):
    with pytest.raises(CorpusError, match="no sub-folders with recordings"):
        from_folder(tmp_path, tmp_path / "my.csv")
    with pytest.raises(CorpusError, match="there is no folder"):
        from_folder(tmp_path / "x", tmp_path / "my.csv")


def test_what_is_left_out_is_named(sounds, tmp_path, monkeypatch):
    (sounds / "stray.wav").touch()
    for i in range(5):
        (sounds / "rain" / f"memo {i}.m4a").touch()
    monkeypatch.setattr("marssep_rt.audio_io.ffmpeg.is_installed", lambda: False)
    assert from_folder(sounds, tmp_path / "my.csv").left_out_sentence() == (
        "left out 7 files: stray.wav (it lies in no label's folder), "
        + "".join(f"rain/memo {i}.m4a (it needs ffmpeg, which is not installed), " for i in range(4))[:-2]
        + " and 2 more"
    )
    monkeypatch.setattr("marssep_rt.audio_io.ffmpeg.is_installed", lambda: True)
    assert from_folder(sounds, tmp_path / "my.csv").counts["rain"] == 8


def test_a_folder_without_recordings_says_what_it_has(tmp_path):
    (tmp_path / "sounds" / "dog").mkdir(parents=True)
    (tmp_path / "sounds" / "dog" / "bark.txt").touch()
    with pytest.raises(CorpusError, match=r"no sub-folders with recordings.*left out 1 file: dog/bark\.txt"):
        from_folder(tmp_path / "sounds", tmp_path / "my.csv")


@needs_ffmpeg
def test_recordings_of_a_phone_are_decoded(tmp_path):
    folder = tmp_path / "sounds" / "hum"
    folder.mkdir(parents=True)
    encoded(folder / "memo.m4a", tone(440, 1.0), 44_100, "-c:a", "aac")  # 48 000 samples
    made = from_folder(tmp_path / "sounds", tmp_path / "my.csv")
    (tmp_path / "my.csv").write_text(made.text)
    assert list(decode(tmp_path / "my.csv", tmp_path / "c")) == [(1, 1)]
    (clip,) = Corpus(tmp_path / "c").clips
    assert clip.length == pytest.approx(RATE**2 / 44_100, abs=3_000)


def test_the_command_names_clips_that_cannot_be_read(tmp_path):
    rows = ["path,label,split,group"]
    for i in range(133):
        if i < 126:
            soundfile.write(tmp_path / f"{i}.wav", 0.1 * np.ones(480, np.float32), 48_000)
        rows.append(f"{i}.wav,hum,train,{i}")
    (tmp_path / "126.wav").write_text("no sound")
    (tmp_path / "my.csv").write_text("\n".join(rows) + "\n")
    run = [BIN / "marssep", "train", "corpus", "my.csv", "-o", "c"]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True)
    said = " ".join(done.stderr.split())
    assert done.returncode == 2, said
    assert "7 of the 133 clips of my.csv cannot be decoded, more than 5%: 126.wav (not a sound file" in said
    assert "127.wav (no such file), 128.wav (no such file)" in said
    (tmp_path / "my.csv").write_text("\n".join(rows[:-1]) + "\n")
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True)
    said = " ".join(done.stderr.split())
    assert done.returncode == 0, said
    assert "left out 6 clips that cannot be read: 126.wav (not a sound file" in said
    assert "130.wav (no such file) and 1 more; c/index.json names all" in said


def test_the_command(sounds, tmp_path):
    run = [str(BIN / "marssep"), "train", "manifest", str(sounds), "-o", "my.csv"]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "12 recordings of 3 labels" in done.stdout
    assert "left out 1 file: rain/notes.txt (no sound file by its name)\n" in done.stdout
    assert "fewer than three recordings" in done.stdout
    assert "needs 3 labels with at least 12 recordings; here are 0" in " ".join(done.stdout.split())
    assert "lone" in done.stdout
    with open(tmp_path / "my.csv", newline="") as f:
        assert all((tmp_path / row["path"]).exists() for row in csv.DictReader(f))
    again = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True)
    assert again.returncode == 2
    assert "--overwrite" in again.stderr
