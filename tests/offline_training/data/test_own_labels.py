"""One's own labels, from a folder to a query table that knows all of them."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from offline_training.data.corpus import Corpus, CorpusError
from offline_training.data.manifest import LEAST_RECORDINGS
from offline_training.data.own_labels import check_table, with_own_labels

BIN = Path(sys.executable).parent / "marssep-train"


def test_labels_that_no_lexicon_has_get_phrases():
    known = {"rain": ["rain", "rainfall"]}
    made = with_own_labels(known, ["rain", "mains hum", "ambience"])
    assert made["rain"] == ["rain", "rainfall"]
    assert made["mains hum"][:2] == ["mains hum", "the sound of mains hum"]
    assert set(made) == {"rain", "mains hum"}


def test_a_table_that_lacks_labels_of_the_corpus():
    check_table(["rain"], ["rain", "siren"])
    with pytest.raises(CorpusError, match=r"does not know fan, mains hum.*marssep train embed"):
        check_table(["mains hum", "rain", "fan"], ["rain"])


def folder(path, labels, count):
    for label in labels:
        (path / label).mkdir(parents=True)
        for i in range(count):
            soundfile.write(path / label / f"{i}.wav", 0.1 * np.ones(2400, np.float32), 48_000)
    return path


def corpus(source, output):
    done = subprocess.run(
        [str(BIN), "corpus", source, "-o", output], capture_output=True, text=True, timeout=120
    )
    assert "Traceback" not in done.stderr
    return done


def test_a_corpus_of_a_folder(tmp_path):
    source = folder(tmp_path / "my", ["mains_hum", "fan", "melody"], LEAST_RECORDINGS)
    folder(source, ["rare"], 2)
    done = corpus(source, tmp_path / "cache" / "corpus")
    assert done.returncode == 0, done.stderr
    assert "not validated: rare" in " ".join(done.stderr.split())
    made = Corpus(tmp_path / "cache" / "corpus")
    assert made.labels() == ["fan", "mains hum", "melody", "rare"]
    assert made.common_labels(8) == ["fan", "mains hum", "melody"]


def test_a_folder_that_cannot_be_validated_is_refused_at_once(tmp_path):
    source = folder(tmp_path / "my", ["fan", "melody"], LEAST_RECORDINGS)
    done = corpus(source, tmp_path / "corpus")
    assert done.returncode == 2
    assert "needs 3 labels with at least 12 recordings" in " ".join(done.stderr.split())
    assert not (tmp_path / "corpus").exists()
