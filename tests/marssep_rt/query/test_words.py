"""Words that are no label: families, sounds that are like labels, everything else, one's own voice."""

import json

import numpy as np
import pytest

from export.words import words_for
from marssep_rt import Separator, embed_text
from marssep_rt.errors import BundleError
from marssep_rt.model import bundle as bundles
from marssep_rt.query.build import build_query
from marssep_rt.query.types import QueryRequest
from marssep_rt.query.vocabulary import Vocabulary
from marssep_rt.query.words import FILE, Words
from offline_training.data.lexicon import normalised, phrases_for, read_paraphrases


def with_words(bundle, folder, content):
    """The built-in bundle with another ``words.json``, or with none."""
    files = {
        name: bundle.read(name)
        for name in bundle.card["files"]
        if not name.startswith("image") and name != FILE
    }
    bundles.write(folder, dict(bundle.card), files | ({} if content is None else {FILE: content}))
    return bundles.load(folder)


@pytest.fixture(scope="module")
def worded(bundle, tmp_path_factory):
    words = Words(
        {"speech": ("male speech", "female speech")},
        {"noise": ("speech", "piano"), "background noise": ("speech", "piano")},
        {"my voice": "speech"},
        {"geyser": ("bubbling water", "steam"), "zurna": ("oboe", "oboe", "bagpipes"), "speech": ("rain",)},
    )
    return with_words(bundle, tmp_path_factory.mktemp("bundle") / "b", words.dump())


def ask(bundle, *texts, negative=None):
    return build_query(bundle, QueryRequest(list(texts), negative=negative))


def vectors(*labels):
    return np.stack([embed_text(label) for label in labels])


def middle(*labels):
    mean = vectors(*labels).mean(axis=0)
    return mean / np.linalg.norm(mean)


def test_a_family_lies_in_the_middle_of_its_labels(worded, bundle, tmp_path):
    speech = ask(worded, "Speech")
    np.testing.assert_allclose(speech.kept, [middle("male speech", "female speech")], atol=1e-6)
    assert (speech.label, speech.warnings, speech.understood) == ("Speech", (), "")
    np.testing.assert_allclose(ask(worded, "the speech and rain").kept[1], embed_text("rain"), atol=1e-6)
    np.testing.assert_allclose(ask(worded, "rain", negative="speech").dropped, speech.kept, atol=1e-6)
    older = with_words(bundle, tmp_path / "older", None)
    np.testing.assert_allclose(ask(older, "speech").vector, embed_text("speech"), atol=1e-6)


@pytest.mark.parametrize(
    ("sentence", "option", "residual"),
    [
        ("noise", False, True),
        ("the background noise", False, True),
        ("noise", True, False),
        ("no background noise", False, False),
        ("remove the noise", True, False),
    ],
)
def test_noise_is_everything_but_speech_and_music(worded, sentence, option, residual):
    query = ask(worded, sentence)
    expected = [middle("male speech", "female speech"), embed_text("piano")]
    np.testing.assert_allclose(query.kept, expected, atol=1e-6)
    assert query.removes(option) == residual
    assert query.understood.endswith("speech and piano")
    assert Separator(sentence, remove=option, bundle=worded.path).controls.remove == residual


def test_noise_beside_something_else_says_nothing_new(worded):
    voice = ask(worded, "rain without background noise")
    assert len(voice.kept) == 1
    assert len(voice.dropped) == 0
    assert len(ask(worded, "rain", negative="noise").dropped) == 0
    assert len(ask(worded, "rain and noise").kept) == 2


def test_a_sound_without_a_label_lies_between_those_that_it_is_like(worded):
    known = Vocabulary.of(worded)
    for text in ("geyser", "The sound of a geyser", "geyser sounds", "noise of the geyser"):
        np.testing.assert_allclose(ask(worded, text).kept, [middle("bubbling water", "steam")], atol=1e-6)
    np.testing.assert_allclose(ask(worded, "speech sounds").kept, ask(worded, "speech").kept, atol=1e-6)
    for text, labels in (
        ("the Geyser", ("bubbling water", "steam")),
        ("zurna", ("oboe", "oboe", "bagpipes")),
    ):
        query = ask(worded, text)
        np.testing.assert_allclose(query.kept, [middle(*labels)], atol=1e-6)
        assert query.limit_db == known.limit_db(query.vector)
        assert query.narrowings == ()
        assert all(f"it is taken as {' + '.join(labels)}; it attenuates" in said for said in query.warnings)
    assert {ask(worded, text).limit_db for text in ("geyser", "zurna")} == {None, known.doubt.limit_db}
    np.testing.assert_allclose(ask(worded, "rain but no geyser").dropped, ask(worded, "geyser").kept)
    np.testing.assert_allclose(
        ask(worded, "speech").kept, [middle("male speech", "female speech")], atol=1e-6
    )


def test_ones_own_voice_needs_a_recording(worded):
    assert "--audio FILE" in ask(worded, "my voice").warnings[0]
    assert "every speech" in ask(worded, "my voice").warnings[0]
    np.testing.assert_allclose(ask(worded, "my voice").kept, ask(worded, "speech").kept)


@pytest.mark.parametrize("sentence", ["just my voice please", "can you keep my voice?", "no my voice"])
def test_words_around_it_leave_the_advice(worded, sentence):
    query = ask(worded, sentence)
    assert query.warnings == ask(worded, "my voice").warnings
    np.testing.assert_allclose(query.kept, ask(worded, "my voice").kept)


def test_a_damaged_file_is_named(bundle, tmp_path):
    for number, content in enumerate((b"no json", b"[]", json.dumps({"families": {}}).encode())):
        with pytest.raises(BundleError, match=r"words\.json .* cannot be read"):
            Words.of(with_words(bundle, tmp_path / str(number), content))


def test_the_words_of_an_export(bundle):
    known = Vocabulary.of(bundle)
    labels = known.labels[: known.trained]
    words = words_for(known.labels, known.trained)
    assert len(words.alike) > 1000
    assert words.alike["shehnai"] == ("oboe", "bagpipes", "english horn", "harmonium")
    every = {normalised(word) for word in words.alike}
    assert not every & {normalised(word) for word in (*known.labels, *words.families, *phrases_for(labels))}
    assert not every & {normalised(phrase) for phrase, _ in read_paraphrases()}
    assert {label for several in words.alike.values() for label in several} <= set(known.labels)
    assert words.alike["geysers"] == words.alike["geyser"]
    assert "keys" not in words.alike  # taught for another label
    few = words_for(["oboe", "electric fan"]).alike
    assert "shehnai" not in few  # too little of what it is like
    assert few["fan"] == few["fans"] == ("electric fan",)
    assert words.families["speech"] == ("male speech", "female speech", "child speech")
    assert words.families["talking"] == words.families["speech"]
    assert len(words.families["animals"]) > 10
    assert words.residual["background noise"] == words.residual["background"] == ("speech", "music")
    assert words.own["my voice"] == "voice"
    assert {label for several in words.families.values() for label in several} <= set(labels)
    assert not words.families.keys() & set(labels)
    assert "noise" not in words_for([*labels, "noise"]).residual
    assert json.loads(words.dump())["families"]["vocals"] == ["singing", "choir"]
