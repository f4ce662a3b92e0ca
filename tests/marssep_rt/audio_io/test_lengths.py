"""Files whose headers give a wrong length or none: all of the sound is read, or what is missing is said."""

import struct

import numpy as np
import pytest
import soundfile

from ffmpeg_files import encoded, needs_ffmpeg
from marssep_rt.audio_io import mp3_frames
from marssep_rt.audio_io.reader import open_source
from signals import RATE, mixture, tone

HALF = RATE // 2


def read_all(path, block=4096):
    """Samples [n, C] and the notes."""
    with open_source(path) as source:
        blocks = [source.read(block)]
        while len(blocks[-1]) == block:
            blocks.append(source.read(block))
        return np.concatenate(blocks), source.notes


def chunk(name, body, size=None):
    return name + struct.pack("<I", len(body) if size is None else size) + body + b"\0" * (len(body) % 2)


def pcm(x):
    return np.round(x * 32767).astype("<i2").tobytes()


FMT = chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16))


def wave(*chunks, head=b"RIFF", size=None):
    body = b"WAVE" + b"".join(chunks)
    return head + struct.pack("<I", len(body) if size is None else size) + body


def ds64(samples):
    return chunk(b"ds64", struct.pack("<QQQI", 2 * samples + 80, 2 * samples, samples, 0))


def wave_files():
    """Name -> the bytes of a file that holds half a second, whatever its header says."""
    data = pcm(mixture(HALF))
    rest = chunk(b"LIST", b"INFO" + chunk(b"INAM", b"A title\0"))
    id3 = b"ID3\3\0\0\0\0\0\x15TIT2\0\0\0\x0b\0\0\0Test title"
    all_of_it = 0xFFFFFFFF
    return {
        "crashed": wave(FMT, chunk(b"data", data, 0), size=0),
        "crashed_with_riff_size": wave(FMT, chunk(b"data", data, 0), size=36),
        "streamed": wave(FMT, chunk(b"data", data, all_of_it), size=all_of_it),
        "bw64": wave(ds64(HALF), FMT, chunk(b"data", data, all_of_it), head=b"BW64", size=all_of_it),
        "rf64": wave(ds64(HALF), FMT, chunk(b"data", data, all_of_it), head=b"RF64", size=all_of_it),
        "crashed_rf64": wave(ds64(0), FMT, chunk(b"data", data, all_of_it), head=b"RF64", size=all_of_it),
        "data_first": wave(chunk(b"data", data), FMT),
        "tags_behind": wave(FMT, chunk(b"data", data), rest),
        "garbage_behind": wave(FMT, chunk(b"data", data)) + b"\xde\xad\xbe\xef" * 999,
        "id3_in_front": id3 + wave(FMT, chunk(b"data", data)),
    }


@pytest.mark.parametrize("name", wave_files())
def test_wave_headers_that_mislead(tmp_path, name):
    path = tmp_path / "x.wav"
    path.write_bytes(wave_files()[name])
    samples, notes = read_all(path)
    np.testing.assert_allclose(samples[:, 0], mixture(HALF), atol=1e-4)
    assert bool(notes) == name.startswith("crashed")
    assert all("was read to its end" in note for note in notes)


def test_an_empty_wave_file_with_tags_is_no_crashed_recording(tmp_path):
    (tmp_path / "x.wav").write_bytes(wave(FMT, chunk(b"data", b""), chunk(b"LIST", b"INFOINAM\2\0\0\0A\0")))
    with pytest.raises(Exception, match="holds no samples"):
        open_source(tmp_path / "x.wav")


def test_a_wave_file_that_is_cut_off_says_what_is_missing(tmp_path):
    whole = wave(FMT, chunk(b"data", pcm(mixture(4 * RATE))))
    (tmp_path / "x.wav").write_bytes(whole[: 44 + 2 * RATE])
    samples, notes = read_all(tmp_path / "x.wav")
    assert len(samples) == RATE
    assert notes == ["the file is cut off: the last 3.0 of 4.0 s are missing"]


def test_a_wave_file_beyond_4_gb_whose_size_has_wrapped(tmp_path):
    """A sparse file: 4 GiB and one second of sound under a header that says one second."""
    path = tmp_path / "x.wav"
    extra = 2 * RATE
    path.write_bytes(wave(FMT, b"data" + struct.pack("<I", extra)))
    with open(path, "r+b") as file:
        try:
            file.truncate(44 + (1 << 32) + extra)
        except OSError:
            pytest.skip("no sparse files of this size here")
    with open_source(path) as source:
        assert source.frames == ((1 << 32) + extra) // 2


def test_caf_from_a_pipe(tmp_path):
    path = tmp_path / "x.caf"
    soundfile.write(path, mixture(HALF), RATE, subtype="PCM_16")
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 8] = struct.pack(">q", -1)
    path.write_bytes(content)
    samples, notes = read_all(path)
    np.testing.assert_allclose(samples[:, 0], mixture(HALF), atol=1e-4)
    assert notes == []


@pytest.mark.parametrize(
    ("name", "kind"),
    [("x.ogg", "VORBIS"), ("x.ogg", "OPUS"), ("x.flac", "PCM_16"), ("x.mp3", "MPEG_LAYER_III")],
)
def test_files_that_were_put_together(tmp_path, name, kind):
    """What ``cat`` and internet radio make: every part is heard."""
    parts = []
    for hz in (300, 900, 2700):
        soundfile.write(tmp_path / name, tone(hz, 0.5), RATE, subtype=kind)
        parts.append((tmp_path / name).read_bytes())
    (tmp_path / name).write_bytes(b"".join(parts))
    samples, notes = read_all(tmp_path / name)
    assert notes == []
    assert abs(len(samples) / RATE - 1.5) < (0.2 if "mp3" in name else 1e-6)  # encoders of MP3 add silence
    end = np.abs(np.fft.rfft(samples[-HALF // 2 : -HALF // 4, 0]))
    assert abs(np.argmax(end) * RATE / (HALF // 4) - 2700) < 20


def test_a_part_of_another_kind_is_left_out_and_said(tmp_path):
    soundfile.write(tmp_path / "a.flac", tone(300, 0.5), RATE)
    soundfile.write(tmp_path / "b.flac", tone(300, 0.5, 44_100), 44_100)
    joined = (tmp_path / "a.flac").read_bytes() + (tmp_path / "b.flac").read_bytes()
    (tmp_path / "c.flac").write_bytes(joined)
    samples, notes = read_all(tmp_path / "c.flac")
    assert len(samples) == HALF
    assert len(notes) == 1
    assert "after 0.5 s has another sample rate" in notes[0]


def test_flac_without_a_length(tmp_path):
    """As encoders write it into a pipe."""
    path = tmp_path / "x.flac"
    soundfile.write(path, mixture(3 * HALF), RATE, subtype="PCM_16")
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0  # the count of samples in STREAMINFO
    content[22:26] = b"\0\0\0\0"
    path.write_bytes(content)
    samples, notes = read_all(path)
    np.testing.assert_allclose(samples[:, 0], mixture(3 * HALF), atol=1e-4)
    assert notes == []


def varying(seconds):
    """Noise, then a soft tone: an encoder of variable rate needs far fewer bits for the second part."""
    noise = 0.5 * np.random.default_rng(3).uniform(-1, 1, int(0.2 * seconds * RATE))
    return np.concatenate([noise, 0.1 * tone(440, 0.8 * seconds)])


@needs_ffmpeg
@pytest.mark.parametrize("rate", [48_000, 22_050])
@pytest.mark.parametrize("how", [("-q:a", "5"), ("-b:a", "64k")])
def test_mp3_without_a_length(tmp_path, how, rate):
    path = encoded(tmp_path / "x.mp3", varying(6), RATE, *how, "-ar", str(rate), "-write_xing", "0")
    samples, notes = read_all(path)
    assert 0 <= len(samples) / rate - 6.0 < 0.15
    assert notes == []


@needs_ffmpeg
def test_mp3_that_is_cut_off(tmp_path):
    path = encoded(tmp_path / "x.mp3", tone(440, 6), RATE, "-b:a", "64k")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 3])
    samples, notes = read_all(path)
    assert 1.7 < len(samples) / RATE < 2.1
    assert np.abs(samples[-RATE // 10 :]).max() > 0.1  # sound to the end and no silence
    assert len(notes) == 1
    assert "cut off: it ends after 2.0 of 6.0 s" in notes[0]


def test_a_whole_mp3_is_read_as_it_is(tmp_path):
    soundfile.write(tmp_path / "x.mp3", mixture(RATE), RATE)
    with open(tmp_path / "x.mp3", "rb") as file:
        size = (tmp_path / "x.mp3").stat().st_size
        layout = mp3_frames.examine(file, size)
    assert [(p.start, p.end, p.head) for p in layout.parts] == [(0, size, b"")]


@pytest.mark.parametrize(
    ("header", "size", "samples", "rate"),
    [
        ("fffb9064", 417, 1152, 44_100),  # MPEG-1, 128 kbit/s
        ("fffb9264", 418, 1152, 44_100),  # the same, padded
        ("fff38064", 208, 576, 22_050),  # MPEG-2, 64 kbit/s
        ("ffe38868", 576, 576, 8_000),  # MPEG-2.5
    ],
)
def test_headers_of_mp3_frames(header, size, samples, rate):
    frame = mp3_frames.frame_of(bytes.fromhex(header))
    assert (frame.size, frame.samples, frame.rate) == (size, samples, rate)


@pytest.mark.parametrize("header", ["fffd9064", "fff1508c", "fffbf064", "00000000", "fffb"])
def test_what_is_no_mp3_frame(header):
    """Layer II, AAC in ADTS, a bit rate that does not exist, nothing, too little."""
    assert mp3_frames.frame_of(bytes.fromhex(header)) is None
