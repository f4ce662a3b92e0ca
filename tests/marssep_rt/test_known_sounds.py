import dataclasses
import json

import numpy as np
import pytest

from marssep_rt import Separator, embed_text
from marssep_rt.bundle import BundleError, write
from marssep_rt.bundle import load as load_bundle
from marssep_rt.known_sounds import FILE, KnownSounds
from marssep_rt.query import combine

AXES = np.eye(4, dtype=np.float32)
KNOWN = KnownSounds(("rain", "wind", "siren", "dog"), AXES, {"text": 0.6})


def test_doubt_begins_under_the_threshold_and_names_the_nearest():
    assert KNOWN.doubt(np.array([0.8, 0.6, 0, 0], np.float32), "text", "drizzle") is None
    said = KNOWN.doubt(np.array([0.5, 0.5, 0.4, 0.58], np.float32), "text", "tax report")
    assert said is not None
    assert "“tax report”" in said
    assert "dog, rain, wind" in said


def test_a_kind_without_threshold_is_never_doubted():
    assert KNOWN.doubt(np.zeros(4, np.float32), "audio", "x") is None


def test_the_file_keeps_everything(bundle, tmp_path):
    known = KnownSounds.of(bundle)
    assert known is not None
    again = json.loads(known.dump(bundle.encoder, {"a": 1}))
    assert again["labels"] == list(known.labels)
    assert again["figures"] == {"a": 1}
    card = {k: bundle.card[k] for k in ("name", "encoder", "query_dim")}
    write(tmp_path / "b", card, {FILE: b"{}"})
    with pytest.raises(BundleError, match=r"sounds\.json.*cannot be read"):
        KnownSounds.of(load_bundle(tmp_path / "b"))
    write(tmp_path / "c", card, {"x": b""})
    assert KnownSounds.of(load_bundle(tmp_path / "c")) is None


def test_the_embedded_bundle_knows_what_it_knows(bundle):
    known = KnownSounds.of(bundle)
    assert known is not None
    assert known.nearest(embed_text("a hound woofing"))[0][0] == "dog barking"
    assert combine(bundle, ["dog barking", "rain"]).doubts == ()
    (doubt,) = combine(bundle, ["dog barking", "quarterly tax report"]).doubts
    assert "quarterly tax report" in doubt
    assert dataclasses.is_dataclass(known)


def test_the_python_face_warns():
    with pytest.warns(UserWarning, match="far from every sound"):
        Separator(query="mortgage interest rate")
