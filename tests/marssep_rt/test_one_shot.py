"""Audio as Python users bring it."""

import numpy as np
import pytest
import soundfile
import soxr

import marssep_rt
from marssep_rt import MarssepError, Separator, UsageError, separate
from marssep_rt.utils.audio_arrays import as_audio
from signals import RATE, mixture


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.int8, np.uint8])
def test_integers_are_scaled_by_their_type(dtype):
    info = np.iinfo(dtype)
    middle = 0 if info.min < 0 else (info.max + 1) // 2
    found = as_audio(np.array([middle, info.max, info.min], dtype))
    np.testing.assert_allclose(found, [0.0, 1.0, -1.0], atol=0.01)
    assert found.dtype == np.float32


def test_int16_gives_what_its_floats_give(vector):
    x = (mixture(9600) * 20000).astype(np.int16)
    np.testing.assert_allclose(
        Separator(vector).process(x), Separator(vector).process(x / np.float32(32768)), atol=1e-6
    )


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.zeros((48_000, 2)), "channels come first, give x.T"),
        (np.zeros((3, 48_000)), "3 channels; mono and stereo work"),
        (np.zeros((2, 2, 10)), "shape"),
        (np.zeros(0), "n >= 1"),
        ("noise", "floats or integers"),
        (None, "floats or integers"),
        (np.zeros(5, complex), "floats or integers"),
        (np.zeros(5, np.int64), "int64 have no full scale; give int16"),
        ([[1.0], [1.0, 2.0]], "array of numbers"),
    ],
)
def test_what_is_no_audio_is_one_sentence(vector, x, words):
    with pytest.raises(UsageError, match=words):
        Separator(vector).process(x)


def test_nothing_to_hear_speaks_of_the_arguments():
    with pytest.raises(UsageError, match="query="):
        Separator()


def test_warnings_and_errors_speak_of_the_arguments_too():
    with pytest.warns(UserWarning, match="audio=FILE"):
        Separator("my voice")
    with pytest.raises(UsageError, match="such as “dog barking”"):
        Separator("")


@pytest.mark.parametrize("embed", [marssep_rt.embed_text, marssep_rt.embed_audio, marssep_rt.embed_image])
def test_what_cannot_be_embedded_is_a_usage_error(embed):
    with pytest.raises(UsageError, match="is a int"):
        embed(5)


def test_repr_is_one_line(vector):
    shown = repr(Separator(vector, remove=True))
    assert "residual" in shown
    assert len(shown) < 120


def test_separate_an_array_is_the_stream_without_its_latency(vector):
    x = np.stack([mixture(20_000), mixture(20_000)[::-1]])
    s = Separator(vector)
    streamed = np.concatenate([s.process(x), s.flush()], axis=1)[:, s.latency :][:, : x.shape[1]]
    found, rate = separate(x, vector)
    assert rate == RATE
    np.testing.assert_allclose(found, streamed, atol=1e-6)


def streamed(x, rate, vector, **settings):
    """A stream in blocks of an odd size, without its latency."""
    s = Separator(vector, sample_rate=rate, **settings)
    outs = [s.process(x[..., at : at + 1237]) for at in range(0, x.shape[-1], 1237)]
    return np.concatenate([*outs, s.flush()], axis=-1)[..., s.latency :]


def at_once(x, rate, vector, **settings):
    found, told = separate(x, vector, sample_rate=rate, **settings)
    assert told == rate
    return found


@pytest.mark.parametrize("separated", [streamed, at_once])
@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000, 96_000])
def test_target_and_residual_add_up_to_the_input_at_every_rate(vector, rate, separated):
    x = soxr.resample(mixture(48_000), RATE, rate, "HQ").astype(np.float32)
    if rate == 96_000:
        x += 0.2 * np.sin(2 * np.pi * 30_000 / rate * np.arange(len(x))).astype(np.float32)
    stereo = np.stack([x, 0.5 * x[::-1]])
    target, residual = separated(stereo, rate, vector), separated(stereo, rate, vector, remove=True)
    assert target.shape == stereo.shape
    np.testing.assert_allclose(target + residual, stereo, atol=1e-6)
    assert np.abs(target).max() > 1e-3
    assert np.abs(residual).max() > 1e-3


@pytest.mark.parametrize("separated", [streamed, at_once])
def test_what_lies_above_the_model_s_band_passes_with_the_residual(vector, separated):
    rate = 96_000
    x = 0.2 * np.sin(2 * np.pi * 30_000 / rate * np.arange(rate // 2)).astype(np.float32)
    inner = slice(200, -200)  # its sudden beginning and end are in the model's band
    np.testing.assert_allclose(separated(x, rate, vector, remove=True)[inner], x[inner], atol=1e-4)
    np.testing.assert_allclose(separated(x, rate, vector)[inner], 0.0, atol=1e-4)


@pytest.mark.parametrize("rate", [44_100, 96_000])
def test_stream_and_whole_array_agree_at_another_rate(vector, rate):
    """Their filters differ, and the model's hops begin elsewhere; half a sample of delay would give 0.55."""
    x = soxr.resample(mixture(48_000), RATE, rate, "HQ").astype(np.float32)
    a, b = streamed(x, rate, vector), at_once(x, rate, vector)
    inner = slice(rate // 10, -rate // 10)
    error = np.sqrt(np.mean((a - b)[inner] ** 2) / np.mean(b[inner] ** 2))
    assert error < 0.2


def test_a_damaged_file_is_one_sentence(vector, tmp_path, monkeypatch):
    soundfile.write(tmp_path / "x.wav", mixture(RATE), RATE)

    def broken(self, frames):
        raise soundfile.LibsndfileError(1)

    monkeypatch.setattr("marssep_rt.audio_io.source.SoundfileSource.read", broken)
    with pytest.raises(MarssepError, match=r"x\.wav: damaged after 0\.0 s"):
        separate(tmp_path / "x.wav", vector)


def test_separate_a_file_brings_its_rate(vector, tmp_path):
    soundfile.write(tmp_path / "x.wav", mixture(22_050), 22_050, subtype="FLOAT")
    found, rate = marssep_rt.separate(tmp_path / "x.wav", vector)
    assert rate == 22_050
    assert found.shape == (22_050,)
    with pytest.raises(UsageError, match="a file brings its own"):
        separate(tmp_path / "x.wav", vector, sample_rate=48_000)
    with pytest.raises(MarssepError, match="no such file"):
        separate(tmp_path / "nothing.wav", vector)
    with pytest.raises(UsageError, match="8000 to 192000"):
        separate(mixture(100), vector, sample_rate=4000)


def test_separate_says_what_a_file_has_lost(vector, tmp_path):
    soundfile.write(tmp_path / "x.wav", mixture(RATE), RATE)
    content = (tmp_path / "x.wav").read_bytes()
    (tmp_path / "x.wav").write_bytes(content[: len(content) // 2])
    with pytest.warns(UserWarning, match=r"x\.wav: the file is cut off"):
        found, _ = separate(tmp_path / "x.wav", vector)
    assert len(found) == pytest.approx(RATE // 2, abs=50)
    soundfile.write(tmp_path / "six.wav", np.zeros((100, 6)), RATE)
    with pytest.raises(MarssepError, match="6 channels; mono and stereo work here, marssep file takes more"):
        separate(tmp_path / "six.wav", vector)
