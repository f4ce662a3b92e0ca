"""What sentences ask for: a golden list that the page reads as well (tests/web/language.test.mjs)."""

import json
from pathlib import Path

import pytest

from marssep_rt.query.language import Wish, combined, understand

# sentence -> what is kept, what is dropped, whether the named sounds are to go
GOLDEN = {
    row["sentence"]: Wish(tuple(row["keep"]), tuple(row.get("drop", ())), row.get("remove", False))
    for row in json.loads((Path(__file__).parent / "golden_sentences.json").read_text(encoding="utf-8"))
}


def test_the_list_is_long_enough():
    assert len(GOLDEN) >= 60


@pytest.mark.parametrize("sentence", GOLDEN)
def test_golden_sentences(sentence):
    assert understand(sentence) == GOLDEN[sentence]


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
