import csv

import numpy as np
import pytest
import soundfile
import torch

from offline_training.data.corpus import Corpus, CorpusError, attributions, decode, decode_clip, read_manifest
from offline_training.data.eval_mixtures import EvalConfig, draw_pairs, render
from offline_training.data.mixtures import MixtureConfig, MixtureDataset, place
from offline_training.data.query_table import QueryTable
from signals import RATE, tone


def write_manifest(path, rows):
    with open(path, "w", newline="") as f:
        csv.writer(f).writerows([["path", "label", "split", "group"], *rows])


def test_samples_are_floats_with_full_scale_one(corpus):
    clip = corpus.clips[3]
    whole = corpus.samples(clip)
    assert whole.dtype == np.float32
    np.testing.assert_array_equal(whole * 32768, corpus.audio(clip))
    np.testing.assert_array_equal(corpus.samples(clip, 100, 50), whole[100:150])
    assert len(corpus.samples(clip, clip.length - 10, 50)) == 10  # no more than the clip has


def test_decoded_samples_are_the_files(corpus, clips):
    clip = corpus.clips[5]
    expected, _ = soundfile.read(clips.parent / clip.path, dtype="float32")
    np.testing.assert_allclose(corpus.audio(clip) / 32767.0, expected, atol=1e-4)


def test_16_bit_samples_are_kept_to_the_bit(tmp_path):
    """Written and read with one full scale."""
    samples = np.array([-32_768, -12_345, -1, 0, 1, 12_345, 32_767], np.int16)
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="PCM_16")
    np.testing.assert_array_equal(decode_clip(tmp_path / "a.wav"), samples)


def test_other_rates_and_stereo_become_mono_48k(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.stack([tone(440, 1.0, 16_000)] * 2, axis=1), 16_000)
    write_manifest(tmp_path / "m.csv", [["a.wav", "x", "train", "g"]])
    list(decode(tmp_path / "m.csv", tmp_path / "c"))
    corpus = Corpus(tmp_path / "c")
    assert corpus.clips[0].length == RATE
    middle = corpus.audio(corpus.clips[0])[10_000:30_000] / 32767.0
    np.testing.assert_allclose(middle, tone(440, 1.0)[10_000:30_000], atol=5e-3)


def test_bad_manifests(tmp_path):
    cases = {
        "group 'g' stands in two splits": [["a.wav", "x", "train", "g"], ["b.wav", "x", "test", "g"]],
        "split is 'dev'": [["a.wav", "x", "dev", "g"]],
    }
    for words, rows in cases.items():
        write_manifest(tmp_path / "m.csv", rows)
        with pytest.raises(CorpusError, match=words):
            read_manifest(tmp_path / "m.csv")
    (tmp_path / "m.csv").write_text("path,label\na,b\n")
    with pytest.raises(CorpusError, match="lacks the columns group, split"):
        read_manifest(tmp_path / "m.csv")
    with pytest.raises(CorpusError, match="cannot read"):
        read_manifest(tmp_path / "none.csv")
    (tmp_path / "m.csv").write_bytes(b"path,label,split,group\n\xff,a,b,c\n")
    with pytest.raises(CorpusError, match="no CSV in UTF-8"):
        read_manifest(tmp_path / "m.csv")


def test_every_malformed_row_is_told_with_its_line(tmp_path):
    (tmp_path / "m.csv").write_text(
        "path,label,split,group,source_sample_rate\na.wav,x,train,g,\nb.wav,x\n\nc.wav,,train,,\nd.wav,x,dev,g,\ne.wav,x,val,h,48000,more\n"
        "f.wav,x,train,g,high\n"
    )
    with pytest.raises(CorpusError) as told:
        read_manifest(tmp_path / "m.csv")
    message = str(told.value)
    assert "5 malformed rows" in message
    for part in (
        "line 3: fewer fields",
        "line 5: label and group empty",
        "line 6: split is 'dev'",
        "line 7: more fields",
        "line 8: source_sample_rate is 'high'",
    ):
        assert part in message
    assert "line 2" not in message


def test_unreadable_clips_are_left_out_and_counted_until_they_are_too_many(tmp_path):
    for i in range(39):
        soundfile.write(tmp_path / f"{i}.wav", tone(440, 0.1), RATE)
    (tmp_path / "broken.wav").write_bytes(b"RIFF nothing")
    rows = [[f"{i}.wav", "x", "train", "g"] for i in range(39)]
    write_manifest(
        tmp_path / "m.csv",
        [*rows[:3], ["broken.wav", "x", "train", "g"], ["gone.wav", "y", "train", "h"], *rows[3:]],
    )
    assert list(decode(tmp_path / "m.csv", tmp_path / "c"))[-1] == (41, 41)
    made = Corpus(tmp_path / "c")
    assert len(made.clips) == 39
    assert [u.split()[0] for u in made.unreadable] == ["broken.wav", "gone.wav"]
    np.testing.assert_allclose(made.audio(made.clips[-1]) / 32767.0, tone(440, 0.1), atol=1e-4)
    assert made.lone_labels() == ["x"]
    write_manifest(
        tmp_path / "n.csv", [*rows[:20], ["broken.wav", "x", "train", "g"], ["gone.wav", "y", "train", "h"]]
    )
    with pytest.raises(CorpusError, match=r"2 of the 22 clips.*more than 5%.*broken\.wav"):
        list(decode(tmp_path / "n.csv", tmp_path / "d"))
    with pytest.raises(CorpusError, match="holds no decoded corpus"):
        Corpus(tmp_path / "d")
    assert list((tmp_path / "d").iterdir()) == []


def test_attributions_count_the_splits_that_trained(corpus):
    assert attributions(corpus.clips) == [("CC0", "tests", 48)]
    assert attributions(corpus.clips, ("train", "val")) == [("CC0", "tests", 56)]


def test_a_step_is_a_pure_function_of_seed_and_step(corpus, table):
    config = MixtureConfig(seconds=1.0, queries=6, easy_steps=2)
    a, b = (MixtureDataset(corpus, table, config, 100, seed=3) for _ in range(2))
    for step in (0, 7, 50):
        x, y = a[step], b[step]
        assert all(torch.equal(x[k], y[k]) for k in x)
    assert not torch.equal(
        a[7]["mixtures"], MixtureDataset(corpus, table, config, 100, seed=4)[7]["mixtures"]
    )


def test_batches_hold_what_they_promise(corpus, table):
    config = MixtureConfig(seconds=1.0, queries=8, easy_steps=0, noise=0.0)
    dataset = MixtureDataset(corpus, table, config, 300, seed=1)
    absent = total = 0
    for step in range(60):
        batch = dataset[step]
        assert batch["targets"].shape == (8, RATE)
        assert torch.isfinite(batch["mixtures"]).all()
        norms = batch["queries"].norm(dim=1)
        torch.testing.assert_close(norms, torch.ones(8), atol=1e-4, rtol=0)
        assert (batch["targets"][batch["absent"]] == 0).all()
        absent, total = absent + int(batch["absent"].sum()), total + 8
        # every source of a mixture is asked for: where none was cut off, targets add up to the mixture
        for m in range(len(batch["mixtures"]) - 1):
            rows = batch["mixture_of"] == m
            torch.testing.assert_close(batch["targets"][rows].sum(0), batch["mixtures"][m], atol=1e-4, rtol=0)
    assert 0.08 < absent / total < 0.18


def test_favoured_labels_are_drawn_so_many_times_as_often(corpus, table):
    plain = MixtureDataset(corpus, table, MixtureConfig(), 1, seed=1)
    first, second = plain.labels[:2]
    favoured = MixtureDataset(corpus, table, MixtureConfig(favoured_labels=(first,), favour=3.0), 1, seed=1)
    assert favoured.weights.sum() == pytest.approx(1)
    before, after = (data.weights[0] / data.weights[1] for data in (plain, favoured))
    assert after == pytest.approx(3 * before)
    drawn = [favoured.draw_label(np.random.default_rng(i)) for i in range(300)]
    assert drawn.count(first) > 1.5 * drawn.count(second)


def test_only_training_clips_are_drawn(corpus, table):
    dataset = MixtureDataset(corpus, table, MixtureConfig(), 10, seed=1)
    assert {c.split for group in dataset.clips.values() for c in group} == {"train"}


def test_place_keeps_length_and_something_to_hear():
    rng = np.random.default_rng(0)
    long = np.concatenate([np.zeros(5 * RATE, np.float32), tone(440, 1.0)])
    assert max(np.abs(place(long, RATE, rng)).max() for _ in range(10)) > 0.1
    short = place(tone(440, 0.2), RATE, rng)
    assert len(short) == RATE
    assert np.abs(short).max() > 0.1


def test_eval_pairs_are_fixed_unseen_and_at_their_snr(corpus):
    config = EvalConfig(split="test", mixtures=12, seconds=2.0)
    pairs = draw_pairs(corpus, config)
    assert pairs == draw_pairs(corpus, config)
    for pair in pairs:
        assert pair.target.split == pair.interferer.split == "test"
        assert len({pair.target.label, pair.interferer.label, pair.absent_label}) == 3
        mixture, target, interferer = render(corpus, pair, config)
        snr = 10 * np.log10(np.mean(target**2) / np.mean(interferer**2))
        assert snr == pytest.approx(pair.snr_db, abs=0.05)
        np.testing.assert_allclose(mixture, target + interferer, atol=1e-5)


def test_query_table_round_trip(table, tmp_path):
    table.save(tmp_path / "q.npz")
    again = QueryTable.load(tmp_path / "q.npz")
    assert again.phrases == table.phrases
    np.testing.assert_array_equal(again.vectors_of("rain"), table.vectors_of("rain"))
    assert again.encoder == "test"
    assert "rain" not in again.siblings(again.phrases.keys() and list(again.phrases), 2)["rain"]
