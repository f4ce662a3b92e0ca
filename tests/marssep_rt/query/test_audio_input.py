from itertools import pairwise

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from ffmpeg_files import encoded, needs_ffmpeg, video
from marssep_rt.audio_io.reader import open_source
from marssep_rt.errors import SoundError
from marssep_rt.query.audio_input import MOST_WINDOWS, loud, mono, read_windows, starts, windows_of
from marssep_rt.query.encoders import audio_encoder
from signals import mixture, tone

RNG = np.random.default_rng(3)


@given(st.integers(1, 10**7), st.integers(1, 10**6))
def test_windows_cover_all_or_are_spread_evenly(frames, length):
    found = starts(frames, length)
    assert found[0] == 0
    assert len(found) <= MOST_WINDOWS
    if frames > length:
        assert found[-1] == frames - length
    if len(found) < MOST_WINDOWS:
        assert all(b - a <= length for a, b in pairwise(found))


@pytest.mark.parametrize(
    ("rate", "seconds"), [(8_000, 0.01), (22_050, 3.3), (44_100, 4.0), (48_000, 9.7), (96_000, 4.2)]
)
def test_any_rate_and_length(tmp_path, rate, seconds):
    soundfile.write(tmp_path / "x.wav", 0.1 * RNG.standard_normal((int(rate * seconds), 2)), rate)
    windows = read_windows(tmp_path / "x.wav")
    assert len({len(w) for w in windows}) == 1
    assert len(windows[0]) % 480 == 0
    assert 48_000 <= len(windows[0]) <= 4 * 48_000
    assert len(windows) == max(1, -(-int(rate * seconds) // (4 * rate)))


def test_a_long_file_is_sampled(tmp_path):
    with soundfile.SoundFile(tmp_path / "long.flac", "w", 8_000, 1) as f:
        for _ in range(200):
            f.write(0.1 * RNG.standard_normal(8_000))
    assert len(read_windows(tmp_path / "long.flac")) == MOST_WINDOWS


def test_opposite_channels_do_not_cancel():
    x = RNG.standard_normal((1000, 1)).astype(np.float32)
    np.testing.assert_array_equal(mono(np.hstack([x, -x])), x[:, 0])
    np.testing.assert_allclose(mono(np.hstack([x, x])), x[:, 0], atol=1e-6)


def test_what_is_not_finite_is_silence():
    assert np.isfinite(mono(np.array([[np.nan], [np.inf], [0.5]], np.float32))).all()


def test_quiet_windows_say_nothing():
    bark, hush = RNG.standard_normal(48_000).astype(np.float32), np.full(48_000, 1e-4, np.float32)
    assert loud([hush, bark, hush], "x")[0] is bark
    assert len(loud([hush, bark, hush], "x")) == 1


def test_short_sounds_are_followed_by_silence():
    (window,) = windows_of([np.ones(300, np.float32)], 48_000)
    assert len(window) == 48_000
    assert window.sum() == 300


def test_bad_files_are_one_sentence(tmp_path):
    soundfile.write(tmp_path / "silent.wav", np.zeros(48_000), 48_000)
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 48_000)
    (tmp_path / "text.wav").write_text("no sound")
    for name, words in (
        ("silent", "silent; give"),
        ("empty", "empty.wav: holds no samples"),
        ("text", "text.wav: not a sound file that can be read"),
        ("none", "none.wav: no such file"),
    ):
        with pytest.raises(SoundError, match=words):
            read_windows(tmp_path / f"{name}.wav")


@pytest.mark.parametrize("rate", [4_000, 384_000])
def test_rates_that_the_separator_cannot_work_at(tmp_path, rate):
    soundfile.write(tmp_path / "x.wav", 0.1 * RNG.standard_normal(rate), rate)
    (window,) = read_windows(tmp_path / "x.wav")
    assert len(window) == 48_000


@needs_ffmpeg
def test_what_ffmpeg_reads(tmp_path):
    x = tone(440, 1.0)
    encoded(tmp_path / "x.m4a", x, 44_100, "-c:a", "aac")
    video(tmp_path / "x.webm", x, 48_000, "-c:v", "libvpx", "-c:a", "libopus")
    for name in ("x.m4a", "x.webm"):
        (window,) = read_windows(tmp_path / name)
        heard = np.abs(np.fft.rfft(window[:48_000]))
        expected = 440 * (1 if name == "x.webm" else 44_100 / 48_000)
        assert abs(np.argmax(heard) - expected) <= 2


def test_without_ffmpeg_the_way_out_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "memo.m4a").write_bytes(b"\0\0\0\x1cftypM4A ")
    with pytest.raises(SoundError, match=r"memo\.m4a: \.m4a files are read through ffmpeg.*apt install"):
        read_windows(tmp_path / "memo.m4a")


@needs_ffmpeg
def test_a_video_without_sound(tmp_path):
    video(tmp_path / "x.mp4", tone(440, 0.5), 48_000, "-c:v", "mpeg4", "-an")
    with pytest.raises(SoundError, match=r"x\.mp4: holds no sound"):
        read_windows(tmp_path / "x.mp4")


@pytest.mark.parametrize("seconds", [0.5, 9.7, 70.0, 150.0, 1000.0])
def test_a_sound_that_does_not_tell_its_length(tmp_path, monkeypatch, seconds):
    """Its windows are those of a file that does, or spread over it if it is long."""
    rate = 8_000
    seen = np.arange(round(seconds * rate), dtype=np.float32) / 2**24 + 0.1
    soundfile.write(tmp_path / "x.wav", seen, rate, subtype="FLOAT")
    known = read_windows(tmp_path / "x.wav", rate, 80)

    def unmeasured(*arguments, **settings):
        source = open_source(*arguments, **settings)
        source.frames = None
        return source

    monkeypatch.setattr("marssep_rt.audio_io.reader.open_source", unmeasured)
    found = read_windows(tmp_path / "x.wav", rate, 80)
    if seconds < 2 * MOST_WINDOWS * 4:
        np.testing.assert_array_equal(found, known)
    else:
        at = np.array([(w[0] - 0.1) * 2**24 / rate for w in found])
        assert len(at) == MOST_WINDOWS
        assert (np.diff(at) >= 4).all()
        assert at[0] < 0.1 * seconds
        assert at[-1] > 0.85 * seconds


def test_a_long_file_of_several_parts(tmp_path):
    """Ogg files one after the other, of which soundfile alone sees the first."""
    rate = 8_000
    soundfile.write(tmp_path / "a.ogg", 0.3 * RNG.standard_normal(40 * rate), rate)
    soundfile.write(tmp_path / "b.ogg", 0.001 * RNG.standard_normal(40 * rate), rate)
    (tmp_path / "ab.ogg").write_bytes((tmp_path / "a.ogg").read_bytes() + (tmp_path / "b.ogg").read_bytes())
    assert len(read_windows(tmp_path / "a.ogg", rate, 80)) == 10
    assert 8 <= len(read_windows(tmp_path / "ab.ogg", rate, 80)) < 10


def test_a_long_file_is_damaged(tmp_path):
    soundfile.write(tmp_path / "x.flac", 0.1 * RNG.standard_normal(100 * 8_000), 8_000)
    content = (tmp_path / "x.flac").read_bytes()
    (tmp_path / "x.flac").write_bytes(content[: len(content) // 2])
    with pytest.raises(SoundError, match=r"x\.flac: damaged after"):
        read_windows(tmp_path / "x.flac")


def test_less_than_a_second_is_followed_by_silence(bundle):
    encoder = audio_encoder(bundle.path)
    short = mixture(encoder.sample_rate // 4)
    padded = np.pad(short, (0, encoder.sample_rate - len(short)))
    np.testing.assert_allclose(encoder.embed_windows([short]), encoder.embed_windows([padded]), atol=1e-6)
