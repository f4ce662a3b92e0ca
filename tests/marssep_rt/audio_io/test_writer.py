"""Output formats: sample formats, tags, clipping, names, and two writers of one file."""

import errno
import os
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from marssep_rt.audio_io.destination import Destination
from marssep_rt.audio_io.formats import FORMATS, format_of, rate_for
from marssep_rt.audio_io.metadata import Metadata
from marssep_rt.audio_io.reader import open_source
from marssep_rt.audio_io.writer import AtomicAudioWriter, AudioWriter, SoundShape, quantised, size_in_words
from marssep_rt.errors import AudioFileError, UsageError
from signals import RATE, mixture


def written(path, x, kind, shape=None):
    writer = AudioWriter(path, shape or SoundShape(RATE, len(x), x.shape[1]), FORMATS[kind])
    writer.write(x)
    writer.finish()
    return writer


@pytest.mark.parametrize(
    ("kind", "container", "subtype"),
    [
        ("wav", "WAV", "FLOAT"),
        ("wav16", "WAV", "PCM_16"),
        ("wav24", "WAV", "PCM_24"),
        ("wav32", "WAV", "FLOAT"),
        ("flac", "FLAC", "PCM_24"),
        ("flac16", "FLAC", "PCM_16"),
        ("ogg", "OGG", "VORBIS"),
        ("opus", "OGG", "OPUS"),
        ("mp3", "MP3", "MPEG_LAYER_III"),
    ],
)
def test_formats(tmp_path, kind, container, subtype):
    x = np.stack([0.5 * mixture(3 * RATE), 0.3 * mixture(3 * RATE, seed=1)])
    path = tmp_path / f"x{FORMATS[kind].suffix}"
    written(path, x, kind)
    info = soundfile.info(path)
    assert (info.format, info.subtype, info.samplerate, info.channels) == (container, subtype, RATE, 2)
    assert info.frames == x.shape[1]
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32"])
def test_integers_come_back_as_they_were(tmp_path, subtype):
    """libsndfile alone would move loud samples by one step."""
    bits = int(subtype[4:])
    rng = np.random.default_rng(0)
    steps = rng.integers(-(1 << (min(bits, 24) - 1)), 1 << (min(bits, 24) - 1), 5000)
    x = (steps / (1 << (min(bits, 24) - 1))).astype(np.float32)
    soundfile.write(tmp_path / "x.wav", quantised(x, subtype), RATE, subtype=subtype)
    with open_source(tmp_path / "x.wav") as source:
        np.testing.assert_array_equal(source.read(6000)[:, 0], x)


def test_opus_and_mp3_take_the_nearest_rate_that_loses_nothing(tmp_path):
    assert rate_for(FORMATS["opus"], 44_100) == 48_000
    assert rate_for(FORMATS["opus"], 11_025) == 12_000
    assert rate_for(FORMATS["mp3"], 96_000) == 48_000
    assert rate_for(FORMATS["wav"], 44_100) == 44_100
    x = mixture(44_100)[None]
    writer = written(tmp_path / "x.opus", x, "opus", SoundShape(44_100, 1, 44_100))
    assert writer.note.startswith("OPUS has no sample rate of 44100 Hz;")
    assert writer.note.endswith("x.opus is written at 48000 Hz")
    assert soundfile.info(tmp_path / "x.opus").frames == pytest.approx(48_000, abs=1)


def test_clipping_is_counted_and_does_not_wrap(tmp_path):
    x = np.array([[0.5, 1.5, -2.0, 1.0]], np.float32)
    writer = written(tmp_path / "x.wav", x, "wav16")
    assert writer.clipped == 2
    assert writer.peak == 2.0
    got, _ = soundfile.read(tmp_path / "x.wav")
    np.testing.assert_allclose(got, [0.5, 1.0, -1.0, 1.0], atol=1e-4)
    writer = written(tmp_path / "y.wav", x, "wav32")
    assert writer.clipped == 0
    np.testing.assert_array_equal(soundfile.read(tmp_path / "y.wav", dtype="float32")[0], x[0])


@pytest.mark.parametrize("kind", ["wav16", "wav24", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("frames", [RATE, None])
def test_tags_are_kept(tmp_path, kind, frames):
    tags = {"title": "Größer", "artist": "Nobody"}
    path = tmp_path / f"x{FORMATS[kind].suffix}"
    written(path, mixture(RATE)[None], kind, SoundShape(RATE, 1, frames, metadata=Metadata(tags)))
    with soundfile.SoundFile(path) as file:
        assert file.title == "Größer"
        assert file.artist == "Nobody"


def test_a_channel_too_many(tmp_path):
    with pytest.raises(AudioFileError, match="MP3 holds 2 channels, but there are 6"):
        AudioWriter(tmp_path / "x.mp3", SoundShape(RATE, 6), FORMATS["mp3"])
    assert list(tmp_path.iterdir()) == []


def test_suffix_and_format(tmp_path):
    assert format_of(tmp_path / "x.FLAC").name == "flac"
    assert format_of(tmp_path / "x.wav", "wav24").subtype == "PCM_24"
    assert format_of(tmp_path / "x.wav", "float").subtype == "FLOAT"
    with pytest.raises(UsageError, match=r"x\.wav is named as WAV, but --format says mp3.*x\.mp3"):
        format_of(tmp_path / "x.wav", "mp3")
    with pytest.raises(UsageError, match="outputs end in"):
        format_of(tmp_path / "x")


def test_two_writers_of_one_file(tmp_path):
    """The second is told; the first finishes a whole file; then the name is free again."""
    path = tmp_path / "x.wav"
    first = AtomicAudioWriter(path, RATE, 1)
    first.write(mixture(RATE)[None])
    with pytest.raises(AudioFileError, match="another run is writing this file"):
        AtomicAudioWriter(path, RATE, 1)
    first.finish()
    assert soundfile.info(path).frames == RATE
    third = AtomicAudioWriter(path, RATE, 1)
    third.discard()
    assert soundfile.info(path).frames == RATE
    assert [p.name for p in tmp_path.iterdir()] == ["x.wav"]


def test_without_locks_the_names_keep_two_writers_apart(tmp_path, monkeypatch):
    monkeypatch.setattr("marssep_rt.utils.file_lock.fcntl", None)
    monkeypatch.setattr("marssep_rt.audio_io.destination.IS_AVAILABLE", False)
    path = tmp_path / "x.wav"
    writers = [AtomicAudioWriter(path, RATE, 1) for _ in range(2)]
    for n, writer in enumerate(writers, 1):
        writer.write(mixture(n * RATE)[None])
    for n, writer in enumerate(writers, 1):
        writer.finish()
        assert soundfile.info(path).frames == n * RATE


def test_parts_of_killed_runs_are_removed_and_those_of_others_stay(tmp_path):
    path = tmp_path / "x.wav"
    killed = Destination(path)
    killed.part.write_bytes(b"half")
    killed.lock.release()  # as the end of its process does
    (tmp_path / "x.wav.part").write_bytes(b"somebody's own")
    (tmp_path / "xy.wav.01234567.part").write_bytes(b"another file's")
    Destination(path).discard()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.wav.part", "xy.wav.01234567.part"]


def test_a_name_of_255_bytes_has_room_for_its_part(tmp_path):
    path = tmp_path / ("é" * 125 + "a.wav")
    assert len(os.fsencode(path.name)) == 255
    written(path, mixture(100)[None], "wav16")
    assert soundfile.info(path).frames == 100


def test_no_handles_left_is_not_a_full_disk(tmp_path, monkeypatch):
    def no_handles(*_, **__):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr("marssep_rt.audio_io.writer.PartFile", no_handles)
    with pytest.raises(AudioFileError, match="too many open files; use fewer --jobs"):
        AtomicAudioWriter(tmp_path / "x.wav", RATE, 1)


def test_the_true_reason_of_a_disk_that_fails(tmp_path, monkeypatch):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    (tmp_path / "full").symlink_to("/dev/full")
    monkeypatch.setattr("marssep_rt.audio_io.destination.partial_path", lambda _: tmp_path / "full")
    with pytest.raises(AudioFileError, match="no space left on device"):
        written(tmp_path / "x.flac", mixture(RATE)[None], "flac")


def test_a_disk_that_is_too_small(tmp_path, monkeypatch):
    """Sizes are said in units that fit; a compressed file may fit, so nobody is stopped."""
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=300_000))
    shape = SoundShape(44_100, 2, 44_100 * 3, "PCM_16")
    with pytest.raises(AudioFileError) as refused:
        AudioWriter(tmp_path / "x.wav", shape, FORMATS["wav"])
    assert str(refused.value) == (
        f"{tmp_path / 'x.wav'}: needs 529 kB, but only 300 kB are free in {tmp_path}; make room there, or "
        "choose another place with -o"
    )
    assert list(tmp_path.iterdir()) == []
    AudioWriter(tmp_path / "x.flac", shape, FORMATS["flac"]).discard()


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 kB"),
        (384_000, "384 kB"),
        (999_900, "1.0 MB"),
        (9_970_000, "10 MB"),
        (3.4e9, "3.4 GB"),
        (5e15, "5000 TB"),
    ],
)
def test_sizes_in_words(size, words):
    assert size_in_words(size) == words
