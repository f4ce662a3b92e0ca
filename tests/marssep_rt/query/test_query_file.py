"""A query file stands for the words that it was made of: their limit, their warnings, and what is to go."""

import json

import numpy as np
import pytest

from marssep_rt import Separator
from marssep_rt.batch.report import settings_key
from marssep_rt.contract import FORMATS
from marssep_rt.dsp.mixer import Controls
from marssep_rt.errors import QueryError
from marssep_rt.query.build import build_query
from marssep_rt.query.query_file import read_query, write_query
from marssep_rt.query.types import QueryRequest

DOUBTED = "quarterly tax returns"  # training never asked for it


@pytest.fixture
def file_of(bundle, tmp_path):
    """Writes the query of some words into a file."""

    def write(words):
        path = tmp_path / f"{words}.query"
        write_query(path, build_query(bundle, QueryRequest([words])))
        return path

    return write


SENTENCES = (
    "dog",
    DOUBTED,
    f"{DOUBTED} and rain",
    "rain but not the dog",
    "no dog",
    f"no {DOUBTED}",
    "background noise",
    "no background noise",
    "my voice",
)


@pytest.mark.parametrize("words", SENTENCES)
def test_a_file_is_the_query_that_its_words_are(bundle, file_of, words):
    said, read = (
        build_query(bundle, request)
        for request in (QueryRequest([words]), QueryRequest(files=[file_of(words)]))
    )
    for name in ("vector", "kept", "dropped"):
        np.testing.assert_allclose(getattr(read, name), getattr(said, name), atol=1e-6)
    for name in ("encoder", "label", "name", "warnings", "limit_db", "remove", "complement"):
        assert getattr(read, name) == getattr(said, name), name
    assert [read.removes(wanted) for wanted in (False, True)] == [said.removes(w) for w in (False, True)]
    assert read.name in read.understood or not read.remove


def test_the_limit_of_doubted_words_comes_with_their_file(file_of):
    path = file_of(DOUBTED)
    with pytest.warns(UserWarning, match=f"“{DOUBTED}” is unlike .* at most 12 dB unless a limit is set"):
        separator = Separator(query_file=path)
    assert separator.mixing.limit_db == 12
    separator.set_controls(limit_db=100)
    assert separator.mixing.leak == 0


def test_a_report_knows_the_limit_of_a_file(bundle, file_of):
    query = read_query(file_of(DOUBTED))
    free = Controls(limit_db=100.0)
    assert settings_key(bundle, query, Controls(), "wav", False) == settings_key(
        bundle, query, Controls(limit_db=12.0), "wav", False
    )
    assert settings_key(bundle, query, Controls(), "wav", False) != settings_key(
        bundle, query, free, "wav", False
    )


def test_files_beside_words_are_read_as_words(bundle, file_of):
    no_dog, rain, noise = map(file_of, ("no dog", "rain", "background noise"))

    def both(texts, files):
        return build_query(bundle, QueryRequest(texts, files=files))

    voice = both(["voice"], [no_dog])
    said = build_query(bundle, QueryRequest(["voice", "no dog"]))
    assert (voice.understood, voice.label) == ("voice without dog", "voice - dog")
    np.testing.assert_allclose(voice.dropped, said.dropped, atol=1e-6)
    assert not voice.remove
    everything = both(["no siren"], [no_dog])
    assert (everything.remove, everything.understood) == (True, "everything but siren and dog")
    assert both(["no siren"], [rain]).understood == "rain without siren"
    assert both([], [no_dog, rain]).understood == "rain without dog"
    for texts, files in ((["rain"], [noise]), ([], [noise, rain]), (["no rain"], [noise])):
        with pytest.raises(QueryError, match="works only as the whole query"):
            both(texts, files)


def test_earlier_versions_read_what_they_understand(file_of):
    """They know neither limit nor residual: the one is left out, the other would be its opposite."""
    for words, number in ((DOUBTED, FORMATS.query_of_sounds), ("no dog", FORMATS.query)):
        assert json.loads(file_of(words).read_text())["format"] == number
    assert FORMATS.query > FORMATS.query_of_sounds


def test_files_of_earlier_versions_are_read(bundle, file_of):
    path = file_of(DOUBTED)
    data = json.loads(path.read_text())
    kept = {name: data[name] for name in ("format", "encoder", "dim", "label", "vector")}
    path.write_text(json.dumps(kept | {"format": 1}))
    query = build_query(bundle, QueryRequest(files=[path]))
    assert (query.label, query.limit_db, query.warnings, query.remove) == (DOUBTED, None, (), False)


@pytest.mark.parametrize(
    "change", [{"limit_db": "12"}, {"limit_db": -1}, {"remove": "yes"}, {"warnings": [3]}, {"warnings": 3}]
)
def test_what_is_damaged_is_no_query_file(file_of, change):
    path = file_of("rain")
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(QueryError, match=r"is not a \.query file"):
        read_query(path)
