"""Files: rates, lengths, channels, alignment, names, and everything that can be wrong with them."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from marssep_rt import Separator
from marssep_rt.audio_io import destination
from marssep_rt.audio_io.reader import open_source
from marssep_rt.batch.plan import Job, check_job, plan
from marssep_rt.batch.separate import process_file
from marssep_rt.cli.file import cores
from marssep_rt.dsp.mixer import Controls
from marssep_rt.errors import AudioFileError, UsageError
from marssep_rt.query.types import Query
from signals import RATE, mixture


def process(session, vector, source, target, residual=None, controls=None):
    return process_file(Job(source, target, residual), session, "cpu", vector, controls or Controls())


@pytest.mark.parametrize("samples", [1, 479, 480, 481, 15_359, 15_360, 15_361, 50_000])
def test_length_and_alignment_at_48k(session, vector, tmp_path, samples):
    x = mixture(samples)
    soundfile.write(tmp_path / "x.wav", x, RATE, subtype="FLOAT")
    process(session, vector, tmp_path / "x.wav", tmp_path / "y.wav", tmp_path / "r.wav")
    y, rate = soundfile.read(tmp_path / "y.wav", dtype="float32")
    rest, _ = soundfile.read(tmp_path / "r.wav", dtype="float32")
    assert (rate, len(y), len(rest)) == (RATE, samples, samples)
    np.testing.assert_allclose(y + rest, x, atol=1e-5)
    s = Separator(vector)
    face = np.concatenate([s.process(x), s.flush()])[s.latency :]
    np.testing.assert_allclose(y, face, atol=1e-5)


def test_a_doubted_query_brings_its_limit(session, vector, tmp_path):
    """As if the user had set it, and only where the user has set none."""
    soundfile.write(tmp_path / "x.wav", mixture(50_000), RATE, subtype="FLOAT")
    doubted = Query(vector, "", "geyser", limit_db=12.0)
    outputs = [
        process_and_read(session, query, tmp_path, controls)
        for query, controls in (
            (doubted, Controls()),
            (vector, Controls(limit_db=12.0)),
            (doubted, Controls(limit_db=30.0)),
            (vector, Controls(limit_db=30.0)),
        )
    ]
    np.testing.assert_array_equal(outputs[0], outputs[1])
    np.testing.assert_array_equal(outputs[2], outputs[3])
    assert np.abs(outputs[0] - outputs[2]).max() > 1e-3


def process_and_read(session, query, folder, controls):
    process(session, query, folder / "x.wav", folder / "y.wav", controls=controls)
    return soundfile.read(folder / "y.wav", dtype="float32")[0]


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 96_000, 192_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_other_rates_keep_length_rate_and_alignment(session, vector, tmp_path, rate, channels):
    samples = int(0.7 * rate) + 3
    t = np.arange(samples) / rate
    x = (0.3 * np.sin(2 * np.pi * 440 * t) * np.hanning(samples)).astype(np.float32)
    x = np.stack([x * (1 - 0.5 * c) for c in range(channels)], axis=1)
    soundfile.write(tmp_path / "x.wav", x, rate, subtype="FLOAT")
    process(session, vector, tmp_path / "x.wav", tmp_path / "y.wav", controls=Controls(wet=0.0))
    y, got = soundfile.read(tmp_path / "y.wav", dtype="float32", always_2d=True)
    assert (got, y.shape) == (rate, x.shape)
    np.testing.assert_allclose(y, x, atol=2e-3)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("x.flac", "PCM_16"), ("x.ogg", "VORBIS"), ("x.mp3", "MPEG_LAYER_III"), ("x.aiff", "PCM_24")],
)
def test_formats_that_libsndfile_reads(session, vector, tmp_path, name, kind):
    soundfile.write(tmp_path / name, 0.5 * mixture(30_000), RATE, subtype=kind)
    process(session, vector, tmp_path / name, tmp_path / "y.flac")
    info = soundfile.info(tmp_path / "y.flac")
    assert info.subtype == "PCM_24"
    assert info.samplerate == RATE
    assert info.frames == soundfile.info(tmp_path / name).frames


def test_nan_samples_are_counted_and_silent(session, vector, tmp_path):
    x = mixture(20_000)
    x[500:503] = np.nan
    soundfile.write(tmp_path / "x.wav", x, RATE, subtype="FLOAT")
    outcome = process(session, vector, tmp_path / "x.wav", tmp_path / "y.wav")
    assert outcome.nan_samples == 3
    assert np.all(np.isfinite(soundfile.read(tmp_path / "y.wav")[0]))


def test_unreadable_sources(tmp_path):
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("hello " * 100)
    soundfile.write(tmp_path / "none.wav", np.zeros(0, np.float32), RATE)
    soundfile.write(tmp_path / "slow.wav", np.zeros(10, np.float32), 4000)
    cases = {"missing.wav": "no such file", "empty.wav": "empty", "text.wav": "not a sound file"}
    cases |= {"none.wav": "no samples", "slow.wav": "4000 Hz"}
    for name, words in cases.items():
        with pytest.raises(AudioFileError, match=words) as e:
            open_source(tmp_path / name)
        assert name in str(e.value)


def test_a_truncated_file_leaves_nothing_half_done(session, vector, tmp_path):
    soundfile.write(tmp_path / "x.flac", mixture(100_000), RATE)
    data = (tmp_path / "x.flac").read_bytes()
    (tmp_path / "x.flac").write_bytes(data[: len(data) // 2])
    with pytest.raises(AudioFileError, match=r"x\.flac"):
        process(session, vector, tmp_path / "x.flac", tmp_path / "y.wav")
    assert [p.name for p in tmp_path.iterdir()] == ["x.flac"]


def test_full_disk(session, vector, tmp_path, monkeypatch):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    soundfile.write(tmp_path / "x.wav", mixture(100_000), RATE)
    (tmp_path / "full").symlink_to("/dev/full")
    monkeypatch.setattr(destination, "partial_path", lambda _: tmp_path / "full")
    with pytest.raises(AudioFileError, match="no space left on device"):
        process(session, vector, tmp_path / "x.wav", tmp_path / "y.wav")
    assert not (tmp_path / "y.wav").exists()


def test_plan_of_names(tmp_path):
    for name in ("a.wav", "b.flac", "sub/c.ogg", "a.marssep.wav", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    beside = plan([tmp_path / "a.wav"], None, False, True, "wav")
    assert [(j.output.name, j.residual.name) for j in beside] == [("a.marssep.wav", "a.residual.wav")]
    assert [j.output.name for j in plan([tmp_path], None, False, False, "flac")] == [
        "a.marssep.flac",
        "b.marssep.flac",
    ]
    deep = plan([tmp_path], str(tmp_path / "out") + "/", True, False, "wav")
    assert [j.output.relative_to(tmp_path / "out").as_posix() for j in deep] == [
        "a.wav",
        "b.wav",
        "sub/c.wav",
    ]
    assert (
        plan([tmp_path / "a.wav"], str(tmp_path / "z.flac"), False, False, None)[0].output
        == tmp_path / "z.flac"
    )
    with pytest.raises(UsageError, match="no sound files"):
        plan([tmp_path / "sub"], None, False, False, "wav") if not (tmp_path / "sub/c.ogg").unlink() else None
    (tmp_path / "a.flac").touch()
    twins = plan([tmp_path / "a.wav", tmp_path / "a.flac"], str(tmp_path / "o") + "/", False, False, "wav")
    assert [j.output.name for j in twins] == ["a.wav.wav", "a.flac.wav"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.wav").touch()
    with pytest.raises(UsageError, match="both"):
        plan([tmp_path / "a.wav", tmp_path / "other" / "a.wav"], str(tmp_path / "o"), False, False, None)
    with pytest.raises(UsageError, match=r"z\.doc: outputs end in \.wav, \.flac"):
        plan([tmp_path / "a.wav"], str(tmp_path / "z.doc"), False, False, None)


def test_nothing_is_overwritten_unasked(tmp_path):
    (tmp_path / "a.wav").touch()
    (tmp_path / "b.wav").touch()
    with pytest.raises(AudioFileError, match="replace the input"):
        check_job(Job(tmp_path / "a.wav", tmp_path / "a.wav", None), overwrite=True)
    with pytest.raises(AudioFileError, match="--overwrite"):
        check_job(Job(tmp_path / "a.wav", tmp_path / "b.wav", None), overwrite=False)
    check_job(Job(tmp_path / "a.wav", tmp_path / "b.wav", None), overwrite=True)


@pytest.mark.slow
def test_memory_does_not_grow_with_length(tmp_path):
    """Ten minutes of stereo are 230 MB; the process may grow by a small part of that."""
    if not Path("/proc/self/status").exists():
        pytest.skip("no /proc here")
    # not ru_maxrss, which a child inherits from whoever forked it
    code = (
        "import sys; from marssep_rt.cli.file import app\n"
        "try: app(['--query', 'rain', sys.argv[1], '-o', sys.argv[2]])\n"
        "except SystemExit: pass\n"
        "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    )
    peaks = []
    for minutes in (0.1, 3):
        path = tmp_path / f"{minutes}.wav"
        with soundfile.SoundFile(path, "w", RATE, 2, subtype="PCM_16") as f:
            for _ in range(int(minutes * 10)):
                f.write(np.zeros((6 * RATE, 2), np.float32))
        done = subprocess.run(
            [sys.executable, "-c", code, str(path), str(tmp_path / "o.wav")],
            capture_output=True,
            text=True,
            check=True,
        )
        (tmp_path / "o.wav").unlink()
        peaks.append(int(done.stdout.split()[-1]) / 1024)
    assert peaks[1] < 400
    assert peaks[1] - peaks[0] < 30


def test_jobs_follow_the_cores_that_are_allowed(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3}, raising=False)
    assert cores() == 1
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert cores() == (os.cpu_count() or 1)
