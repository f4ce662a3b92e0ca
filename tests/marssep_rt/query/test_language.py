"""What sentences ask for: a golden list."""

import pytest

from marssep_rt.query.language import Wish, combined, understand

# sentence -> what is kept, what is dropped, whether the named sounds are to go
GOLDEN = {
    "dog barking": ("dog barking",),
    "a dog barking in the yard": ("a dog barking in the yard",),
    "my voice": ("my voice",),
    "speech": ("speech",),
    "background noise": ("background noise",),
    "the sound of rain on a roof": ("the sound of rain on a roof",),
    "notification": ("notification",),
    "someone knocking": ("someone knocking",),
    "drum and bass": ("drum and bass",),
    "cats and dogs": ("cats and dogs",),
    "rock and roll": ("rock and roll",),
    "only the dog": ("dog",),
    "just vocals": ("vocals",),
    "keep the voice": ("voice",),
    "isolate the drums": ("drums",),
    "I want to hear only the piano": ("piano",),
    "extract a guitar": ("guitar",),
    "vocals only": ("vocals",),
    "piano alone": ("piano",),
    "nobody talking": ("nobody talking",),
    "notes of a piano": ("notes of a piano",),
    "knocking": ("knocking",),
    "no dog": ("dog", "remove"),
    "not the dog": ("dog", "remove"),
    "without the dog": ("dog", "remove"),
    "without music": ("music", "remove"),
    "No Dog!": ("Dog", "remove"),
    "no background noise": ("background noise", "remove"),
    "remove keyboard": ("keyboard", "remove"),
    "remove the keyboard typing": ("keyboard typing", "remove"),
    "please remove the hum": ("hum", "remove"),
    "delete all coughing": ("coughing", "remove"),
    "get rid of the wind": ("wind", "remove"),
    "cut out the traffic": ("traffic", "remove"),
    "take out the sneezing": ("sneezing", "remove"),
    "mute the music": ("music", "remove"),
    "filter out typing": ("typing", "remove"),
    "suppress the fan": ("fan", "remove"),
    "everything but the dog": ("dog", "remove"),
    "everything except the dog": ("dog", "remove"),
    "everything except for my voice": ("voice", "remove"),
    "everything without the dog": ("dog", "remove"),
    "everything, but not the dog": ("dog", "remove"),
    "anything but the rain": ("rain", "remove"),
    "all but the piano": ("piano", "remove"),
    "all except vocals": ("vocals", "remove"),
    "everything other than speech": ("speech", "remove"),
    "except the siren": ("siren", "remove"),
    "noise removal": ("noise", "remove"),
    "vocals removed": ("vocals", "remove"),
    "I don't want the dog": ("dog", "remove"),
    "remove the dog and the rain": ("dog", "rain", "remove"),
    "no dog, rain and wind": ("dog", "rain", "wind", "remove"),
    "dog and rain": ("dog", "rain"),
    "the dog and the rain": ("dog", "rain"),
    "dog, cat and bird": ("dog", "cat", "bird"),
    "guitar & drums": ("guitar", "drums"),
    "piano + violin": ("piano", "violin"),
    "voice without the dog": ("voice", "-", "dog"),
    "the voice but not the dog": ("voice", "-", "dog"),
    "voice and not music": ("voice", "-", "music"),
    "guitar, not the drums": ("guitar", "-", "drums"),
    "speech except laughter": ("speech", "-", "laughter"),
    "birds and rain but not wind and traffic": ("birds", "rain", "-", "wind", "traffic"),
    "only the voice without the music": ("voice", "-", "music"),
    "violin rather than viola": ("violin", "-", "viola"),
}


def wish(*words):
    if words[-1] == "remove":
        return Wish(words[:-1], remove=True)
    if "-" in words:
        return Wish(words[: words.index("-")], words[words.index("-") + 1 :])
    return Wish(words)


def test_the_list_is_long_enough():
    assert len(GOLDEN) >= 60


@pytest.mark.parametrize("sentence", GOLDEN)
def test_golden_sentences(sentence):
    assert understand(sentence) == wish(*GOLDEN[sentence])


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
