"""What comes out: target and residual add up, the input's format, tags and time stay, many channels."""

import re
import struct

import numpy as np
import pytest
import soundfile

from ffmpeg_files import needs_ffmpeg, video
from marssep_rt.audio_io.reader import open_source
from marssep_rt.batch.plan import Job
from marssep_rt.batch.separate import process_file
from marssep_rt.dsp.mixer import Controls
from signals import RATE, mixture, tone


def separate(session, vector, source, target, residual=None, kind=None, **controls):
    return process_file(Job(source, target, residual, kind), session, "cpu", vector, Controls(**controls))


def read(path):
    return soundfile.read(path, dtype="float32", always_2d=True)[0]


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 32_000, 44_100, 48_000, 96_000, 192_000])
@pytest.mark.parametrize("subtype", ["FLOAT", "PCM_16", "PCM_24"])
def test_target_and_residual_add_up_at_every_rate(session, vector, tmp_path, rate, subtype):
    x = 0.4 * np.random.default_rng(1).standard_normal((int(0.3 * rate) + 7, 1)).clip(-2, 2)
    soundfile.write(tmp_path / "x.wav", x, rate, subtype=subtype)
    separate(session, vector, tmp_path / "x.wav", tmp_path / "y.wav", tmp_path / "r.wav")
    y, rest, x = read(tmp_path / "y.wav"), read(tmp_path / "r.wav"), read(tmp_path / "x.wav")
    assert soundfile.info(tmp_path / "y.wav").subtype == subtype
    assert np.abs(y).max() > 0.01
    steps = {"FLOAT": 1e-6, "PCM_16": 1.01 / (1 << 15), "PCM_24": 2.01 / (1 << 23)}
    np.testing.assert_allclose(y + rest, x, atol=steps[subtype])


@pytest.mark.parametrize("rate", [44_100, 48_000, 96_000])
def test_a_mix_of_zero_is_the_input_itself(session, vector, tmp_path, rate):
    x = np.random.default_rng(1).integers(-(1 << 15), 1 << 15, (20_000, 2), dtype=np.int16)
    soundfile.write(tmp_path / "x.wav", x, rate)
    separate(session, vector, tmp_path / "x.wav", tmp_path / "y.wav", wet=0.0)
    np.testing.assert_array_equal(soundfile.read(tmp_path / "y.wav", dtype="int16")[0], x)


def test_what_lies_above_the_models_band_passes_with_the_dry_path(session, vector, tmp_path):
    t = np.arange(96_000) / 96_000
    soundfile.write(tmp_path / "x.wav", 0.25 * np.sin(2 * np.pi * 35_000 * t), 96_000, subtype="FLOAT")

    def level(**controls):
        separate(session, vector, tmp_path / "x.wav", tmp_path / "y.wav", **controls)
        return float(np.abs(read(tmp_path / "y.wav")[20_000:-20_000]).max())

    assert level() < 1e-3  # the target holds none of it
    assert level(remove=True) == pytest.approx(0.25, abs=1e-3)  # the residual all of it
    assert level(limit_db=20.0) == pytest.approx(0.025, abs=1e-3)  # the limit as much as it lets pass
    assert level(wet=0.5) == pytest.approx(0.125, abs=1e-3)


def test_six_channels_share_one_mask(session, vector, tmp_path):
    """Six copies come out as one channel does; scaled copies as that channel scaled."""
    x = mixture(RATE)
    scales = np.array([1.0, 0.5, 0.25, 0.0, -0.5, 0.75], np.float32)
    soundfile.write(tmp_path / "one.wav", x, RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "copies.wav", np.repeat(x[:, None], 6, 1), RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "scaled.wav", x[:, None] * scales, RATE, subtype="FLOAT")
    for name in ("one", "copies", "scaled"):
        separate(session, vector, tmp_path / f"{name}.wav", tmp_path / f"{name}.out.wav")
    one, copies, scaled = (read(tmp_path / f"{n}.out.wav") for n in ("one", "copies", "scaled"))
    assert np.abs(one).max() > 0.01
    np.testing.assert_allclose(copies, np.repeat(one, 6, 1), atol=1e-4)
    np.testing.assert_allclose(scaled, scaled[:, :1] * scales, atol=1e-4)


def chunk(name, body):
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def broadcast_wave(channels=1):
    """A 16-bit WAV with bext and INFO, and for six channels with their positions."""
    x = np.round(0.3 * mixture(RATE // 2) * 32767).astype("<i2")
    data = np.repeat(x[:, None], channels, 1).tobytes()
    align = 2 * channels
    if channels == 1:
        fmt = struct.pack("<HHIIHH", 1, 1, RATE, RATE * align, align, 16)
    else:
        guid = struct.pack("<H", 1) + bytes.fromhex("000000001000800000aa00389b71")
        fmt = struct.pack("<HHIIHHHHI", 0xFFFE, channels, RATE, RATE * align, align, 16, 22, 16, 0x3F) + guid
    bext = b"A take".ljust(256, b"\0") + b"me".ljust(32, b"\0") + b"ref".ljust(32, b"\0")
    bext += b"2026-01-02" + b"03:04:05" + struct.pack("<IIH", 172_800_000, 1, 1) + b"\0" * 254
    info = chunk(b"LIST", b"INFO" + chunk(b"INAM", b"A title\0"))
    body = b"WAVE" + chunk(b"fmt ", fmt) + chunk(b"bext", bext) + info + chunk(b"data", data)
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize("channels", [1, 6])
def test_tags_broadcast_time_and_positions_are_kept(session, vector, tmp_path, channels):
    (tmp_path / "x.wav").write_bytes(broadcast_wave(channels))
    separate(session, vector, tmp_path / "x.wav", tmp_path / "y.wav")
    content = (tmp_path / "y.wav").read_bytes()
    at = content.index(b"bext") + 8
    assert content[at : at + 6] == b"A take"
    assert content[at + 320 : at + 338] == b"2026-01-0203:04:05"
    assert struct.unpack_from("<II", content, at + 338) == (172_800_000, 1)
    with open_source(tmp_path / "x.wav") as before, open_source(tmp_path / "y.wav") as after:
        assert after.metadata.tags == before.metadata.tags == {"title": "A title"}
        assert after.metadata.positions == before.metadata.positions
        assert bool(after.metadata.positions) == (channels > 2)


@pytest.mark.parametrize(
    ("subtype", "kept"),
    [
        ("PCM_U8", "PCM_16"),
        ("PCM_16", "PCM_16"),
        ("PCM_24", "PCM_24"),
        ("PCM_32", "PCM_32"),
        ("FLOAT", "FLOAT"),
        ("DOUBLE", "FLOAT"),
        ("ULAW", "PCM_16"),
    ],
)
def test_wav_keeps_the_sample_format_of_the_input(session, vector, tmp_path, subtype, kept):
    soundfile.write(tmp_path / "x.wav", 0.3 * mixture(5000), RATE, subtype=subtype)
    separate(session, vector, tmp_path / "x.wav", tmp_path / "y.wav")
    assert soundfile.info(tmp_path / "y.wav").subtype == kept
    separate(session, vector, tmp_path / "x.wav", tmp_path / "z.wav", kind="wav24")
    assert soundfile.info(tmp_path / "z.wav").subtype == "PCM_24"


def test_clipping_is_said_with_the_way_out(session, vector, tmp_path):
    soundfile.write(tmp_path / "x.wav", 0.9 * np.sign(mixture(RATE)), RATE, subtype="PCM_16")
    loud = separate(session, vector, tmp_path / "x.wav", tmp_path / "y.wav", wet=0.0, gain_db=6.0)
    assert loud.notes == (
        f"47999 of 48000 samples of {tmp_path / 'y.wav'} clip, by up to 5.1 dB; use --gain 0.9 or --format "
        "wav32 (float WAV)",
    )
    assert np.abs(read(tmp_path / "y.wav")).max() > 0.999
    # both ways lead out
    for name, settings in (("a", {"gain_db": 0.9}), ("b", {"gain_db": 6.0, "kind": "wav32"})):
        calm = separate(session, vector, tmp_path / "x.wav", tmp_path / f"{name}.wav", wet=0.0, **settings)
        assert calm.notes == ()


def test_advice_against_clipping_is_one_that_helps(session, vector, tmp_path):
    """The residual is the input without the output: less gain makes it louder. Gain ends at -60 dB."""
    soundfile.write(tmp_path / "x.wav", 1.5 * np.sign(mixture(9_600)), RATE, subtype="FLOAT")
    job = Job(tmp_path / "x.wav", tmp_path / "y.wav", tmp_path / "r.wav", "wav16")
    notes = process_file(job, session, "cpu", vector, Controls(wet=0.0, gain_db=-60.0)).notes
    assert len(notes) == 1
    assert notes[0].endswith("r.wav clip, by up to 3.6 dB; use --format wav32 (float WAV)")
    soundfile.write(tmp_path / "x.wav", 1e5 * np.sign(mixture(9_600)), RATE, subtype="FLOAT")
    huge = separate(session, vector, tmp_path / "x.wav", tmp_path / "h.wav", kind="wav16", wet=0.0)
    assert huge.notes[0].endswith("clip, by up to 100 dB; use --format wav32 (float WAV)")


@needs_ffmpeg
def test_a_video_cannot_be_a_float_wav(session, vector, tmp_path):
    source = video(tmp_path / "in.mp4", tone(440, 1.0), RATE, "-c:v", "mpeg4", "-c:a", "aac")
    loud = separate(session, vector, source, tmp_path / "out.mp4", wet=0.0, gain_db=20.0)
    assert re.fullmatch(
        r"\d+ of \d+ samples of .*out\.mp4 clip, by up to .* dB; use --gain \S+", loud.notes[0]
    )


def test_absurd_samples_do_not_stay_in_the_model(session, vector, tmp_path):
    x = mixture(RATE)
    x[1000] = 1e30
    soundfile.write(tmp_path / "x.wav", x, RATE, subtype="FLOAT")
    separate(session, vector, tmp_path / "x.wav", tmp_path / "y.wav")
    assert np.all(np.isfinite(read(tmp_path / "y.wav")))
