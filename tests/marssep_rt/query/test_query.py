import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from marssep_rt import Separator, embed_audio, embed_image, embed_text
from marssep_rt.errors import QueryError, UsageError
from marssep_rt.live.devices.demo_signals import demo_parts
from marssep_rt.model import bundle as bundles
from marssep_rt.query.build import build_query
from marssep_rt.query.query_file import read_query, write_query
from marssep_rt.query.types import QueryRequest
from marssep_rt.query.vocabulary import Vocabulary


def test_text_is_a_unit_vector_and_case_and_space_do_not_matter(bundle):
    q = embed_text("dog barking")
    assert q.shape == (bundle.query_dim,)
    assert q.dtype == np.float32
    assert np.linalg.norm(q) == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_allclose(q, embed_text("  Dog   BARKING "), atol=1e-6)


def test_meaning_is_near():
    dog, puppy, piano = embed_text("dog barking"), embed_text("puppy yapping"), embed_text("piano")
    assert dog @ puppy > 0.8
    assert dog @ piano < 0.5


def test_odd_text_still_embeds():
    for text in ("狗叫", "ünïcödé horn", "x" * 400, "rain!!! 100%"):
        assert np.all(np.isfinite(embed_text(text)))


@pytest.mark.parametrize(
    ("text", "words"), [("", "empty"), ("   ", "empty"), ("?!", "empty"), ("a" * 10_000, "10000 characters")]
)
def test_unusable_text(text, words):
    with pytest.raises(QueryError, match=words):
        embed_text(text)


@pytest.mark.parametrize("text", ["no dog", "voice without music", "-dog", "the opposite of dog"])
def test_negation_is_no_vector(text):
    with pytest.raises(QueryError, match=r"negates, which no vector can say; Separator\(query=\.\.\.\)"):
        embed_text(text)
    assert embed_text("dog and rain").shape == embed_text("dog").shape


def test_a_negative_query_that_negates_is_refused(bundle):
    for make in (
        lambda: build_query(bundle, QueryRequest(["dog"], negative="no siren")),
        lambda: Separator("dog", negative="no siren"),
        lambda: Separator(embed_text("dog"), negative=["rain", "no siren"]),
    ):
        with pytest.raises(QueryError, match="“no siren” negates again; say “siren”"):
            make()


def test_blend_is_the_normalised_mean(bundle):
    q = build_query(bundle, QueryRequest(["rain", "siren"]))
    mean = embed_text("rain") + embed_text("siren")
    np.testing.assert_allclose(q.vector, mean / np.linalg.norm(mean), atol=1e-6)
    assert q.label == "rain + siren"


def test_negative_is_the_papers_formula(bundle):
    q = build_query(bundle, QueryRequest(["rain"], negative="thunder"))
    v = 1.5 * embed_text("rain") - 0.5 * embed_text("thunder")
    np.testing.assert_allclose(q.vector, v / np.linalg.norm(v), atol=1e-6)
    assert q.vector @ embed_text("thunder") < embed_text("rain") @ embed_text("thunder")


def test_query_file_round_trip(bundle, tmp_path):
    q = build_query(bundle, QueryRequest(["violin"]))
    write_query(tmp_path / "v.query", q)
    again = read_query(tmp_path / "v.query")
    np.testing.assert_allclose(again.vector, q.vector, atol=1e-7)
    assert (again.encoder, again.label) == (q.encoder, "violin")
    assert list(tmp_path.iterdir()) == [tmp_path / "v.query"]


def test_foreign_and_damaged_query_files(bundle, tmp_path):
    path = tmp_path / "q.query"
    write_query(path, build_query(bundle, QueryRequest(["violin"])))
    data = json.loads(path.read_text())
    for change, words in [
        ({"encoder": "other"}, "other.*needs"),
        ({"format": 9}, "newer"),
        ({"dim": 3}, "3 dimensions"),
        ({"vector": [0.0] * len(data["vector"])}, "zero"),
    ]:
        path.write_text(json.dumps({**data, **change}))
        with pytest.raises(QueryError, match=words):
            build_query(bundle, QueryRequest(files=[path]))
    path.write_text("not json")
    with pytest.raises(QueryError, match=r"not a \.query file"):
        read_query(path)
    with pytest.raises(QueryError, match="cannot read"):
        read_query(tmp_path / "none.query")


def test_encoders_that_a_bundle_has_not_are_named(bundle, tmp_path):
    bundles.write(tmp_path / "b", {k: bundle.card[k] for k in ("name", "encoder", "query_dim")}, {"x": b""})
    bare = bundles.load(tmp_path / "b")
    with pytest.raises(QueryError, match=f"{bundle.encoder}.*no image encoder"):
        build_query(bare, QueryRequest(images=[tmp_path / "dog.png"]))
    with pytest.raises(QueryError, match="no audio encoder"):
        build_query(bare, QueryRequest(audios=[tmp_path / "dog.wav"]))


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """A synthetic siren and an image of nothing much."""
    folder = tmp_path_factory.mktemp("examples")
    siren = demo_parts(5.0, 44_100)["siren"]
    soundfile.write(folder / "siren.ogg", np.stack([siren, siren], 1), 44_100)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (80, 120, 3), np.uint8)).save(
        folder / "noise.png"
    )
    return folder


def test_sound_and_image_are_unit_vectors_of_the_same_space(bundle, examples):
    for q in (embed_audio(examples / "siren.ogg"), embed_image(examples / "noise.png")):
        assert q.shape == (bundle.query_dim,)
        assert q.dtype == np.float32
        assert np.linalg.norm(q) == pytest.approx(1, abs=1e-5)


def test_level_does_not_matter_to_a_sound_query(examples, tmp_path):
    audio, rate = soundfile.read(examples / "siren.ogg")
    soundfile.write(tmp_path / "quiet.wav", audio * 0.01, rate, subtype="FLOAT")
    assert embed_audio(tmp_path / "quiet.wav") @ embed_audio(examples / "siren.ogg") > 0.999


def test_a_siren_is_heard_as_one(examples):
    labels = ["siren", "rain", "violin", "bass drum", "keyboard typing", "dog barking"]
    q = embed_audio(examples / "siren.ogg")
    assert max(labels, key=lambda label: float(q @ embed_text(label))) == "siren"


def test_blend_of_all_kinds_with_a_negative(bundle, examples):
    q = build_query(
        bundle, QueryRequest(["siren"], [examples / "noise.png"], [examples / "siren.ogg"], negative="rain")
    )
    parts = [
        ("text", embed_text("siren")),
        ("image", embed_image(examples / "noise.png")),
        ("audio", embed_audio(examples / "siren.ogg")),
    ]
    snapped = Vocabulary.of(bundle).snap_to_labels(parts)
    assert snapped[2][1] == "siren"
    mean = np.mean([v for v, _ in snapped], axis=0)
    v = 1.5 * mean / np.linalg.norm(mean) - 0.5 * embed_text("rain")
    np.testing.assert_allclose(q.vector, v / np.linalg.norm(v), atol=1e-5)
    assert q.label.startswith("siren + noise.png")
    assert q.label.endswith(" + siren.ogg (siren) - rain")


@pytest.mark.slow
def test_the_commands_take_examples(examples, tmp_path):
    bin_ = Path(sys.executable).parent
    run = [
        bin_ / "marssep-query",
        "--audio",
        examples / "siren.ogg",
        "--image",
        examples / "noise.png",
        "-o",
        tmp_path / "s.query",
    ]
    assert subprocess.run(run, capture_output=True).returncode == 0
    assert re.fullmatch(
        r"noise\.png( \(.*\))? \+ siren\.ogg \(siren\)", read_query(tmp_path / "s.query").label
    )
    soundfile.write(tmp_path / "mix.wav", 0.1 * np.random.default_rng(1).standard_normal(48_000), 48_000)
    done = subprocess.run(
        [bin_ / "marssep-file", "--audio", examples / "siren.ogg", tmp_path / "mix.wav"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert soundfile.info(tmp_path / "mix.marssep.wav").frames == 48_000
    for option, name, words in (
        ("--image", "siren.ogg", "not an image"),
        ("--audio", "noise.png", "not a sound file that can be read"),
    ):
        done = subprocess.run(
            [bin_ / "marssep-file", option, examples / name, tmp_path / "mix.wav"],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 2
        assert words in " ".join(done.stderr.split())
        assert "Traceback" not in done.stderr


def test_the_python_face_takes_examples(examples):
    s = Separator(audio=examples / "siren.ogg", image=[examples / "noise.png"], negative="rain")
    assert s.process(np.zeros(480, np.float32)).shape == (480,)
    s.set_query(image=examples / "noise.png")
    np.testing.assert_allclose(
        s.query.vector, build_query(s.bundle, QueryRequest(images=[examples / "noise.png"])).vector, atol=1e-6
    )


def test_negation_is_read_before_anything_is_embedded(bundle):
    plain, negated = (build_query(bundle, QueryRequest(texts=[text])) for text in ("dog", "no dog"))
    np.testing.assert_allclose(negated.vector, plain.vector, atol=1e-6)
    assert negated.remove
    assert not plain.remove
    assert negated.understood == "everything but dog"
    assert plain.understood == ""


def test_what_is_dropped_steers_as_a_negative_does(bundle):
    words = build_query(bundle, QueryRequest(texts=["voice but not the dog"]))
    option = build_query(bundle, QueryRequest(texts=["voice"], negative="dog"))
    np.testing.assert_allclose(words.vector, option.vector, atol=1e-6)
    assert words.label == option.label == "voice - dog"
    assert not words.remove


def test_a_list_in_one_sentence_is_several_texts(bundle):
    one, two = (build_query(bundle, QueryRequest(texts=t)) for t in (["the dog and rain"], ["dog", "rain"]))
    np.testing.assert_allclose(one.vector, two.vector, atol=1e-6)
    assert one.understood == "dog and rain"
    assert two.understood == ""


def test_a_negated_query_gives_the_residual():
    rng = np.random.default_rng(0)
    x = rng.standard_normal(48_000).astype(np.float32) * 0.1
    outs = []
    for query, remove in (("no dog", False), ("dog", True)):
        s = Separator(query=query, remove=remove)
        outs.append(s.process(x))
    np.testing.assert_allclose(outs[0], outs[1], atol=1e-6)
    s.set_query("not the rain")
    assert s.controls.remove
    s.set_query("rain")
    assert not s.controls.remove


def test_every_text_and_query_file_is_a_sound_and_examples_describe_one(bundle, examples, tmp_path):
    rain, dog = embed_text("rain"), embed_text("dog")
    two = build_query(bundle, QueryRequest(["rain"], negative=["dog and siren"]))
    np.testing.assert_allclose(two.kept, [rain], atol=1e-6)
    np.testing.assert_allclose(two.dropped, [dog, embed_text("siren")], atol=1e-6)
    write_query(tmp_path / "two.query", two)
    files = build_query(bundle, QueryRequest(["dog"], files=[tmp_path / "two.query"]))
    np.testing.assert_allclose(files.kept, [dog, rain], atol=1e-6)
    np.testing.assert_allclose(files.dropped, two.dropped, atol=1e-6)
    shown = QueryRequest(images=[examples / "noise.png"], audios=[examples / "siren.ogg"])
    assert len(build_query(bundle, shown).kept) == 1
    assert len(build_query(bundle, QueryRequest(["siren"], shown.images, shown.audios)).kept) == 1
    assert len(build_query(bundle, QueryRequest(["siren", "rain"], shown.images, shown.audios)).kept) == 3
    one_file = build_query(bundle, QueryRequest(audios=shown.audios, files=[tmp_path / "two.query"]))
    assert len(one_file.kept) == 1
    assert one_file.label == "siren.ogg (siren) + rain - dog - siren"


def test_too_many_sounds_are_refused(bundle):
    with pytest.raises(QueryError, match="names 17 sounds; name at most 16"):
        build_query(bundle, QueryRequest(["rain"] * 15, negative=["dog", "cat"]))


def test_several_vectors_are_several_sounds(bundle):
    rows = np.stack([embed_text("rain"), embed_text("dog")])
    s = Separator(2 * rows, negative="siren")
    np.testing.assert_allclose(s.query.kept, rows, atol=1e-6)
    np.testing.assert_allclose(s.query.dropped, [embed_text("siren")], atol=1e-6)
    listed = Separator(rows, negative="the siren and the speech, please").query
    np.testing.assert_allclose(
        listed.dropped, build_query(s.bundle, QueryRequest(["rain"], negative=["siren", "speech"])).dropped
    )
    with pytest.raises(QueryError, match="zero"):
        Separator(0 * rows)
    with pytest.raises(UsageError, match="has shape"):
        Separator(rows[:, 1:])
