"""The lists of AudioSep and of DCASE 2024 Task 9, on tiny folders of their shape."""

import json
import warnings

import numpy as np
import pytest
import soundfile
import typer

import marssep_rt
from marssep_rt.errors import QueryError
from marssep_rt.model import bundle as bundles
from marssep_rt.query.build import build_query
from marssep_rt.query.types import QueryRequest
from offline_training.cli.app import app
from offline_training.data.corpus import CorpusError
from offline_training.data.lass_lists import ListedMixture, present, read_mixtures
from offline_training.data.mono import read_mono
from offline_training.evaluation.lass import (
    Figures,
    UsersBundle,
    at_ratio,
    measure,
    render,
    sdr,
    si_sdr,
    summarise,
    summary,
)
from signals import tone

LASS = typer.main.get_command(app).commands["lass"]
SECONDS = 1.2
# sines of whole numbers of periods: orthogonal, of mean 0 and equal power
LOW, HIGH = (tone(hz, SECONDS, 32_000) for hz in (500, 1500))


def written(path, *lines):
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def esc50(tmp_path):
    """Three listed mixtures of AudioSep's shape, of which two are there."""
    for i, (target, other) in enumerate(((LOW, HIGH), (HIGH, LOW))):
        soundfile.write(tmp_path / f"segment-{i}.wav", target, 32_000, "FLOAT")
        soundfile.write(tmp_path / f"mixture-{i}.wav", target + other, 32_000, "FLOAT")
    rows = ("0,dog,a.wav,b.wav", "1,rain,b.wav,a.wav", "2,dog,c.wav,a.wav")
    return written(tmp_path / "esc50_eval.csv", "idx,caption,src_wav,noise_wav", *rows)


@pytest.fixture
def dcase(tmp_path):
    """Two listed mixtures of DCASE's shape; the blanks in the header are the real list's."""
    for name, audio in (("s-hq", tone(500, SECONDS, 16_000)), ("n-hq", tone(1500, SECONDS, 16_000))):
        soundfile.write(tmp_path / f"{name}.wav", audio, 16_000, "FLOAT")
    rows = ('s-hq,n-hq,10,"A dog barks, then it rains."', "s-hq,n-hq,-20,A dog barks.")
    return written(tmp_path / "lass_synthetic_validation.csv", "source, noise, snr, caption", *rows)


def halved(mixture, query, rate):
    return mixture / 2, "as written"


def unchanged(mixture, query, rate):
    return mixture, "as written"


def lass(capsys, *args):
    """Exit code, figures on standard output, messages."""
    with pytest.raises(SystemExit) as ended:
        LASS.main([str(x) for x in args])
    said = capsys.readouterr()
    return ended.value.code or 0, said.out, " ".join(said.err.split())


def test_rows_by_number_and_the_column_of_the_query(tmp_path):
    path = written(
        tmp_path / "audiocaps_eval.csv",
        "idx,caption,labels,src_wav,noise_wav",
        '7,"Food is frying, and a woman talks",Speech Frying (food),Y1.wav,Y2.wav',
    )
    (row,) = read_mixtures(path, tmp_path, "audiosep")
    target, mixture = tmp_path / "segment-7.wav", tmp_path / "mixture-7.wav"
    assert row == ListedMixture("7", "Food is frying, and a woman talks", target, mixture)
    (row,) = read_mixtures(path, tmp_path, "audiosep", "labels")
    assert row.query == "Speech Frying (food)"


def test_rows_of_vggsound_and_of_audioset_name_their_files(tmp_path):
    path = written(
        tmp_path / "vggsound_eval.csv",
        "file_id,mix_wav,s0_wav,s0_text,s1_wav,s1_text",
        "a+++b,data/mix_wav/ab.wav,data/s0_wav/ab.wav,playing cello,data/s1_wav/ab.wav,foghorn",
    )
    (row,) = read_mixtures(path, tmp_path, "audiosep")
    assert (row.id, row.query) == ("a+++b", "playing cello")
    assert row.target == tmp_path / "data/s0_wav/ab.wav"
    assert row.other == tmp_path / "data/mix_wav/ab.wav"
    place = "evaluation/class_id=0/class_id=0,index=000"
    path = written(
        tmp_path / "audioset_eval.csv",
        "idx,caption,src_wav,noise_wav",
        f'0,Speech,"{place},source.wav","{place},mixture.wav"',
    )
    (row,) = read_mixtures(path, tmp_path, "audiosep")
    assert row.target == tmp_path / f"{place},source.wav"
    assert row.other == tmp_path / f"{place},mixture.wav"


def test_rows_of_dcase(dcase, tmp_path):
    first, second = read_mixtures(dcase, tmp_path, "dcase")
    assert first.query == "A dog barks, then it rains."
    assert (first.target, first.other) == (tmp_path / "s-hq.wav", tmp_path / "n-hq.wav")
    assert (first.snr_db, second.snr_db) == (10, -20)


def test_lists_that_cannot_be_used(tmp_path, esc50, dcase):
    def refused(path, protocol, words, column=None):
        with pytest.raises(CorpusError, match=words):
            read_mixtures(path, tmp_path, protocol, column)

    refused(tmp_path / "none.csv", "audiosep", "cannot read the list .*none.csv")
    refused(written(tmp_path / "e.csv", "idx,caption"), "audiosep", "no rows")
    refused(
        esc50, "dcase", "no column source and no column noise and no column snr, .* idx, caption, src_wav"
    )
    refused(dcase, "audiosep", "no column idx, .* columns are source, noise, snr, caption")
    refused(esc50, "audiosep", "no column labels", "labels")
    bad = ("idx,caption", "0,dog", "1", ",dog")
    wrong = "2 malformed rows: line 3: 1 fields for 2 columns; line 4: no idx"
    refused(written(tmp_path / "m.csv", *bad), "audiosep", wrong)
    bad = ("source,noise,snr,caption", "a,b,loud,dog", "a,b,nan,dog")
    refused(written(tmp_path / "n.csv", *bad), "dcase", "line 2: the snr is 'loud'; line 3: the snr is 'nan'")
    with pytest.raises(
        CorpusError, match=r"none of the 3 .* lacks .*segment-0.wav and .*mixture-0.wav; check"
    ):
        present(read_mixtures(esc50, tmp_path / "elsewhere", "audiosep"), esc50)


def test_files_are_read_mono_at_the_rate_of_the_protocol(tmp_path):
    stereo = np.stack([tone(500, SECONDS), np.zeros(int(SECONDS * 48_000), np.float32)], axis=1)
    soundfile.write(tmp_path / "s.wav", stereo, 48_000, "FLOAT")
    found = read_mono(tmp_path / "s.wav", 32_000)
    assert len(found) == len(LOW)
    np.testing.assert_allclose(found[500:-500], LOW[500:-500] / 2, atol=1e-3)
    soundfile.write(tmp_path / "n.wav", np.full(100, np.nan, np.float32), 32_000, "FLOAT")
    with pytest.raises(CorpusError, match="no numbers"):
        read_mono(tmp_path / "n.wav", 32_000)


def test_figures_by_hand():
    assert sdr(LOW + HIGH, LOW) == pytest.approx(0, abs=1e-4)
    assert sdr(LOW + HIGH / 10, LOW) == pytest.approx(20, abs=1e-4)
    # what is wrong is half of the target and half of the other, a quarter of the power each
    assert sdr((LOW + HIGH) / 2, LOW) == pytest.approx(10 * np.log10(2), abs=1e-4)
    assert sdr(LOW, LOW) == pytest.approx(10 * np.log10(0.045 / 1e-10), abs=1e-3)
    assert si_sdr((LOW + HIGH) / 2, LOW) == pytest.approx(0, abs=1e-3)
    assert si_sdr(-3 * (LOW + HIGH / 10), LOW) == pytest.approx(20, abs=1e-3)
    # an offset counts: these protocols do not remove means
    assert si_sdr(LOW + np.float32(0.1), LOW) == pytest.approx(10 * np.log10(0.045 / 0.01), abs=1e-3)


def test_dcase_mixes_at_the_ratio_and_takes_back_what_would_clip():
    mixture, target = at_ratio(LOW, HIGH * 5, 10)
    np.testing.assert_array_equal(target, LOW)
    np.testing.assert_allclose(mixture, LOW + HIGH * np.float32(10**-0.5), atol=1e-6)
    loud = LOW * np.float32(3)
    mixture, target = at_ratio(loud, HIGH, 0)
    raw = loud + HIGH * 3
    assert np.abs(raw).max() > 1
    assert np.abs(mixture).max() == pytest.approx(0.9, abs=1e-6)
    np.testing.assert_allclose(target, loud * 0.9 / np.abs(raw).max(), atol=1e-6)
    np.testing.assert_allclose(mixture, raw * 0.9 / np.abs(raw).max(), atol=1e-6)
    with pytest.raises(CorpusError, match="silent"):
        at_ratio(LOW, np.zeros_like(LOW), 0)


def test_the_audiosep_protocol_by_hand(esc50, tmp_path):
    rows = present(read_mixtures(esc50, tmp_path, "audiosep"), esc50)
    assert [row.id for row in rows] == ["0", "1"]
    done = []
    same, left_out = measure(rows, 32_000, unchanged, done.append)
    assert done == [1, 2]
    assert not left_out
    for row in same:
        assert (row.sdri, row.si_sdri) == (0, 0)
        assert row.sdr == pytest.approx(0, abs=1e-3)
    half, _ = measure(rows, 32_000, halved)
    for row in half:
        assert row.sdr == pytest.approx(row.sdri, abs=1e-3)
        assert row.sdri == pytest.approx(10 * np.log10(2), abs=1e-3)
        assert row.si_sdri == pytest.approx(0, abs=1e-3)


def test_the_dcase_protocol_by_hand(dcase, tmp_path):
    rows = read_mixtures(dcase, tmp_path, "dcase")
    asked = []

    def target_alone(mixture, query, rate):
        asked.append((query, rate, len(mixture)))
        return render(rows[len(asked) - 1], rate)[1] * np.float32(1.1), "as written"

    found, _ = measure(rows, 16_000, target_alone)
    assert asked[0] == ("A dog barks, then it rains.", 16_000, int(SECONDS * 16_000))
    for row, ratio in zip(found, (10, -20), strict=True):
        assert row.sdr == pytest.approx(20, abs=1e-3)
        assert row.sdri == pytest.approx(20 - ratio, abs=1e-3)
        assert row.si_sdr - row.si_sdri == pytest.approx(ratio, abs=1e-2)
    assert np.abs(render(rows[1], 16_000)[0]).max() == pytest.approx(0.9, abs=1e-4)  # 3 + 0.3 before


def test_what_cannot_be_measured_is_told(esc50, dcase, tmp_path):
    (tmp_path / "segment-1.wav").write_text("no sound")
    rows = present(read_mixtures(esc50, tmp_path, "audiosep"), esc50)
    found, (broken,) = measure(rows, 32_000, unchanged)
    assert [row.id for row in found] == ["0"]
    assert broken["id"] == "1"
    assert "segment-1.wav" in broken["why"]

    def mute(mixture, query, rate):
        raise QueryError("the query has 600 characters")

    with pytest.raises(CorpusError, match=r"none of the 2 mixtures can be measured; of the first, 0: .*600"):
        measure(rows, 32_000, mute)
    soundfile.write(tmp_path / "n-hq.wav", np.zeros(16_000), 16_000)
    with pytest.raises(CorpusError, match="silent"):
        measure(read_mixtures(dcase, tmp_path, "dcase"), 16_000, unchanged)


def test_the_longer_file_is_cut(esc50, tmp_path):
    soundfile.write(tmp_path / "segment-0.wav", LOW[:20_000], 32_000, "FLOAT")
    mixture, target = render(read_mixtures(esc50, tmp_path, "audiosep")[0], 32_000)
    assert len(mixture) == len(target) == 20_000


def test_the_summary_by_hand():
    values = np.array([-2.0, 1.0, 7.0, 9.0])
    found = summary(values, ["a", "a", "a", "b"], gain=True)
    assert found["mean"] == 3.75
    assert found["median"] == 4
    assert found["worst_5_percent"] == pytest.approx(np.quantile(values, 0.05))
    assert found["made_worse"] == 0.25
    assert (found["mean_of_query_means"], found["mean_of_query_medians"]) == (5.5, 5)
    assert summary(values, ["a", "a", "b", "b"], gain=True)["mean_of_query_means"] == 3.75
    low, high = found["mean_95"]
    assert -2 <= low < 3.75 < high <= 9
    rows = [
        Figures(str(i), "a", asked, 5.0, x, 6.0, -x)
        for i, (asked, x) in enumerate((("warned", 1.0), ("literal", 2.0), ("as written", -6.0)))
    ]
    told = summarise(rows)
    assert (told["queries_warned"], told["queries_literal"]) == (1, 1)
    assert told["sdri_db"]["mean"] == -1
    assert told["si_sdri_db"]["made_worse"] == pytest.approx(2 / 3, abs=1e-3)
    assert told["sdr_db"]["mean"] == 5
    assert told["si_sdr_db"]["mean"] == 6
    assert "made_worse" not in told["sdr_db"]


def test_the_bundle_is_asked_as_its_users_ask_it():
    """Negation and doubted words included, without a warning; what is refused is embedded as it stands."""
    bundle = bundles.load(None)
    users, mixture = UsersBundle(bundle), LOW + HIGH
    for text in ("no dog", "qwertz zxcvb"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found, asked = users.separate(mixture, text, 32_000)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = marssep_rt.separate(mixture, text, sample_rate=32_000).audio
        np.testing.assert_array_equal(found, expected)
        warned = build_query(bundle, QueryRequest([text])).warnings
        assert asked == ("warned" if warned else "as written")
    found, asked = users.separate(mixture, "don't remove the dog", 32_000)
    vector = users.text.embed("don't remove the dog")
    np.testing.assert_array_equal(found, marssep_rt.separate(mixture, vector, sample_rate=32_000).audio)
    assert asked == "literal"
    for text, words in (("dog " * 200, "characters"), ("", "empty")):
        with pytest.raises(QueryError, match=words):
            users.separate(mixture, text, 32_000)


def test_the_command_on_both_protocols(esc50, dcase, tmp_path, capsys):
    folder, output = tmp_path, tmp_path / "new" / "f.json"
    asked = ("--protocol", "audiosep", "--list", esc50, "--audio", folder, "-o", output)
    code, out, err = lass(capsys, *asked)
    assert code == 0, err
    assert "left out: 1 of 3 mixtures" in err + out
    found = json.loads(output.read_text())
    assert found["command"] == "marssep train lass --protocol audiosep --list esc50_eval.csv"
    assert (found["rows_used"], found["rows_missing"], found["rows_not_measured"]) == (2, 1, 0)
    gains = [row["sdri"] for row in found["rows"]]
    assert found["sdri_db"]["mean"] == pytest.approx(np.mean(gains), abs=1e-3)
    assert all(np.isfinite(gains))
    assert any(gains)
    asked = ("--protocol", "dcase", "--list", dcase, "--audio", folder, "-o", output)
    code, _, err = lass(capsys, *asked)
    assert code == 0, err
    found = json.loads(output.read_text())
    assert (found["protocol"], found["sample_rate"], found["rows_used"]) == ("dcase", 16_000, 2)


def test_bad_input_is_one_sentence(esc50, tmp_path, capsys):
    output = tmp_path / "f.json"
    good = {"--protocol": "audiosep", "--list": esc50, "--audio": tmp_path, "-o": output}
    for change, words in (
        ({"--protocol": "musdb"}, "protocol is 'musdb'; choose audiosep or dcase"),
        ({"--list": tmp_path / "none.csv"}, "cannot read the list"),
        ({"--audio": tmp_path / "none"}, "check --audio"),
        ({"--query-column": "labels"}, "no column labels"),
        ({"-o": tmp_path}, "is a folder; name a file"),
        ({"-o": esc50 / "f.json"}, "is a file; name another folder"),
    ):
        code, _, err = lass(capsys, *(x for pair in {**good, **change}.items() for x in pair))
        assert code == 2
        assert words in err
        assert "Traceback" not in err
    code, _, err = lass(capsys, tmp_path / "none.marssep", *(x for pair in good.items() for x in pair))
    assert code == 2
    assert "none.marssep" in err
    assert not output.exists()
