"""Words for families narrow to those of their labels that can be heard."""

import json
import time

import numpy as np
import pytest
import soundfile

import marssep_rt
from marssep_rt import embed_text
from marssep_rt.batch.plan import Job
from marssep_rt.batch.separate import process_file
from marssep_rt.dsp.mixer import Controls
from marssep_rt.dsp.stream_processor import StreamProcessor
from marssep_rt.live.control.controller import LiveController
from marssep_rt.live.realtime.audio_bridge import EngineConfig
from marssep_rt.live.realtime.engine import Engine
from marssep_rt.model import bundle as bundles
from marssep_rt.query.build import build_query, in_one, narrowed
from marssep_rt.query.types import Family, Query, QueryRequest
from marssep_rt.query.vocabulary import FILE
from signals import RATE, mixture
from simulated_device import simulate
from waiting import wait_until

LABELS = ("dog barking", "meow")
NAME = "pets"


class Ear:
    """An encoder that hears one vector in everything."""

    def __init__(self, vector):
        self.vector, self.sample_rate, self.windows = vector, RATE, []

    def embed_windows(self, windows):
        self.windows += windows
        return self.vector


@pytest.fixture(scope="module")
def pets():
    """A query for a family of two, and its members."""
    members = np.stack([embed_text(label) for label in LABELS])
    return Query(in_one(members), "", NAME, families=(Family(members, 0.1),)), members


def with_temperature(bundle, folder, temperature):
    """The built-in bundle, whose families narrow at another temperature, or do not."""
    files = {name: bundle.read(name) for name in bundle.card["files"]}
    known = json.loads(files[FILE])
    known.pop("family_temperature", None)
    known |= {} if temperature is None else {"family_temperature": temperature}
    bundles.write(folder, dict(bundle.card), files | {FILE: json.dumps(known).encode()})
    return bundles.load(folder)


def test_labels_count_by_how_well_they_are_heard_where_they_are_heard_best():
    family = Family(np.eye(3, dtype=np.float32)[:2], 0.5)
    heard = np.array([[0.0, 0.0, 1.0], [0.8, 0.6, 0.0]], np.float32)
    # similarities 0.8 and 0.6, so weights 1 and exp(-0.2 / 0.5)
    expected = np.array([1.0, np.exp(-0.4), 0.0])
    np.testing.assert_allclose(family.narrowed(heard), expected / np.linalg.norm(expected), rtol=1e-6)


def test_other_sounds_of_a_query_stay(pets):
    query, members = pets
    rain, siren = embed_text("rain")[None], embed_text("siren")[None]
    kept = np.concatenate([rain, query.kept])
    both = Query(
        in_one(kept, siren), "", "rain + pets", keep=kept, drop=siren, families=(None, *query.families)
    )
    found = narrowed(both, members[1:])
    np.testing.assert_array_equal(found.kept[0], rain[0])
    assert found.kept[1] @ members[1] > 0.99 > query.vector @ members[1]
    np.testing.assert_allclose(found.vector, in_one(found.kept, siren), atol=1e-6)
    again = narrowed(found, members[:1])  # from the family, not from what it was narrowed to
    assert again.kept[1] @ members[0] > 0.99


def test_silence_leaves_a_family_as_it_is(pets):
    assert narrowed(pets[0], np.zeros((0, 0), np.float32)) is pets[0]


def test_only_families_of_bundles_that_say_so_narrow(bundle, tmp_path):
    fits, older = (with_temperature(bundle, tmp_path / str(t), t) for t in (0.2, None))
    (family,) = build_query(fits, QueryRequest([NAME])).families
    assert family.temperature == 0.2
    assert len(family.vectors) > 1
    assert build_query(fits, QueryRequest(["rain", NAME])).families[0] is None
    assert build_query(fits, QueryRequest(["rain"])).families == ()
    assert build_query(older, QueryRequest([NAME])).families == ()


@pytest.mark.parametrize("rate", [48_000, 44_100])
def test_a_file_is_heard_before_it_is_separated(session, pets, tmp_path, rate):
    query, members = pets
    soundfile.write(tmp_path / "x.wav", mixture(5 * rate), rate, subtype="FLOAT")

    def separated(query, encoder):
        job = Job(tmp_path / "x.wav", tmp_path / "y.wav", None)
        process_file(job, session, "cpu", query, Controls(), encoder=encoder)
        return soundfile.read(tmp_path / "y.wav")[0]

    ear = Ear(members[0])
    found = separated(query, ear)
    assert {len(window) for window in ear.windows[:3]} == {2 * RATE}
    np.testing.assert_array_equal(found, separated(narrowed(query, members[:1]), None))
    assert np.abs(found - separated(query, None)).max() > 1e-3


@pytest.mark.parametrize("as_file", [False, True])
def test_separate_hears_the_whole_first(bundle, tmp_path, monkeypatch, as_file):
    fits = with_temperature(bundle, tmp_path / "b", 0.1)
    dog = embed_text(LABELS[0])
    monkeypatch.setattr("marssep_rt.one_shot.audio_encoder_of", lambda _: Ear(dog))
    x = mixture(3 * RATE)
    soundfile.write(tmp_path / "x.wav", x, RATE, subtype="FLOAT")
    found, _ = marssep_rt.separate(tmp_path / "x.wav" if as_file else x, NAME, bundle=fits.path)
    asked = narrowed(build_query(fits, QueryRequest([NAME])), dog[None])
    np.testing.assert_allclose(found, marssep_rt.separate(x, asked.vector).audio, atol=1e-6)


def test_a_live_run_narrows_to_what_it_has_just_heard(session, bundle, pets, tmp_path, monkeypatch):
    query, members = pets
    ear = Ear(members[1])
    monkeypatch.setattr("marssep_rt.live.control.controller.audio_encoder", lambda _: ear)
    engine = Engine(StreamProcessor(session, "cpu", 1, query, Controls()), EngineConfig(RATE, 480, 1, 1))
    control = LiveController(engine, bundle, [query], Controls(), lambda: tmp_path / "live.wav")
    x = mixture(RATE)
    try:
        simulate(engine, x[:, None])
        control.watch()
        wait_until(lambda: engine.worker.mailbox)  # posted after the query was narrowed
        simulate(engine, x[:4800, None])
        np.testing.assert_array_equal(engine.processor.stream.query[0], narrowed(query, members[1:]).vector)
        assert any(
            np.isin(x[20_000:20_100], window).all() for window in ear.windows
        )  # the input, not the target
        assert control.label() == NAME
        control.ask("rain").result(30)
        time.sleep(0.7)  # another round of the listener
        simulate(engine, x[:4800, None])
        np.testing.assert_array_equal(engine.processor.stream.query[0], embed_text("rain"))
    finally:
        control.close()
