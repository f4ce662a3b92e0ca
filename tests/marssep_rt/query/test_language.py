"""What sentences ask for: a golden list that the page reads as well (tests/web/language.test.mjs)."""

import json
from pathlib import Path

import pytest

from marssep_rt.errors import QueryError
from marssep_rt.query.language import Wish, combined, negatives, understand
from marssep_rt.query.vocabulary import Vocabulary
from marssep_rt.query.words import Words

ROWS = json.loads((Path(__file__).parent / "golden_sentences.json").read_text(encoding="utf-8"))
# sentence -> what is kept, what is dropped, whether the named sounds are to go
GOLDEN = {
    row["sentence"]: Wish(tuple(row["keep"]), tuple(row.get("drop", ())), row.get("remove", False))
    for row in ROWS
    if "refused" not in row
}
REFUSED = [row["sentence"] for row in ROWS if "refused" in row]


def test_the_list_is_long_enough():
    assert len(GOLDEN) >= 130
    assert len(REFUSED) >= 8


@pytest.mark.parametrize("sentence", GOLDEN)
def test_golden_sentences(sentence):
    assert understand(sentence) == GOLDEN[sentence]


@pytest.mark.parametrize("sentence", REFUSED)
def test_sentences_that_can_be_read_in_two_ways_are_refused(sentence):
    with pytest.raises(QueryError, match=r"in two ways; say “(\w+)” to hear it, or “no \1” to take it out"):
        understand(sentence)


def test_a_negative_query_is_a_list_of_sounds():
    assert negatives("the siren, please") == ("siren",)
    assert negatives("dog or cat") == ("dog", "cat")
    for text in ("no siren", "remove the siren", "not the siren", "voice without siren"):
        with pytest.raises(QueryError, match="negates again; say “siren”"):
            negatives(text)


def test_words_of_the_bundle_are_no_negations(bundle):
    """But for "music without singing", which is a query and a negative."""
    words, known = Words.of(bundle), Vocabulary.of(bundle)
    texts = {*known.labels, *words.families, *words.residual, *words.own}
    assert [text for text in texts if understand(text).negated] == ["music without singing"]


def test_a_wish_in_words():
    assert str(understand("remove the dog and the rain")) == "everything but dog and rain"
    assert str(understand("voice without the dog")) == "voice without dog"
    assert str(understand("dog barking")) == "dog barking"
    assert understand("dog barking").plain
    assert not understand("no dog").plain


def test_what_is_understood_is_understood_again():
    for sentence in GOLDEN:
        found = understand(sentence)
        assert understand(str(found)) == found


def test_several_sentences_are_one_wish():
    assert combined(["dog", "rain"]) == Wish(("dog", "rain"))
    assert combined(["no dog", "no rain"]) == Wish(("dog", "rain"), remove=True)
    assert combined(["voice", "no dog"]) == Wish(("voice",), ("dog",))
    assert combined(["voice without music", "rain"]) == Wish(("voice", "rain"), ("music",))
    assert combined([]) == Wish(())
