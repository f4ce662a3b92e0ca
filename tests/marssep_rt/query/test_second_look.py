"""A second look: hand-made policies, and both passes over files and arrays."""

import dataclasses
import json
import time

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

import marssep_rt
from marssep_rt.audio_io.array_source import ArraySource
from marssep_rt.batch.plan import Job
from marssep_rt.batch.report import settings_key
from marssep_rt.batch.second_pass import FirstPassMeter, SecondPass, asked_beside, looks_twice
from marssep_rt.batch.separate import process_file
from marssep_rt.cli.file import app
from marssep_rt.dsp.mixer import Controls
from marssep_rt.dsp.query_streams import QueryStreams
from marssep_rt.dsp.stream_processor import StreamProcessor
from marssep_rt.errors import AudioFileError, BundleError
from marssep_rt.live.control.controller import LiveController
from marssep_rt.live.control.hearing import Hearing
from marssep_rt.live.realtime.audio_bridge import EngineConfig
from marssep_rt.live.realtime.engine import Engine
from marssep_rt.model import bundle as bundles
from marssep_rt.query.audible import pass_heard
from marssep_rt.query.build import asked_again, build_query
from marssep_rt.query.second_look import FEATURES, Choice, FirstPass, Pass, SecondLook
from marssep_rt.query.types import Query, QueryRequest
from marssep_rt.query.vocabulary import FILE, Vocabulary
from signals import RATE, mixture
from simulated_device import simulate
from waiting import wait_until

AXES = np.eye(4, dtype=np.float32)
QUERY = AXES[0]
LABELS = np.stack([AXES[0], AXES[1], AXES[2]])


def first_pass(target, residual, share=0.1):
    return FirstPass(np.atleast_2d(np.float32(target)), np.atleast_2d(np.float32(residual)), share)


def policy(*choices, weights=None):
    weights = np.zeros((len(choices), 1 + FEATURES)) if weights is None else weights
    return SecondLook(LABELS, choices, np.float32(weights))


def always(number, *choices):
    """A policy with one choice, whatever is heard."""
    weights = np.zeros((len(choices), 1 + FEATURES))
    weights[number, 0] = 1
    return policy(*choices, weights=weights)


def unit(x):
    return np.float32(x) / np.linalg.norm(x)


def test_what_stayed_behind_is_pushed_away_and_the_query_is_drawn_to_what_came_out():
    heard = first_pass([0.8, 0.0, 0.6, 0.0], [[0.0, 0.6, 0.0, 0.8], [0.0, 0.0, 0.5, 0.5]])
    # the second label: 0.6 in the residual; the third has 0.5 there and leaks with 0.6
    vector, away = policy(Choice()).made(Choice(away=0.5), QUERY, heard)
    np.testing.assert_array_equal(vector, QUERY)
    np.testing.assert_allclose(away, 0.5 * AXES[1])
    vector, away = policy(Choice()).made(Choice(heard=0.5), QUERY, heard)
    np.testing.assert_allclose(vector, unit([1.4, 0.0, 0.3, 0.0]), rtol=1e-6)
    assert not away.any()


def test_a_label_that_leaked_into_the_target_counts_less_as_staying_behind():
    heard = first_pass([0.0, 0.8, 0.0, 0.6], [0.0, 0.8, 0.6, 0.0])
    for leaked, label in ((0.0, 1), (0.5, 2)):  # 0.8 and 0.6; 0.8 - 0.4 and 0.6
        assert policy(Choice()).made(Choice(away=1.0, leaked=leaked), QUERY, heard)[1] @ AXES[label] == 1


def test_labels_near_the_query_are_never_pushed_away():
    near = unit([1.0, 0.2, 0.0, 0.0])
    look = SecondLook(np.stack([AXES[0], near, AXES[2]]), (Choice(),), np.zeros((1, 1 + FEATURES)))
    heard = first_pass(AXES[3], [near, 0.1 * AXES[2]])
    np.testing.assert_array_equal(look.made(Choice(away=1.0), QUERY, heard)[1], AXES[2])


def test_labels_that_are_near_and_heard_draw_the_query():
    heard = first_pass(AXES[0], AXES[1])
    # near + heard: 1 + 1, 0 + 1, 0 + 0; over the temperature of 0.1: weights 1, exp(-10), exp(-20)
    expected = unit([1.0, np.exp(-10.0), np.exp(-20.0), 0.0])
    vector, _ = policy(Choice()).made(Choice(labels=1.0), AXES[3], first_pass(AXES[0], AXES[1]))
    np.testing.assert_allclose(
        policy(Choice()).made(Choice(labels=1.0), QUERY, heard)[0], unit(QUERY + expected), atol=1e-6
    )
    np.testing.assert_allclose(vector, unit(AXES[3] + unit([1.0, 1.0, np.exp(-10.0), 0.0])), atol=1e-5)


def test_features_are_what_they_are_said_to_be():
    heard = first_pass([0.8, 0.0, 0.6, 0.0], [[0.0, 0.6, 0.0, 0.8]], share=0.01)
    # share; target, residual ~ query; known; own label in target; leak over it; pushed away: in residual,
    # ~ query, over the target; target ~ residual
    expected = [-2.0, 0.8, 0.0, 1.0, 0.8, 0.6 - 0.8, 0.6, 0.0, 0.6, 0.0]
    np.testing.assert_allclose(policy(Choice()).features(QUERY, heard), expected, atol=1e-6)
    silent = policy(Choice()).features(QUERY, dataclasses.replace(heard, share=0.0))
    assert silent[0] == -6


def test_the_most_likely_choice_is_made():
    weights = np.zeros((2, 1 + FEATURES))
    weights[1, [0, 1]] = 2.0, 1.0  # the second where the share is above 0.01
    look = policy(Choice(), Choice(away=0.5), weights=weights)
    for share, chosen in ((0.1, 1), (0.001, 0)):
        heard = first_pass(AXES[0], AXES[1], share)
        assert look.chosen(QUERY, heard) == chosen
        assert np.linalg.norm(look.again(QUERY, heard)[1]) == 0.5 * chosen


def test_only_the_first_sound_without_a_negative_is_told_what_to_push_away():
    away = np.float32(0.5) * AXES[1]
    asked = Query(QUERY, "", "a", away=away)
    streams = QueryStreams.of([asked, Query(AXES[2], "", "b")], True)
    np.testing.assert_array_equal(streams.other, [away, 0 * away])
    negative = dataclasses.replace(asked, keep=QUERY[None], drop=AXES[2:3])
    np.testing.assert_array_equal(QueryStreams.of([negative], True).other[0], AXES[2])


class Ear:
    """Hears the first or the second of two sounds, whichever is louder."""

    def __init__(self):
        self.sample_rate = RATE

    def embed_windows(self, windows):
        (window,) = windows
        return AXES[0] if np.abs(window).max() > 0.5 else AXES[1]


def test_a_first_pass_is_heard_in_windows():
    meter = FirstPassMeter(RATE, Ear())
    loud, quiet = np.full((2, RATE), 0.8, np.float32), np.full((2, RATE), 0.2, np.float32)
    for _ in range(2):
        meter.add(loud, loud + quiet)  # 2 s
    for _ in range(2):
        meter.add(0 * loud, quiet)
    meter.add(quiet[:, :4800], quiet[:, :4800])  # a tenth of a second says nothing
    meter.close()
    assert len(meter.windows) == 2
    first, second = meter.windows
    np.testing.assert_array_equal(first.target, AXES[:1])
    np.testing.assert_array_equal(first.residual, AXES[1:2])
    np.testing.assert_allclose(first.energies, [0.64 * 2 * RATE, 1.0 * 2 * RATE], rtol=1e-4)
    assert len(second.target) == 0  # silence
    np.testing.assert_array_equal(second.residual, AXES[1:2])


def windows(*targets):
    return [
        Pass(np.zeros((0, 0)) if t is None else t[None], AXES[1:2], np.array([1.0, 10.0])) for t in targets
    ]


def test_every_window_is_asked_by_what_it_and_its_neighbours_gave():
    query = Query(QUERY, "", "a", second_look=always(0, Choice(heard=1.0)))
    heard = windows(AXES[0], AXES[0], AXES[2], AXES[2])
    expected = [unit(QUERY + unit(x)) for x in (AXES[0], [2, 0, 1, 0], [1, 0, 2, 0], AXES[2])]
    found = [asked_beside(query, heard, number).vector for number in range(4)]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    silent = windows(None, None, None, AXES[0])
    asked = [asked_beside(query, silent, number) is query for number in range(4)]
    assert asked == [True, True, False, False]


def test_the_query_changes_where_its_window_begins(session):
    vectors = np.eye(384, dtype=np.float32)
    plain = Query(vectors[0], "", "a")
    processor = StreamProcessor(session, "cpu", 1, plain, Controls(), 2)
    asked = []
    second = SecondPass(plain, windows(*vectors[:2]), 4 * processor.size)
    for step in range(10):
        vector = vectors[1 + len(asked) // 4]
        second.query = dataclasses.replace(plain, vector=vector)  # as asked there without a policy
        second.steer(processor)
        asked.append(int(processor.stream.query[0].argmax()))
        assert second.number == min(step // 4, 1)
    assert asked == [1] * 4 + [2] * 6
    SecondPass(plain, [], 100).steer(processor)
    assert processor.stream.query[0].argmax() == 2  # nothing was heard


def test_nothing_is_asked_again_without_a_policy():
    query = Query(QUERY, "", "a")
    assert asked_again(query, first_pass(AXES[0], AXES[1])) is query
    look = always(0, Choice(away=1.0))
    looking = dataclasses.replace(query, second_look=dataclasses.replace(look, vectors=AXES[:1]))
    found = asked_again(looking, first_pass(AXES[0], AXES[1]))  # no label could stay behind
    np.testing.assert_array_equal(found.vector, QUERY)
    assert not found.away.any()


CHOICES = [{}, {"heard": 0.5, "away": 0.5}]
WEIGHTS = np.zeros((2, 1 + FEATURES))
WEIGHTS[1, 0] = 1.0  # always the second


def with_second_look(bundle, folder, second_look):
    """The built-in bundle with another policy, or none."""
    files = {name: bundle.read(name) for name in bundle.card["files"]}
    known = json.loads(files[FILE])
    known.pop("second_look", None)
    known |= {} if second_look is None else {"second_look": second_look}
    bundles.write(folder, dict(bundle.card), files | {FILE: json.dumps(known).encode()})
    return bundles.load(folder)


@pytest.fixture(scope="module")
def looking(bundle, tmp_path_factory):
    """A bundle that always pushes away."""
    policy = {"choices": CHOICES, "weights": WEIGHTS.tolist()}
    return with_second_look(bundle, tmp_path_factory.mktemp("b") / "b", policy)


def test_one_sound_is_asked_again_if_the_bundle_can(bundle, looking, tmp_path):
    look = build_query(looking, QueryRequest(["rain"])).second_look
    assert look.choices == (Choice(), Choice(heard=0.5, away=0.5))
    assert len(look.vectors) == Vocabulary.of(looking).trained
    assert SecondLook.of(look.dump(), look.vectors).key == look.key
    assert build_query(looking, QueryRequest(["rain", "dog barking"])).second_look is None
    assert build_query(looking, QueryRequest(["rain"], negative="wind")).second_look is None
    without = with_second_look(bundle, tmp_path / "b", None)
    assert build_query(without, QueryRequest(["rain"])).second_look is None
    assert Vocabulary.of(looking).only(["rain"]).second_look is None  # of another separator


DAMAGED = [
    3,
    {},
    {"choices": CHOICES, "weights": [[1.0]]},
    {"choices": CHOICES, "weights": (np.nan * WEIGHTS).tolist()},
    {"choices": [{"loud": 1}], "weights": WEIGHTS[:1].tolist()},
    {"choices": [1], "weights": WEIGHTS[:1].tolist()},
    {"choices": [{"away": 5}], "weights": WEIGHTS[:1].tolist()},
    {"choices": [{"heard": -1}], "weights": WEIGHTS[:1].tolist()},
    {"choices": [{"away": "nan"}], "weights": WEIGHTS[:1].tolist()},
    {"choices": [{}], "weights": [["x"] * 11]},
]


@pytest.mark.parametrize("damaged", DAMAGED)
def test_a_damaged_policy_is_refused(bundle, tmp_path, damaged):
    broken = with_second_look(bundle, tmp_path / "b", damaged)
    with pytest.raises(BundleError, match=r"sounds\.json in the bundle .* cannot be read"):
        Vocabulary.of(broken)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "x.wav"
    soundfile.write(path, mixture(5 * RATE), RATE, subtype="FLOAT")
    return path


def test_files_arrays_and_the_command_look_twice(looking, sound, tmp_path):
    x = soundfile.read(sound, dtype="float32")[0]
    twice = marssep_rt.separate(x, "rain", bundle=looking.path).audio
    once = marssep_rt.separate(x, "rain", bundle=looking.path, second_look=False).audio
    np.testing.assert_allclose(once, marssep_rt.separate(x, marssep_rt.embed_text("rain")).audio, atol=1e-6)
    assert np.abs(twice - once).max() > 1e-3
    np.testing.assert_allclose(
        marssep_rt.separate(sound, "rain", bundle=looking.path).audio, twice, atol=1e-6
    )
    rest = marssep_rt.separate(x, "no rain", bundle=looking.path).audio
    np.testing.assert_allclose(twice + rest, x, atol=1e-5)
    for option, expected in (("--second-look", twice), ("--no-second-look", once)):
        out = tmp_path / f"{option}.wav"
        asked = ["--query", "rain", str(sound), "-o", str(out), "--model", str(looking.path), option]
        assert CliRunner().invoke(app, asked).exit_code == 0
        np.testing.assert_allclose(soundfile.read(out)[0], expected, atol=1e-6)


def test_long_recordings_are_separated_once(looking):
    look = build_query(looking, QueryRequest(["rain"]))
    for seconds, twice in ((30, True), (30.5, False)):
        source = ArraySource(np.zeros((1, round(8000 * seconds)), np.float32), 8000)
        assert looks_twice(look, source, Controls()) is twice
        assert not looks_twice(look, source, Controls(wet=0.0))
        assert not looks_twice(dataclasses.replace(look, second_look=None), source, Controls())


def test_progress_counts_both_passes(looking, session, sound, tmp_path):
    seen = []
    query = build_query(looking, QueryRequest(["rain"]))
    encoder = marssep_rt.query.encoders.audio_encoder(looking.path)
    job = Job(sound, tmp_path / "y.wav", None)
    outcome = process_file(job, session, "cpu", query, Controls(), lambda *x: seen.append(x), encoder)
    done = [seconds for seconds, _ in seen]
    assert done == sorted(done)
    assert done[-1] == outcome.seconds == 5.0
    assert any(abs(x - 2.5) < 0.2 for x in done)


def test_a_report_tells_policies_apart(bundle, looking):
    query = build_query(looking, QueryRequest(["rain"]))
    other = dataclasses.replace(query.second_look, choices=(Choice(), Choice(away=0.5)))
    queries = [dataclasses.replace(query, second_look=x) for x in (query.second_look, other, None)]
    assert len({settings_key(bundle, one, Controls(), "wav", False) for one in queries}) == 3


@pytest.fixture
def run(session, bundle, looking, tmp_path, monkeypatch):
    """A live run that asks for rain, and its controller; its encoder hears loud and quiet sounds."""
    monkeypatch.setattr("marssep_rt.live.control.controller.audio_encoder", lambda _: Ear384())
    query = build_query(looking, QueryRequest(["rain"]))
    engine = Engine(StreamProcessor(session, "cpu", 1, query, Controls()), EngineConfig(RATE, 480, 1, 1))
    control = LiveController(engine, looking, [query], Controls(), lambda: tmp_path / "live.wav", True)
    yield engine, control, query
    control.close()


class Ear384(Ear):
    """Of as many dimensions as queries have."""

    def embed_windows(self, windows):
        return np.pad(super().embed_windows(windows), (0, 380))


def test_a_live_run_looks_again_at_what_it_has_just_given(run):
    engine, control, query = run
    x = mixture(3 * RATE)
    simulate(engine, x[: 2 * RATE, None])
    target, dry = engine.recent()
    control.watch()
    wait_until(lambda: engine.worker.mailbox)
    simulate(engine, x[2 * RATE : 2 * RATE + 4800, None])
    heard = FirstPass.of([pass_heard(target, dry, Ear384())])
    asked = asked_again(query, heard)
    np.testing.assert_allclose(engine.processor.stream.query[0], asked.vector, atol=1e-6)
    np.testing.assert_allclose(engine.processor.stream.other[0], asked.away, atol=1e-6)
    assert np.linalg.norm(asked.away) == pytest.approx(0.5, abs=1e-3)
    assert control.query.vector is query.vector  # presence is that of what the user asked
    # another query begins anew: by nothing that the earlier one gave
    siren = build_query(control.bundle, QueryRequest(["siren"]))
    control.take(dataclasses.replace(siren, second_look=None))
    time.sleep(0.7)
    simulate(engine, x[:4800, None])
    np.testing.assert_array_equal(engine.processor.stream.query[0], siren.vector)
    assert not engine.processor.stream.other.any()


def test_what_was_asked_again_is_let_go_when_nothing_comes_out(run):
    engine, control, query = run
    simulate(engine, mixture(2 * RATE)[:, None])

    class Deaf:
        """Hears that nothing came out."""

        narrowed = staticmethod(lambda query: query)
        asked_again = staticmethod(lambda query: query)

    hearing = Hearing(engine, Ear384(), True)
    hearing.hear([query])
    for heard, steered in ((hearing, True), (Deaf, False)):
        control._refine(heard)
        simulate(engine, mixture(4800)[:, None])
        assert np.array_equal(engine.processor.stream.query[0], query.vector) != steered
    control._refine(Deaf)
    assert not engine.worker.mailbox  # nothing new


def test_a_dry_output_and_a_damaged_file_need_no_second_pass(looking, session, tmp_path):
    encoder = marssep_rt.query.encoders.audio_encoder(looking.path)
    query = build_query(looking, QueryRequest(["rain"]))
    x = mixture(5 * RATE)
    soundfile.write(tmp_path / "x.flac", x, RATE)
    job = Job(tmp_path / "x.flac", tmp_path / "y.wav", None)
    seen = []
    process_file(job, session, "cpu", query, Controls(wet=0.0), lambda *x: seen.append(x), encoder)
    assert len([s for s, _ in seen if s > 4.9]) == 1
    whole = (tmp_path / "x.flac").read_bytes()
    bad = tmp_path / "bad.flac"
    bad.write_bytes(whole[: len(whole) * 3 // 4] + bytes(5000) + whole[len(whole) * 3 // 4 + 5000 :])
    for reading in (
        lambda: process_file(
            Job(bad, tmp_path / "z.wav", None), session, "cpu", query, Controls(), encoder=encoder
        ),
        lambda: marssep_rt.separate(bad, "rain", bundle=looking.path),
    ):
        with pytest.raises(AudioFileError, match=r"damaged after [34]\.\d s"):
            reading()
    assert not (tmp_path / "z.wav").exists()


def test_several_targets_are_not_asked_again(session, looking, tmp_path):
    queries = [build_query(looking, QueryRequest([text])) for text in ("rain", "siren")]
    engine = Engine(
        StreamProcessor(session, "cpu", 1, queries, Controls()), EngineConfig(RATE, 480, 1, 2, routes=(0, 1))
    )
    hearing = Hearing(engine, Ear384(), True)
    simulate(engine, mixture(RATE)[:, None])
    hearing.hear(queries)
    assert not hearing.passes
    hearing.hear(queries[:1])
    assert len(hearing.passes) == 1
    hearing.forget()
    for _ in range(4):  # two seconds, until a window holds nothing of the query before
        hearing.hear(queries[:1])
        assert hearing.asked_again(queries[0]) is queries[0]
    hearing.hear(queries[:1])
    assert len(hearing.passes) == 1
    without = Hearing(engine, Ear384(), False)
    without.hear(queries[:1])
    assert not without.passes
