"""Words for families, and images, narrow to those of the labels they may mean that can be heard."""

import dataclasses
import json
import time

import numpy as np
import pytest
import soundfile
from PIL import Image

import marssep_rt
from marssep_rt import embed_image, embed_text
from marssep_rt.batch.plan import Job
from marssep_rt.batch.report import settings_key
from marssep_rt.batch.separate import process_file
from marssep_rt.dsp.mixer import Controls
from marssep_rt.dsp.stream_processor import StreamProcessor
from marssep_rt.errors import ImageError
from marssep_rt.live.control.controller import LiveController
from marssep_rt.live.realtime.audio_bridge import EngineConfig
from marssep_rt.live.realtime.engine import Engine
from marssep_rt.model import bundle as bundles
from marssep_rt.query.build import build_query, in_one, narrowed
from marssep_rt.query.types import Candidates, Described, Query, QueryRequest
from marssep_rt.query.vocabulary import FILE, Vocabulary
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
    return Query(in_one(members), "", NAME, narrowings=(Candidates(members, 0.1),)), members


def with_temperature(bundle, folder, temperature, **snap_temperatures):
    """The built-in bundle, whose families narrow at another temperature, or do not; likewise its examples."""
    files = {name: bundle.read(name) for name in bundle.card["files"]}
    known = json.loads(files[FILE])
    known.pop("family_temperature", None)
    known |= {} if temperature is None else {"family_temperature": temperature}
    known |= {"snap_temperatures": snap_temperatures}
    known["thresholds"] |= dict.fromkeys(snap_temperatures, -1.0)  # nothing is out of vocabulary
    bundles.write(folder, dict(bundle.card), files | {FILE: json.dumps(known).encode()})
    return bundles.load(folder)


def test_labels_count_by_how_well_they_are_heard_where_they_are_heard_best():
    family = Candidates(np.eye(3, dtype=np.float32)[:2], 0.5)
    heard = np.array([[0.0, 0.0, 1.0], [0.8, 0.6, 0.0]], np.float32)
    # similarities 0.8 and 0.6, so weights 1 and exp(-0.2 / 0.5)
    expected = np.array([1.0, np.exp(-0.4), 0.0])
    np.testing.assert_allclose(family.narrowed(heard), expected / np.linalg.norm(expected), rtol=1e-6)
    np.testing.assert_allclose(family.vector, [0.5**0.5, 0.5**0.5, 0], rtol=1e-6)


def test_what_was_likely_before_and_the_own_vector_count_too():
    axes = np.eye(3, dtype=np.float32)
    shown = Candidates(axes[:2], 0.5, np.array([-1.0, 0.2], np.float32), 0.5 * axes[2])
    heard = np.array([[0.8, 0.6, 0.0]], np.float32)
    for found, score in ((shown.vector, [-1.0, 0.2]), (shown.narrowed(heard), [-1.0 + 1.6, 0.2 + 1.2])):
        weights = np.array([*np.exp(score), 0.0])
        expected = weights / np.linalg.norm(weights) + [0, 0, 0.5]
        np.testing.assert_allclose(found, expected / np.linalg.norm(expected), rtol=1e-6)
    deaf = Candidates(axes[:2], None, shown.likely, shown.own)
    np.testing.assert_array_equal(deaf.narrowed(heard), shown.vector)
    assert (shown.narrows, deaf.narrows, Candidates(axes[:1], 0.5).narrows) == (True, False, False)
    both = Described((axes[2], shown))
    for found, part in ((both.vector, shown.vector), (both.narrowed(heard), shown.narrowed(heard))):
        np.testing.assert_allclose(found, (axes[2] + part) / np.linalg.norm(axes[2] + part), rtol=1e-6)


def test_other_sounds_of_a_query_stay(pets):
    query, members = pets
    rain, siren = embed_text("rain")[None], embed_text("siren")[None]
    kept = np.concatenate([rain, query.kept])
    both = Query(
        in_one(kept, siren), "", "rain + pets", keep=kept, drop=siren, narrowings=(None, *query.narrowings)
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
    (family,) = build_query(fits, QueryRequest([NAME])).narrowings
    assert family.temperature == 0.2
    assert len(family.vectors) > 1
    assert build_query(fits, QueryRequest(["rain", NAME])).narrowings[0] is None
    assert build_query(fits, QueryRequest(["rain"])).narrowings == ()
    assert build_query(older, QueryRequest([NAME])).narrowings == ()


def test_an_image_narrows_to_the_labels_that_it_may_show(bundle, tmp_path):
    image = tmp_path / "noise.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(image)
    fits = with_temperature(bundle, tmp_path / "fits", 0.15, image=0.05)
    known = Vocabulary.of(fits)
    assert known.snap_temperatures == {"image": 0.05}
    query = build_query(fits, QueryRequest(images=[image]))
    shown, label = known.candidates([("image", embed_image(image, fits))])[0]
    assert label in query.label
    np.testing.assert_allclose(query.vector, shown.vector, atol=1e-6)
    likely = np.argsort(-shown.likely)[:2]  # the second is heard, the first is not
    heard = known.vectors[likely[1:]]
    found = narrowed(query, heard)
    np.testing.assert_allclose(found.vector, shown.narrowed(heard), atol=1e-6)
    assert found.vector @ known.vectors[likely[1]] > query.vector @ known.vectors[likely[1]]
    (tmp_path / "folder").mkdir()
    with pytest.raises(ImageError, match="is a folder; name an image in it"):
        embed_image(tmp_path / "folder", fits)
    words = build_query(fits, QueryRequest(["rain"], images=[image]))
    rain = embed_text("rain")
    assert narrowed(words, heard).vector @ rain > 0.3
    assert np.abs(narrowed(words, heard).vector - words.vector).max() > 1e-3
    older = with_temperature(bundle, tmp_path / "older", 0.15)
    assert build_query(older, QueryRequest(images=[image])).narrowings == ()


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


def test_a_report_tells_queries_apart_that_narrow_in_another_way(bundle, pets):
    query, members = pets
    others = [
        (),
        (Candidates(members, 0.2),),
        (Candidates(members, 0.1, np.array([0.0, 1.0], np.float32)),),
        (Candidates(members, 0.1, own=members[0]),),
        (Described((members[0], Candidates(members, 0.1))),),
    ]
    queries = [query, *(dataclasses.replace(query, narrowings=narrowings) for narrowings in others)]
    keys = {settings_key(bundle, one, Controls(), "wav", False) for one in queries}
    assert len(keys) == len(queries)
    again = dataclasses.replace(query, narrowings=(Candidates(members.copy(), 0.1),))
    assert settings_key(bundle, again, Controls(), "wav", False) in keys


@pytest.mark.parametrize("as_file", [False, True])
def test_separate_hears_the_whole_first(bundle, tmp_path, monkeypatch, as_file):
    fits = with_temperature(bundle, tmp_path / "b", 0.1)
    dog = embed_text(LABELS[0])
    monkeypatch.setattr("marssep_rt.one_shot.audio_encoder_of", lambda _: Ear(dog))
    x = mixture(3 * RATE)
    soundfile.write(tmp_path / "x.wav", x, RATE, subtype="FLOAT")
    sound = tmp_path / "x.wav" if as_file else x
    found, _ = marssep_rt.separate(sound, NAME, bundle=fits.path, second_look=False)
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
