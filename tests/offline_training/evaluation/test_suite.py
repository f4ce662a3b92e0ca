"""The sets that a separator is asked, and what is told of them."""

import dataclasses

import numpy as np
import pytest
import torch

import marssep_rt
from marssep_rt.model import bundle as bundles
from marssep_rt.query.vocabulary import Doubt, Vocabulary
from marssep_rt.query.words import Words as BundleWords
from offline_training.data.audio_windows import windows
from offline_training.data.corpus import Corpus, decode
from offline_training.data.eval_mixtures import EvalConfig
from offline_training.evaluation import questions as q
from offline_training.evaluation import suite
from offline_training.evaluation.listeners import BundleListener
from offline_training.evaluation.questions import Sources
from offline_training.evaluation.voice import EncoderVoice

DIM = 8


@pytest.fixture(scope="module")
def sources(clips, tmp_path_factory):
    folder = tmp_path_factory.mktemp("suite")
    for _ in decode(clips, folder):
        pass
    corpus = Corpus(folder)
    return Sources(corpus, EvalConfig(split="val", mixtures=6, seconds=1.0, unseen_mixtures=4), ("siren",))


class Words:
    """Every text is a vector of its own; recordings are counted."""

    def __init__(self):
        self.texts = []
        self.counts = []

    def text(self, words):
        self.texts.append(words)
        vector = np.zeros(DIM, np.float32)
        vector[hash(words) % DIM] = 1
        return vector

    def text_in(self, words, mixture):
        return self.text(words)

    def limit_db(self, words):
        return None

    def recordings(self, clips, mixture):
        self.counts.append(len({c.group for c in clips}))
        return np.ones(DIM, np.float32)

    def has_images(self, label, split):
        return label == "rain"

    def images(self, pair, split, count, mixture):
        return np.ones(DIM, np.float32) if self.has_images(pair.target.label, split) else None


class Through:
    """Gives the mixture back, ``gain`` times as loud."""

    def __init__(self, gain=1.0, mixes=False):
        self.gain, self.mixes, self.others, self.mixing = gain, mixes, [], None

    def separate(self, mixtures, queries, others=None, mixing=None):
        self.others.append(others)
        self.mixing = mixing
        return torch.from_numpy(mixtures[:, :-480]) * self.gain


class Oracle:
    """Knows every question."""

    mixes = False

    def __init__(self, questions):
        self.known = {x.mixture.tobytes(): x.target for x in questions}

    def separate(self, mixtures, queries, others=None, mixing=None):
        return torch.from_numpy(np.stack([self.known[m.tobytes()] for m in mixtures]))


def test_a_mixture_given_back_gains_nothing_and_the_target_gains_much(sources):
    asked = list(q.by_label(sources, Words(), 6))
    assert len(asked) == 6
    through = suite.measure(Through(), iter(asked))
    assert max(abs(a.si_sdri) for a in through) < 0.2  # but for the samples that are cut off
    best = suite.summary(suite.measure(Oracle(asked), iter(asked)))
    assert best["si_sdri_db"] > 30
    assert best["made_worse"] == 0


def test_what_is_told_of_answers():
    answers = [suite.Answer("a", gain, gain, 0.0) for gain in (-10.0, 0.0, 10.0, 20.0)]
    told = suite.summary(answers)
    assert told["si_sdri_db"] == 5.0
    assert told["median_db"] == 5.0
    assert told["made_worse"] == 0.25
    assert told["worst_5_percent_db"] == pytest.approx(-8.5)
    levels = suite.summary([suite.Answer("a", float("nan"), float("nan"), level) for level in (-20.0, -10.0)])
    assert levels["level_db"] == -15.0
    assert "si_sdri_db" not in levels


def test_absent_targets_are_told_as_levels(sources):
    answers = suite.measure(Through(0.1), q.absent(sources, Words(), 4))
    assert [a.level for a in answers] == pytest.approx([-20.0] * 4, abs=0.01)
    assert all(np.isnan(a.si_sdri) for a in answers)


def test_masks_are_put_together_within_a_question(sources):
    """Two asks of the first question, one ask and one dropped sound of the second."""
    one = next(q.without_other(sources, Words(), 1))
    two = dataclasses.replace(next(q.two_at_once(sources, Words(), 1)), mixture=one.mixture)
    listener = Through(0.5, mixes=True)
    found = suite.outputs(listener, [two, one])
    united, dropped = np.zeros((4, 4), np.float32), np.zeros((4, 4), np.float32)
    united[0, 1] = united[1, 0] = 1
    dropped[2, 3] = 1
    np.testing.assert_array_equal(listener.mixing.also, united)
    np.testing.assert_array_equal(listener.mixing.drop, dropped)
    np.testing.assert_allclose(found[0], 0.5 * two.mixture[:-480])  # not summed
    assert suite.measure(Through(), q.without_other(sources, Words(), 2)) == []


def test_a_bundle_is_measured_as_the_runtime_plays_it():
    sound = np.random.default_rng(1).standard_normal(48_000).astype(np.float32) * 0.1
    asks = tuple(q.Ask(marssep_rt.embed_text(word)) for word in ("dog barking", "rain"))
    (found,) = suite.outputs(BundleListener(bundles.load(None), 1), [q.Question("", sound, sound, asks)])
    played = marssep_rt.separate(sound, query=["dog barking", "rain"]).audio
    np.testing.assert_allclose(found, played[: len(found)], atol=1e-5)


def test_outputs_of_several_asks_are_summed(sources):
    through = Through(0.5)
    for question, answer in zip(
        list(q.two_at_once(sources, Words(), 3)),
        suite.measure(through, q.two_at_once(sources, Words(), 3)),
        strict=True,
    ):
        assert len(question.asks) == 2
        assert answer.level == pytest.approx(0.0, abs=0.01)  # twice half the mixture


def test_the_other_is_named_only_where_it_is_asked(sources):
    through = Through()
    suite.measure(through, q.with_other(sources, Words(), 4))
    assert all(np.linalg.norm(o, axis=1).min() == pytest.approx(1) for o in through.others)
    through = Through()
    suite.measure(through, q.by_label(sources, Words(), 4))
    assert not any(o.any() for o in through.others)


def test_unseen_labels_are_asked_with_other_recordings(sources):
    voice = Words()
    asked = list(q.by_recordings(sources, voice, 0, 3, sources.unseen_pairs()))
    assert [x.label for x in asked] == ["siren"] * 4
    assert set(voice.counts) == {3}
    assert "siren" not in sources.clips
    assert all(x.label != "siren" for x in q.by_label(sources, voice, 6))


def test_words_are_asked_of_sounds_that_they_name(sources):
    voice = Words()
    asked = list(
        q.by_words(
            sources,
            voice,
            {"wet": ("rain",), "beats and bugs": ("bass drum", "crickets"), "nothing here": ("harp",)},
            3,
        )
    )
    assert [x.label for x in asked] == ["wet"] * 3 + ["beats and bugs"] * 3
    assert voice.texts == ["wet"] * 3 + ["beats and bugs"] * 3
    assert [
        len(x.asks) for x in q.by_words(sources, voice, {"x": ("bass drum", "crickets")}, 3, as_label=True)
    ] == [1, 1, 2]
    for question in asked:
        assert np.sqrt(np.mean(question.mixture**2)) == pytest.approx(10 ** (q.LEVEL_DBFS / 20), rel=0.01)


def test_every_set_can_be_drawn(sources):
    voice = Words()
    places = dataclasses.replace(sources)
    drawn = suite.sets(places, voice, 6)
    for name, draw in drawn.items():
        if name in (
            "speech",
            "paraphrases",
            "paraphrases, as labels",
            "words",
            "words, as labels",
            "families",
        ):
            continue  # of labels that this corpus has few or none of
        first = next(draw(), None)
        assert first is not None, name
        assert first.mixture.shape == first.target.shape, name
        assert first.asks, name


def test_only_the_sets_that_are_wanted_are_run(sources):
    told = []
    asked = {
        "a": lambda: q.by_label(sources, Words(), 2),
        "b": lambda: q.absent(sources, Words(), 2),
        "c": lambda: iter(()),
    }
    results = suite.run(Through(), asked, ["b"], lambda name, _: told.append(name))
    assert list(results) == told == ["b"]
    assert list(suite.run(Through(), asked)) == ["a", "b"]


def test_a_question_is_the_same_every_time(sources):
    for draw in (q.by_label, q.two_at_once, q.wild):
        one, again = (list(draw(sources, Words(), 2)) for _ in range(2))
        for a, b in zip(one, again, strict=True):
            np.testing.assert_array_equal(a.mixture, b.mixture)
            np.testing.assert_array_equal(a.target, b.target)


def test_the_frozen_lists_are_long_enough():
    assert len(suite.read_words()) >= 60
    assert sum(len(labels) > 1 for labels in suite.read_words().values()) >= 15


def test_a_word_for_a_family_is_asked_as_the_runtime_asks_it(corpus):
    class Axes:
        modalities = ("text",)

        def embed_text(self, texts):
            return np.eye(4, dtype=np.float32)[[len(text) for text in texts]]

    words = Vocabulary(("a",), np.eye(4, dtype=np.float32)[1:2], {}, doubt=Doubt(0.8, 12.0))
    voice = EncoderVoice(
        Axes(), corpus, known=words, words=BundleWords({"aaa": ("a", "aa")}, alike={"aaaa": ("a", "aa")})
    )
    np.testing.assert_array_equal(voice.text("aaaa"), voice.text("aaa"))
    assert (voice.limit_db("aaa"), voice.limit_db("aaaa"), voice.limit_db("a")) == (None, 12.0, None)
    np.testing.assert_allclose(voice.text("aaa"), [0, 0.5**0.5, 0.5**0.5, 0], atol=1e-6)
    np.testing.assert_array_equal(voice.text("a"), [0, 1, 0, 0])


class Ear:
    """Hears the first axis in loud windows, the second one in others."""

    modalities = ("text", "audio")

    def embed_text(self, texts):
        return np.eye(4, dtype=np.float32)[[len(text) for text in texts]]

    def embed_audio(self, windows):
        return np.stack([np.eye(4, dtype=np.float32)[1 if np.abs(w).max() > 0.5 else 2] for w in windows])


def test_an_example_is_narrowed_to_what_is_heard_in_the_mixture(sources):
    known = Vocabulary(
        ("a", "aa"),
        np.eye(4, dtype=np.float32)[1:3],
        {"audio": 0.5},
        family_temperature=0.5,
        snap_own=0.25,
        snap_temperatures={"audio": 0.5},
    )
    voice = EncoderVoice(Ear(), sources.corpus, known=known)
    clip = sources.clips["rain"][0]
    own = voice.embed_windows(windows(sources.corpus.samples(clip)))  # of one label or both
    heard = {True: np.array([0, 1, 0, 0]), False: np.array([0, 0, 1, 0])}
    for loud, axis in heard.items():
        mixture = np.full(96_000, 0.9 if loud else 0.1, np.float32)
        weights = np.exp((own + axis) / 0.5) * [0, 1, 1, 0]
        expected = weights / np.linalg.norm(weights) + 0.25 * own
        found = voice.recordings([clip], mixture)
        np.testing.assert_allclose(found, expected / np.linalg.norm(expected), rtol=1e-5, atol=1e-7)


def test_a_family_is_narrowed_to_what_is_heard_in_the_mixture(sources):
    known = Vocabulary(("a", "aa"), np.eye(4, dtype=np.float32)[1:3], {}, family_temperature=0.5)
    voice = EncoderVoice(
        Ear(),
        sources.corpus,
        known=known,
        words=BundleWords({"aaa": ("a", "aa")}, alike={"aa b": ("a", "aa")}),
    )
    loud, quiet = np.full(96_000, 0.9, np.float32), np.full(96_000, 0.1, np.float32)
    weights = np.array([0, 1, np.exp(-2), 0])  # cosines 1 and 0
    np.testing.assert_allclose(voice.text_in("aaa", loud), weights / np.linalg.norm(weights), rtol=1e-5)
    both = voice.text_in("aaa", np.concatenate([loud, quiet]))
    np.testing.assert_allclose(both, [0, 0.5**0.5, 0.5**0.5, 0], rtol=1e-5)
    for asked, mixture in (("aaa", np.zeros_like(loud)), ("a", loud), ("aa b", loud)):
        np.testing.assert_array_equal(voice.text_in(asked, mixture), voice.text(asked))
