from itertools import pairwise

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from marssep_rt.errors import SoundError
from marssep_rt.query.audio_input import MOST_WINDOWS, loud, mono, read_windows, starts, windows_of
from marssep_rt.query.encoders import audio_encoder
from signals import mixture

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
        ("empty", "holds no sound"),
        ("text", "cannot be read as sound"),
        ("none", "no sound file"),
    ):
        with pytest.raises(SoundError, match=words):
            read_windows(tmp_path / f"{name}.wav")


def test_less_than_a_second_is_followed_by_silence(bundle):
    encoder = audio_encoder(bundle.path)
    short = mixture(encoder.sample_rate // 4)
    padded = np.pad(short, (0, encoder.sample_rate - len(short)))
    np.testing.assert_allclose(encoder.embed_windows([short]), encoder.embed_windows([padded]), atol=1e-6)
