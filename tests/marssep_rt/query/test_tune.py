"""Tuned queries: backgrounds, mixtures, the search, and what is kept of it."""

import contextlib
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from marssep_rt.cli.query import app
from marssep_rt.errors import QueryError
from marssep_rt.query import tune as tuning
from marssep_rt.query.backgrounds import MAKERS, RATE, read_folder
from marssep_rt.query.build import build_query
from marssep_rt.query.query_file import read_query
from marssep_rt.query.tune import Subspace, TuneOptions, draw_mixtures, orthonormal, split_recordings, tune
from marssep_rt.query.types import QueryRequest
from marssep_rt.utils.cma_es import CmaEs

TINY = TuneOptions(generations=2, candidates=4, mixtures=2, check_mixtures=4, seconds=0.5, threads=1)


def test_the_search_finds_the_top_of_a_tilted_hill():
    rng = np.random.default_rng(0)
    scales, top = np.array([1.0, 5.0, 25.0, 2.0, 1.0]), np.array([1.0, -2.0, 0.5, 3.0, 0.0])
    search = CmaEs(np.zeros(5), 1.0, 8, rng)
    for _ in range(150):
        search.tell([-np.square(scales * (x - top)).sum() for x in search.ask()])
    np.testing.assert_allclose(search.mean, top, atol=1e-3)
    assert search.sigma < 0.01


@pytest.mark.parametrize("make", MAKERS)
def test_backgrounds_are_sounds_and_differ(make):
    sounds = [make(RATE, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    for sound in sounds:
        assert sound.shape == (RATE,)
        assert sound.dtype == np.float32
        assert np.isfinite(sound).all()
        assert np.square(sound).mean() > 1e-6
    np.testing.assert_array_equal(sounds[0], sounds[1])
    assert np.abs(sounds[0] - sounds[2]).max() > 0.01


def test_what_decides_was_not_searched_with():
    def numbered(first, windows):
        return [np.arange(first + 1000 * i, first + 1000 * (i + 1), dtype=np.float32) for i in range(windows)]

    for recordings in ([numbered(0, 3)], [numbered(10_000 * i, 2) for i in range(3)]):
        search, decide = split_recordings(recordings)
        assert search
        assert decide
        assert not set(np.concatenate(search)) & set(np.concatenate(decide))
        assert len(np.concatenate([*search, *decide])) == sum(len(w) for r in recordings for w in r)


def test_mixtures_have_the_ratios_that_were_asked_for():
    sound = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    options = TuneOptions(seconds=0.5, snr_db=6.0)
    made = draw_mixtures([sound], [], 5, options, np.random.default_rng(1))
    ratios = [10 * np.log10(np.square(m.target).sum() / np.square(m.audio - m.target).sum()) for m in made]
    np.testing.assert_allclose(sorted(ratios), [-6, -3, 0, 3, 6], atol=0.01)
    levels = [10 * np.log10(np.square(m.audio).mean()) for m in made]
    np.testing.assert_allclose(levels, -25, atol=0.01)


def test_a_louder_output_is_better_only_in_sdr():
    rng = np.random.default_rng(0)
    target = rng.standard_normal(1000).astype(np.float32)
    estimate = (target + 0.1 * rng.standard_normal(1000)).astype(np.float32)
    estimates = np.stack([estimate, 0.5 * estimate])
    np.testing.assert_allclose(tuning.si_sdr(estimates, target), 20, atol=1)
    assert tuning.sdr(estimates, target)[0] == pytest.approx(20, abs=1)
    assert tuning.sdr(estimates, target)[1] == pytest.approx(6, abs=0.3)
    quiet = np.zeros((3, 2))
    assert not tuning.clearly_better(quiet + np.array([1.0, -0.1]), quiet)
    assert tuning.clearly_better(quiet + np.array([1.0, 0.1]), quiet)


def test_the_user_s_backgrounds_are_used():
    own = [[np.full(RATE, 0.5, np.float32)]]
    sound = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    made = draw_mixtures([sound], own, 20, TuneOptions(seconds=0.5), np.random.default_rng(1))
    flat = [np.ptp(m.audio - m.target) < 1e-4 for m in made]
    assert 10 <= sum(flat) < 20


def test_the_subspace_holds_its_border():
    rng = np.random.default_rng(0)
    start = rng.standard_normal(20).astype(np.float32)
    start /= np.linalg.norm(start)
    near = rng.standard_normal(20).astype(np.float32)
    axes = orthonormal([near, 2 * near, start, rng.standard_normal(20)], start)
    assert axes.shape == (2, 20)
    np.testing.assert_allclose(axes @ axes.T, np.eye(2), atol=1e-5)
    np.testing.assert_allclose(axes @ start, 0, atol=1e-5)
    space = Subspace(start, axes, 0.7)
    found = space.vectors(np.array([[0, 0], [0.1, 0], [50, -20]]))
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(found[0], start, atol=1e-6)
    assert found[1] @ start > 0.99
    assert found[2] @ start == pytest.approx(0.7, abs=1e-5)
    wanted = space.vectors(np.array([0.3, 0.2]))[0]
    np.testing.assert_allclose(space.vectors(space.point(wanted))[0], wanted, atol=1e-5)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    t = np.arange(2 * RATE) / RATE
    for i in range(3):
        siren = np.sin(2 * np.pi * np.cumsum(900 + 50 * i + 300 * np.sin(2 * np.pi * 1.5 * t)) / RATE)
        soundfile.write(folder / f"{i}.wav", 0.3 * siren, RATE)
    return [folder / f"{i}.wav" for i in range(3)]


class Wishes:
    """Instead of the separator: a vector is the better, the nearer it is to the wish of who asks."""

    def __init__(self, start, way, reverse_at_the_end=False, stop_after=None):
        self.wish = start + 0.5 * way
        self.reverse, self.stop_after, self.calls = reverse_at_the_end, stop_after, 0

    def __call__(self, session, pool):
        return self

    def gains(self, mixtures, vectors):
        self.calls += 1
        if self.calls == self.stop_after:
            raise KeyboardInterrupt
        gains = 10 * vectors @ self.wish
        if len(mixtures) == 8 and self.reverse:
            gains = -gains
        each = np.repeat(gains[None], len(mixtures), 0) + 0.01 * np.arange(len(mixtures))[:, None]
        return np.stack([each, each], axis=-1)


@pytest.fixture
def wished(bundle, recordings, monkeypatch):
    """Tune towards a sound of the vocabulary instead of by the separator; the settings of ``Wishes``."""

    def made(**settings):
        request = QueryRequest(audios=recordings)
        plain = replace(build_query(bundle, request), warnings=("it is unlike every sound",))
        monkeypatch.setattr(tuning, "build_query", lambda *_: plain)
        way = tuning.near_sounds(bundle, plain.vector, 3)[2]
        monkeypatch.setattr(tuning, "Judge", Wishes(plain.vector, way, **settings))
        options = TuneOptions(generations=8, candidates=8, mixtures=2, check_mixtures=8)
        return plain, way, tune(bundle, request, options=options)

    return made


def test_a_better_vector_is_kept(wished):
    plain, way, tuned = wished()
    assert tuned.kept
    assert tuned.generations == 8
    assert tuned.tuned_db > tuned.plain_db
    assert tuned.query.vector @ way > plain.vector @ way + 0.01
    np.testing.assert_array_equal(tuned.query.vector, tuned.vector)
    assert "tuned" in tuned.query.label
    assert tuned.query.warnings == ()


def test_what_only_helps_the_search_is_not_kept(wished):
    plain, way, tuned = wished(reverse_at_the_end=True)
    assert not tuned.kept
    np.testing.assert_array_equal(tuned.query.vector, plain.vector)
    assert tuned.query.label == plain.label
    assert tuned.query.warnings == plain.warnings
    assert tuned.vector @ way > plain.vector @ way


def test_an_interrupt_takes_what_is_found_so_far(wished):
    _, _, tuned = wished(stop_after=5)
    assert tuned.stopped
    assert tuned.generations == 3
    assert tuned.kept


def test_an_interrupt_before_anything_is_found_is_one(wished):
    with pytest.raises(KeyboardInterrupt):
        wished(stop_after=1)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_query(bundle, recordings):
    request = QueryRequest(audios=recordings)
    found = [tune(bundle, request, options=TINY).vector for _ in range(2)]
    np.testing.assert_array_equal(found[0], found[1])
    assert np.linalg.norm(found[0]) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("count", [0, 6])
def test_one_to_five_recordings(bundle, recordings, count):
    with pytest.raises(QueryError, match=f"one to 5 recordings.*not {count}"):
        tune(bundle, QueryRequest(["siren"], audios=(recordings * 2)[:count]))


@pytest.mark.parametrize("more", [{"negative": "rain"}, {"texts": ["siren", "rain"]}])
def test_only_one_sound_is_tuned(bundle, recordings, more):
    with pytest.raises(QueryError, match=r"for one sound, and this query names [23]; add"):
        tune(bundle, QueryRequest(audios=recordings, **more))


def test_folders_without_backgrounds(tmp_path):
    with pytest.raises(QueryError, match="there is no folder"):
        read_folder(tmp_path / "none")
    (tmp_path / "notes.txt").write_text("no sound")
    with pytest.raises(QueryError, match="no audio file"):
        read_folder(tmp_path)


@pytest.fixture
def query(monkeypatch, capsys):
    """``marssep query`` with a search of one generation: its exit code and what it says."""
    monkeypatch.setattr(tuning, "TuneOptions", lambda seed: replace(TINY, generations=1, seed=seed))

    def run(*args):
        with pytest.raises(SystemExit) as left:
            app([str(arg) for arg in args])
        return left.value.code, " ".join(capsys.readouterr().err.split())

    return run


def test_the_command_writes_a_query_file(bundle, recordings, query, tmp_path):
    out = tmp_path / "siren.query"
    code, said = query("--audio", *recordings, "--tune", "--background", recordings[0].parent, "-o", out)
    assert code == 0, said
    assert "on what the search did not hear" in said
    made = read_query(out)
    assert made.encoder == bundle.encoder
    assert all(path.name in made.label for path in recordings)


@pytest.fixture
def standard_input(monkeypatch):
    """Lets a file be standard input."""
    with contextlib.ExitStack() as opened:

        def feed(path):
            monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=opened.enter_context(open(path, "rb"))))

        yield feed


def test_a_recording_from_a_pipe_is_read_once(recordings, query, standard_input, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    standard_input(recordings[0])
    code, said = query("--audio", "-", recordings[1], "--tune", "-o", tmp_path / "piped.query")
    assert code == 0, said
    named = read_query(tmp_path / "piped.query").label
    assert named.startswith("- ")
    assert recordings[1].name in named
    assert list((tmp_path / "temporary").iterdir()) == []

    soundfile.write(tmp_path / "silence.wav", np.zeros(RATE), RATE)
    standard_input(tmp_path / "silence.wav")
    code, said = query("--audio", "-", "--tune", "-o", tmp_path / "none.query")
    assert code == 2
    assert "error: - is silent; give a recording" in said
    assert not (tmp_path / "none.query").exists()


def test_wrong_commands_are_one_sentence(recordings, query, tmp_path):
    out = tmp_path / "x.query"
    for args, words in (
        ([recordings[0]], "recordings follow --audio"),
        (["--audio", "-", "-"], "standard input (-) is named more than once"),
        (["--query", "siren", "--tune"], "one to 5 recordings"),
        (["--query", "siren", "--background", tmp_path], "--background belongs to --tune"),
        (["--audio", recordings[0], "--tune", "--background", tmp_path / "none"], "there is no folder"),
    ):
        code, said = query(*args, "-o", out)
        assert code == 2
        assert words in said
        assert not out.exists()
