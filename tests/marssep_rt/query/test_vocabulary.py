import dataclasses
import json

import numpy as np
import pytest

from marssep_rt import Separator, embed_text
from marssep_rt.contract import OLD_BUNDLES
from marssep_rt.errors import BundleError
from marssep_rt.model.bundle import load as load_bundle
from marssep_rt.model.bundle import write
from marssep_rt.query.build import build_query
from marssep_rt.query.types import QueryRequest
from marssep_rt.query.vocabulary import FILE, Doubt, Vocabulary

AXES = np.eye(4, dtype=np.float32)
KNOWN = Vocabulary(("rain", "wind", "siren", "dog"), AXES, {"text": 0.6})


def test_doubt_begins_under_the_threshold_and_names_the_nearest():
    assert KNOWN.out_of_vocabulary_warning(np.array([0.8, 0.6, 0, 0], np.float32), "text", "drizzle") is None
    said = KNOWN.out_of_vocabulary_warning(np.array([0.5, 0.5, 0.4, 0.58], np.float32), "text", "tax report")
    assert said is not None
    assert "“tax report”" in said
    assert "near it are dog, rain, wind" in said


def test_only_sounds_that_are_near_are_named():
    """A quarter of the labels has no nearer neighbour than 0.6: what is further away is no help."""
    pairs = np.array([[1, 0, 0], [0.8, 0.6, 0], [0.6, 0.8, 0], [0, 0, 1]], np.float32)
    known = Vocabulary(("rain", "drizzle", "shower", "dog"), pairs, {"text": 0.9, "audio": 0.9})
    near, far = np.array([0.8, 0, 0.6], np.float32), np.array([0.3, -0.8, 0.5], np.float32)
    assert known.out_of_vocabulary_warning(near, "text", "mist").endswith("near it are rain, drizzle, dog")
    assert known.out_of_vocabulary_warning(far, "text", "tax").endswith("--audio FILE")
    assert known.out_of_vocabulary_warning(far, "audio", "tax.wav").endswith("--query TEXT")


def test_a_kind_without_threshold_is_never_doubted():
    assert KNOWN.out_of_vocabulary_warning(np.zeros(4, np.float32), "audio", "x") is None


def test_words_unlike_everything_that_training_asked_for_are_limited(tmp_path):
    """Siren and dog are places of words that training never asked for."""
    known = dataclasses.replace(KNOWN, trained=1, asked=2, doubt=Doubt(0.85, 12.0))
    assert known.limit_db(np.array([0.1, 0.9, 0, 0.43], np.float32)) is None
    assert known.limit_db(np.array([0.6, 0.8, 0, 0], np.float32)) == 12.0
    assert known.limit_db(AXES[2]) == 12.0
    assert KNOWN.limit_db(AXES[2]) is None
    write(tmp_path / "b", {"name": "b", "encoder": "e", "query_dim": 4}, {FILE: known.dump("e", {})})
    read = Vocabulary.of(load_bundle(tmp_path / "b"))
    assert read is not None
    assert (read.asked, read.doubt) == (2, Doubt(0.85, 12.0))


SNAPPING = Vocabulary(("rain", "wind", "siren", "dog"), AXES, {"audio": 0.5, "image": 0.5})


def test_an_example_is_drawn_to_the_sound_that_it_shows():
    heard = np.array([0.6, 0.48, 0, 0.64], np.float32)
    ((vector, label),) = SNAPPING.snap_to_labels([("audio", heard)])
    assert label == "dog"
    drawn = np.array([0.3, 0.24, 0, 1.32])
    np.testing.assert_allclose(vector, drawn / np.linalg.norm(drawn), atol=1e-6)


def test_the_bundle_says_how_strongly_an_example_is_drawn(tmp_path):
    mixed = dataclasses.replace(SNAPPING, snap_own=0.0, snap_own_audio=1.0)
    near = np.array([0.8, 0.6, 0, 0], np.float32)
    (by_audio, _), (by_image, _) = (mixed.snap_to_labels([(kind, near)])[0] for kind in ("audio", "image"))
    np.testing.assert_allclose(by_audio, (AXES[0] + near) / np.linalg.norm(AXES[0] + near), atol=1e-6)
    np.testing.assert_array_equal(by_image, AXES[0])
    whole = dataclasses.replace(SNAPPING, snap_own=9.0, snap_own_audio=0.0, snap_evidence=9.0)
    card = {"name": "b", "encoder": "e", "query_dim": 4}
    write(tmp_path / "b", card, {FILE: whole.dump("e", {})})
    read = Vocabulary.of(load_bundle(tmp_path / "b"))
    assert read is not None
    parts = [("audio", AXES[3]), ("text", AXES[0])]
    assert SNAPPING.snap_to_labels(parts)[0][1] == "dog"
    for known in (read, read.only({"rain", "dog"})):
        vector, label = known.snap_to_labels(parts)[0]
        assert label == "rain"
        np.testing.assert_array_equal(vector, AXES[0])


def test_a_bundle_without_snap_weights_has_those_of_the_first_models(tmp_path):
    old = json.loads(SNAPPING.dump("e", {}))
    del old["snap_own"], old["snap_evidence"]
    write(tmp_path / "b", {"name": "b", "encoder": "e", "query_dim": 4}, {FILE: json.dumps(old).encode()})
    read = Vocabulary.of(load_bundle(tmp_path / "b"))
    assert read is not None
    assert (read.snap_evidence, read.snap_own) == (OLD_BUNDLES.snap_evidence, OLD_BUNDLES.snap_own)


def test_words_and_what_is_far_from_all_stay_what_they_are():
    words, strange = np.array([0.6, 0.8, 0, 0], np.float32), np.array([0.49, -0.5, 0.49, 0.49], np.float32)
    for kind, vector in (("text", words), ("audio", strange), ("image", strange), ("video", words)):
        ((kept, label),) = SNAPPING.snap_to_labels([(kind, vector)])
        assert label == ""
        np.testing.assert_array_equal(kept, vector)
    assert SNAPPING.snap_to_labels([]) == []


def test_the_other_parts_decide_between_what_is_near_but_do_not_overrule():
    close = np.array([0.6, 0.64, 0, 0.48], np.float32)
    assert SNAPPING.snap_to_labels([("audio", close)])[0][1] == "wind"
    assert SNAPPING.snap_to_labels([("audio", close), ("text", AXES[0])])[0][1] == "rain"
    assert SNAPPING.snap_to_labels([("audio", AXES[3]), ("text", AXES[0])])[0][1] == "dog"


def test_the_file_keeps_everything(bundle, tmp_path):
    known = Vocabulary.of(bundle)
    assert known is not None
    again = json.loads(known.dump(bundle.encoder, {"a": 1}))
    assert again["labels"] == list(known.labels)
    assert again["figures"] == {"a": 1}
    card = {k: bundle.card[k] for k in ("name", "encoder", "query_dim")}
    write(tmp_path / "b", card, {FILE: b"{}"})
    with pytest.raises(BundleError, match=r"sounds\.json.*cannot be read"):
        Vocabulary.of(load_bundle(tmp_path / "b"))
    write(tmp_path / "c", card, {"x": b""})
    assert Vocabulary.of(load_bundle(tmp_path / "c")) is None


def test_the_embedded_bundle_knows_what_it_knows(bundle):
    known = Vocabulary.of(bundle)
    assert known is not None
    assert known.nearest(embed_text("a hound woofing"))[0][0] == "dog barking"
    assert build_query(bundle, QueryRequest(["dog barking", "rain"])).warnings == ()
    (doubt,) = build_query(bundle, QueryRequest(["dog barking", "quarterly tax report"])).warnings
    assert "quarterly tax report" in doubt
    assert dataclasses.is_dataclass(known)


def test_the_python_face_warns():
    with pytest.warns(UserWarning, match="unlike every sound"):
        Separator(query="mortgage interest rate")
