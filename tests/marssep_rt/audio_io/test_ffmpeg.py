"""What ffmpeg reads and writes for us, and what is said where it is not installed."""

import numpy as np
import pytest
import soundfile

from ffmpeg_files import encoded, needs_ffmpeg, streams, video
from marssep_rt.audio_io import ffmpeg
from marssep_rt.audio_io.reader import open_source
from marssep_rt.batch.gather import gather
from marssep_rt.batch.plan import Job, plan
from marssep_rt.batch.separate import process_file
from marssep_rt.dsp.mixer import Controls
from marssep_rt.errors import AudioFileError, UsageError
from signals import RATE, tone


def read_all(path):
    with open_source(path) as source:
        blocks = [source.read(5000)]
        while len(blocks[-1]) == 5000:
            blocks.append(source.read(5000))
        return np.concatenate(blocks), source


def dry(job, session, vector):
    """The input through the whole chain, unchanged."""
    return process_file(job, session, "cpu", vector, Controls(wet=0.0))


@needs_ffmpeg
@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("x.m4a", ("-c:a", "aac")),
        ("x.aac", ("-c:a", "aac")),
        ("x.wma", ()),
        ("x.mka", ("-c:a", "ac3")),
        ("- :x.m4a", ("-c:a", "aac")),
    ],
)
def test_sound_files(tmp_path, name, how):
    x = np.stack([tone(440, 2.0), 0.5 * tone(900, 2.0)], axis=1)
    encoded(tmp_path / "made.mka" if name.startswith("-") else tmp_path / name, x, RATE, *how)
    if name.startswith("-"):
        (tmp_path / "made.mka").rename(tmp_path / name)
    samples, source = read_all(tmp_path / name)
    assert (source.samplerate, source.channels, source.subtype) == (RATE, 2, "FLOAT")
    assert abs(len(samples) / RATE - 2.0) < 0.1
    middle = np.abs(np.fft.rfft(samples[RATE // 2 : RATE, 1]))
    assert abs(2 * np.argmax(middle) - 900) <= 4


@needs_ffmpeg
def test_lossless_codecs_keep_their_bits(tmp_path):
    x = tone(440, 1.0)
    encoded(tmp_path / "x.m4a", x, RATE, "-c:a", "alac", "-metadata", "title=Takt")
    samples, source = read_all(tmp_path / "x.m4a")
    assert (source.subtype, source.metadata.tags["title"]) == ("PCM_16", "Takt")
    np.testing.assert_allclose(samples[: len(x), 0], x, atol=1e-4)


@needs_ffmpeg
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_video_keeps_its_picture(tmp_path, session, vector, suffix):
    source = video(tmp_path / f"in{suffix}", tone(440, 2.0), RATE, "-c:v", "mpeg4", "-c:a", "aac")
    target = tmp_path / f"out{suffix}"
    dry(Job(source, target, None), session, vector)
    assert sorted(streams(target)) == ["audio", "video"]
    before, after = read_all(source)[0], read_all(target)[0]
    assert abs(len(before) - len(after)) < 3000
    middle = np.abs(np.fft.rfft(after[RATE // 2 : RATE, 0]))
    assert abs(2 * np.argmax(middle) - 440) <= 4
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([source.name, target.name])


@needs_ffmpeg
def test_sound_stays_beside_a_picture_that_begins_earlier(tmp_path, session, vector):
    """The sound begins 0.5 s after the picture, in the output as in the input."""
    source = video(tmp_path / "a.mp4", tone(440, 2.0), RATE, "-c:v", "mpeg4", "-c:a", "aac")
    late = tmp_path / "late.mkv"
    command = ["ffmpeg", "-v", "error", "-i", str(source), "-itsoffset", "0.5", "-i", str(source)]
    command += ["-map", "0:v", "-map", "1:a", "-c", "copy", str(late)]
    ffmpeg.subprocess.run(command, check=True, stdin=ffmpeg.subprocess.DEVNULL)
    assert ffmpeg.probe(late).offset == pytest.approx(0.5, abs=0.05)
    dry(Job(late, tmp_path / "out.mkv", None), session, vector)
    assert ffmpeg.probe(tmp_path / "out.mkv").offset == pytest.approx(0.5, abs=0.05)


@needs_ffmpeg
def test_the_sound_of_a_video_as_a_sound_file(tmp_path, session, vector):
    source = video(tmp_path / "in.webm", tone(440, 1.0), RATE, "-c:v", "libvpx", "-c:a", "libopus")
    (job,) = plan([source], None, False, False, None)
    assert job.output.name == "in.marssep.wav"
    dry(job, session, vector)
    assert soundfile.info(job.output).frames == pytest.approx(RATE, abs=2000)
    dry(Job(source, tmp_path / "y.m4a", None), session, vector)
    assert streams(tmp_path / "y.m4a") == ["audio"]


@needs_ffmpeg
def test_a_video_from_a_sound_is_refused_and_leaves_nothing(tmp_path, session, vector):
    soundfile.write(tmp_path / "x.wav", tone(440, 0.5), RATE)
    with pytest.raises(AudioFileError, match="has no picture for a MP4 file"):
        dry(Job(tmp_path / "x.wav", tmp_path / "x.mp4", None), session, vector)
    assert [p.name for p in tmp_path.iterdir()] == ["x.wav"]


@needs_ffmpeg
def test_a_codec_that_the_container_does_not_hold(tmp_path, session, vector):
    source = video(tmp_path / "in.mp4", tone(440, 0.5), RATE, "-c:v", "mpeg4", "-c:a", "aac")
    with pytest.raises(AudioFileError, match=r"out\.webm: (could not be finished|writing failed)"):
        dry(Job(source, tmp_path / "out.webm", None), session, vector)
    assert [p.name for p in tmp_path.iterdir()] == ["in.mp4"]


@needs_ffmpeg
def test_a_picture_without_sound_and_a_text(tmp_path):
    video(tmp_path / "a.mp4", tone(440, 0.5), RATE, "-c:v", "mpeg4", "-an")
    with pytest.raises(AudioFileError, match=r"a\.mp4: holds no sound"):
        open_source(tmp_path / "a.mp4")
    (tmp_path / "b.mp4").write_text("hello " * 1000)
    with pytest.raises(AudioFileError, match=r"b\.mp4: not a sound file"):
        open_source(tmp_path / "b.mp4")


@needs_ffmpeg
def test_a_recording_that_was_cut_off(tmp_path):
    path = encoded(tmp_path / "x.mka", tone(440, 6.0), RATE, "-c:a", "aac")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    samples, source = read_all(path)
    assert 2.0 < len(samples) / RATE < 4.0
    assert "cut off: its sound ends after" in source.notes[0]


def test_without_ffmpeg_the_way_out_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("memo.m4a", "clip.MP4"):
        (folder / name).write_bytes(b"\0\0\0\x1cftypM4A ")
    with pytest.raises(AudioFileError, match=r"memo\.m4a: \.m4a files are read through ffmpeg.*apt install"):
        open_source(folder / "memo.m4a")
    with pytest.raises(UsageError, match=r"no sound files there; skipped 2 files \(1 \.m4a, 1 \.mp4\): need"):
        plan([folder], None, True, False, None)
    soundfile.write(folder / "x.wav", tone(440, 0.5), RATE)
    found = gather([folder], False)
    assert [p.name for p, _ in found.files] == ["x.wav"]
    assert "need ffmpeg; install it (apt install ffmpeg" in found.sentences()[0]


def test_without_ffmpeg_m4a_is_not_written(tmp_path, monkeypatch, session, vector):
    monkeypatch.setenv("PATH", str(tmp_path))
    soundfile.write(tmp_path / "x.wav", tone(440, 0.5), RATE)
    with pytest.raises(AudioFileError, match="M4A is written through ffmpeg, which is not installed"):
        dry(Job(tmp_path / "x.wav", tmp_path / "x.m4a", None), session, vector)
