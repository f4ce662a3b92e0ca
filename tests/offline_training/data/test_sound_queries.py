"""What training asks for in the space of sound: the recording itself, means, families, and what else is
there.
"""

import dataclasses

import numpy as np
import pytest

from offline_training.data.corpus import Corpus
from offline_training.data.eval_mixtures import EvalConfig, draw_pairs
from offline_training.data.mixtures import QUERY_LOSS, MixtureConfig, MixtureDataset, gain_curve, rms
from offline_training.data.query_table import Examples, QueryTable
from offline_training.utils.vectors import unit

LABELS = ("bass drum", "crickets", "rain", "siren")
PLAIN = {
    "query_noise_cosine": 1.0,
    "label_query": 1.0,
    "noise": 0.0,
    "absent": 0.0,
    "easy_steps": 0,
    "room": 0.0,
    "equaliser": 0.0,
    "bandwidth": 0.0,
}


@pytest.fixture(scope="module")
def world(clips, tmp_path_factory):
    """The corpus with some of its rain called ambience, and a table in which every vector is an axis of its
    own.
    """
    corpus = Corpus(made(clips, tmp_path_factory.mktemp("sound")))
    corpus.clips = [
        dataclasses.replace(c, label="ambience") if c.group in ("rain0", "rain1", "rain12") else c
        for c in corpus.clips
    ]
    axes = iter(np.eye(80, dtype=np.float32))
    vectors = {label: next(axes)[None] for label in (*LABELS, "ambience")}
    audio = {}
    for label in vectors:
        mine = [c for c in corpus.clips if c.label == label and c.split != "test"]
        audio[label] = Examples(
            np.stack([next(axes) for _ in mine]), tuple(c.split for c in mine), tuple(c.group for c in mine)
        )
    families = {"weather": ("rain", "crickets")}
    table = QueryTable(
        {label: [label] for label in vectors},
        vectors,
        "axes",
        audio,
        None,
        families,
        {"weather": next(axes)[None]},
    )
    return corpus, table


def made(manifest, folder):
    from offline_training.data.corpus import decode

    for _ in decode(manifest, folder):
        pass
    return folder


def dataset(world, seed=0, **changes):
    return MixtureDataset(*world, MixtureConfig(seconds=0.5, queries=12, **{**PLAIN, **changes}), 50, seed)


def rows(batch):
    for i, mixture in enumerate(batch["mixture_of"].tolist()):
        yield {name: batch[name][i].numpy() for name in ("targets", "queries", "others", "labels")} | {
            "mixture": mixture
        }


def test_a_family_is_the_sum_of_its_members(world):
    _, table = world
    data = dataset(world, family=1.0, source_counts=(0.0, 1.0, 0.0))
    found = 0
    for step in range(12):
        batch = data[step]
        by_mixture = {}
        for row in rows(batch):
            by_mixture.setdefault(row["mixture"], []).append(row)
        for mixture, asked in by_mixture.items():
            labels = [list(table.index)[int(r["labels"])] for r in asked]
            if len(asked) < 3 or not {"rain", "crickets"} <= set(labels):
                continue
            others = [
                r["targets"]
                for r, label in zip(asked, labels, strict=True)
                if label not in ("rain", "crickets")
            ]
            wanted = batch["mixtures"][mixture].numpy() - np.sum(others, axis=0)
            for row, label in zip(asked, labels, strict=True):
                if label in ("rain", "crickets"):
                    np.testing.assert_allclose(row["queries"], table.family_vectors["weather"][0], atol=1e-6)
                    np.testing.assert_allclose(row["targets"], wanted, atol=1e-5)
                    found += 1
    assert found > 4


def test_a_family_of_the_labels_own_name_is_always_meant(world):
    corpus, table = world
    named = QueryTable(
        table.phrases,
        table.vectors,
        "axes",
        table.audio,
        None,
        {"rain": ("rain", "crickets")},
        {"rain": table.vectors["siren"]},
    )
    data = dataset((corpus, named), family=0.001)
    rng = np.random.default_rng(0)
    assert {data.family_asked("rain", rng) for _ in range(20)} == {"rain"}
    assert dataset((corpus, named)).family_asked("rain", rng) is None  # families are not asked for at all


def test_what_else_is_there_is_said_half_of_the_time(world):
    data = dataset(world, other=0.5, source_counts=(1.0, 0.0, 0.0))
    said, told = 0, 0
    for step in range(20):
        for row in rows(data[step]):
            length = np.linalg.norm(row["others"])
            told += 1
            if length > 0:
                said += 1
                assert length == pytest.approx(1, abs=1e-5)
    assert 0.35 < said / told < 0.65


def test_nothing_is_pushed_away_where_it_is_not_wanted(world):
    batch = dataset(world)[0]
    assert not batch["others"].any()


def test_a_place_is_behind_mixtures_and_never_asked_for(world):
    data = dataset(world, background=1.0)
    assert "ambience" not in data.labels
    for step in range(6):
        batch = data[step]
        for i in range(len(batch["mixtures"]) - 1):  # the last one may be cut off
            targets = batch["targets"][batch["mixture_of"] == i].sum(0)
            assert rms((batch["mixtures"][i] - targets).numpy()) > 1e-4
    quiet = dataset(world, background_snr_db=(0.0, 0.0))[0]
    targets = quiet["targets"][quiet["mixture_of"] == 0].sum(0)
    np.testing.assert_allclose(quiet["mixtures"][0].numpy(), targets.numpy(), atol=1e-5)


def test_a_corpus_without_places_is_one_sentence(world):
    corpus, table = world
    without = QueryTable({k: v for k, v in table.phrases.items() if k != "ambience"}, table.vectors, "axes")
    with pytest.raises(ValueError, match="no ambience to put behind mixtures"):
        dataset((corpus, without), background=0.5)
    with pytest.raises(ValueError, match="no families"):
        dataset((corpus, without), family=0.5)


def test_the_recording_itself_others_and_means_of_others(world):
    _, table = world
    rng = np.random.default_rng(0)
    examples = table.audio["siren"]
    own = examples.of_group("siren3")
    for _ in range(20):
        q = dataset(world, own_query=1.0).recording(examples, "siren3", rng)
        assert int(np.argmax(examples.vectors @ q)) in own
        q = dataset(world, several_query=1.0).recording(examples, "siren3", rng)
        used = np.flatnonzero(examples.vectors @ q > 1e-3)
        assert 1 <= len(used) <= 5
        assert not set(used) & set(own)
        assert {examples.splits[i] for i in used} == {"train"}


def test_a_query_loses_dimensions_and_keeps_its_length(world):
    data = dataset(world, query_dropout=1.0)
    rng = np.random.default_rng(0)
    q = unit(np.ones(80, np.float32))
    lost = [np.mean(data.noisy(q, rng) == 0) for _ in range(50)]
    assert np.mean(lost) == pytest.approx(QUERY_LOSS, abs=0.05)
    assert np.linalg.norm(data.noisy(q, rng)) == pytest.approx(1, abs=1e-5)


def test_a_microphone_is_the_same_for_all_sources():
    config = MixtureConfig()
    curves = [gain_curve(config, np.random.default_rng(3), equalise=True, limit=True) for _ in range(2)]
    np.testing.assert_array_equal(*curves)
    flat = gain_curve(config, np.random.default_rng(3), equalise=False, limit=False)
    np.testing.assert_array_equal(flat, 0)


def test_a_batch_is_a_function_of_seed_and_step(world):
    settings = {
        "family": 0.3,
        "other": 0.5,
        "background": 0.5,
        "target_noise": 0.5,
        "microphone": 0.5,
        "own_query": 0.5,
        "query_kinds": (0.4, 0.6, 0, 0),
    }
    one, again = dataset(world, **settings)[3], dataset(world, **settings)[3]
    for name, value in one.items():
        np.testing.assert_array_equal(value.numpy(), again[name].numpy())


def test_unseen_labels_are_measured_apart_and_on_recordings_of_the_splits_own(world):
    corpus, _ = world
    val, test = (
        draw_pairs(corpus, EvalConfig(split=s, mixtures=6, seconds=1.0, unseen_mixtures=40), ("siren",))
        for s in ("val", "test")
    )
    for pairs in (val, test):
        assert len(pairs) == 46
        assert all(p.target.label != "siren" for p in pairs[:6])
        assert all(p.target.label == "siren" for p in pairs[6:])
        assert all("ambience" not in (p.target.label, p.interferer.label) for p in pairs)
        assert all(p.interferer.label != "siren" for p in pairs)
    assert not {p.target.group for p in val[6:]} & {p.target.group for p in test[6:]}
