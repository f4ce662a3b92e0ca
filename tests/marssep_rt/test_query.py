import json

import numpy as np
import pytest

from marssep_rt import embed_text
from marssep_rt.query import QueryError, combine, read_query, write_query


def test_text_is_a_unit_vector_and_case_and_space_do_not_matter(bundle):
    q = embed_text("dog barking")
    assert q.shape == (bundle.query_dim,)
    assert q.dtype == np.float32
    assert np.linalg.norm(q) == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_allclose(q, embed_text("  Dog   BARKING "), atol=1e-6)


def test_meaning_is_near():
    dog, puppy, piano = embed_text("dog barking"), embed_text("puppy yapping"), embed_text("piano")
    assert dog @ puppy > 0.8
    assert dog @ piano < 0.5


def test_odd_text_still_embeds():
    for text in ("狗叫", "ünïcödé horn", "x" * 400, "rain!!! 100%"):
        assert np.all(np.isfinite(embed_text(text)))


@pytest.mark.parametrize(("text", "words"), [("", "empty"), ("   ", "empty"), ("?!", "empty"), ("a" * 10_000, "10000 characters")])
def test_unusable_text(text, words):
    with pytest.raises(QueryError, match=words):
        embed_text(text)


def test_blend_is_the_normalised_mean(bundle):
    q = combine(bundle, ["rain", "siren"])
    mean = embed_text("rain") + embed_text("siren")
    np.testing.assert_allclose(q.vector, mean / np.linalg.norm(mean), atol=1e-6)
    assert q.label == "rain + siren"


def test_negative_is_the_papers_formula(bundle):
    q = combine(bundle, ["rain"], negative="thunder")
    v = 1.5 * embed_text("rain") - 0.5 * embed_text("thunder")
    np.testing.assert_allclose(q.vector, v / np.linalg.norm(v), atol=1e-6)
    assert q.vector @ embed_text("thunder") < embed_text("rain") @ embed_text("thunder")


def test_query_file_round_trip(bundle, tmp_path):
    q = combine(bundle, ["violin"])
    write_query(tmp_path / "v.query", q)
    again = read_query(tmp_path / "v.query")
    np.testing.assert_allclose(again.vector, q.vector, atol=1e-7)
    assert (again.encoder, again.label) == (q.encoder, "violin")
    assert list(tmp_path.iterdir()) == [tmp_path / "v.query"]


def test_foreign_and_damaged_query_files(bundle, tmp_path):
    path = tmp_path / "q.query"
    write_query(path, combine(bundle, ["violin"]))
    data = json.loads(path.read_text())
    for change, words in [
        ({"encoder": "other"}, "other.*needs"),
        ({"format": 9}, "newer"),
        ({"dim": 3}, "3 dimensions"),
        ({"vector": [0.0] * len(data["vector"])}, "zero"),
    ]:
        path.write_text(json.dumps({**data, **change}))
        with pytest.raises(QueryError, match=words):
            combine(bundle, files=[path])
    path.write_text("not json")
    with pytest.raises(QueryError, match=r"not a \.query file"):
        read_query(path)
    with pytest.raises(QueryError, match="cannot read"):
        read_query(tmp_path / "none.query")


def test_towers_that_a_bundle_has_not_are_named(bundle, tmp_path):
    with pytest.raises(QueryError, match="no image tower"):
        combine(bundle, images=[tmp_path / "dog.png"])
    with pytest.raises(QueryError, match="no audio tower"):
        combine(bundle, audios=[tmp_path / "dog.wav"])
