"""Standard input and output, pipes, odd names, hidden files, the same file twice."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from marssep_rt.audio_io.streams import STANDARD, spooled
from marssep_rt.batch.gather import gather
from marssep_rt.batch.plan import Job, check_job, plan
from marssep_rt.batch.report import Report
from marssep_rt.batch.separate import process_file
from marssep_rt.dsp.mixer import Controls
from marssep_rt.errors import AudioFileError, UsageError
from signals import RATE, mixture

BIN = Path(sys.executable).parent
needs_fifos = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no fifos here")


def dry(job, session, vector):
    return process_file(job, session, "cpu", vector, Controls(wet=0.0))


@pytest.fixture
def wav(tmp_path):
    soundfile.write(tmp_path / "x.wav", 0.3 * mixture(RATE // 2), RATE)
    return tmp_path / "x.wav"


def test_standard_input_and_output_of_the_command(wav, tmp_path):
    command = [BIN / "marssep-file", "--query", "rain", "--wet", "0", "-", "-o", "-"]
    done = subprocess.run(command, cwd=tmp_path, input=wav.read_bytes(), capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    got, rate = soundfile.read(io.BytesIO(done.stdout), dtype="int16")
    assert rate == RATE
    np.testing.assert_array_equal(got, soundfile.read(wav, dtype="int16")[0])
    assert [p.name for p in tmp_path.iterdir()] == ["x.wav"]


@pytest.mark.parametrize("more", [["-"], ["--audio", "-"]])
def test_standard_input_is_named_once(more, tmp_path):
    command = [BIN / "marssep-file", "--query", "rain", "-", *more, "-o", "y/"]
    done = subprocess.run(command, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
    assert done.returncode == 2
    said = " ".join(done.stderr.decode().split())
    assert said == "error: standard input (-) is named more than once, and it can be read only once"
    assert list(tmp_path.iterdir()) == []


def test_standard_input_into_a_file_of_any_format(wav, tmp_path, session, vector, monkeypatch):
    soundfile.write(tmp_path / "in.flac", 0.3 * mixture(RATE // 2), RATE)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=open(tmp_path / "in.flac", "rb")))  # noqa: SIM115
    (job,) = plan([STANDARD], str(tmp_path / "y.ogg"), False, False, None)
    dry(job, session, vector)
    sys.stdin.buffer.close()
    assert soundfile.info(tmp_path / "y.ogg").frames == RATE // 2


@needs_fifos
def test_fifos(wav, tmp_path, session, vector):
    """Both ends are fifos, as in a shell's <( ) and >( ); they are fifos afterwards, too."""
    source, target = tmp_path / "in", tmp_path / "out"
    os.mkfifo(source)
    os.mkfifo(target)
    got = []
    threads = [
        threading.Thread(target=lambda: source.write_bytes(wav.read_bytes()), daemon=True),
        threading.Thread(target=lambda: got.append(target.read_bytes()), daemon=True),
    ]
    for thread in threads:
        thread.start()
    (job,) = plan([source], str(target), False, False, "wav")
    dry(job, session, vector)
    for thread in threads:
        thread.join(30)
    samples, _ = soundfile.read(io.BytesIO(got[0]), dtype="int16")
    np.testing.assert_array_equal(samples, soundfile.read(wav, dtype="int16")[0])
    assert source.is_fifo()
    assert target.is_fifo()


@needs_fifos
def test_an_empty_pipe(tmp_path, session, vector):
    os.mkfifo(tmp_path / "in")
    thread = threading.Thread(target=lambda: (tmp_path / "in").write_bytes(b""), daemon=True)
    thread.start()
    with pytest.raises(AudioFileError, match="in: the file is empty"):
        dry(Job(tmp_path / "in", tmp_path / "y.wav", None), session, vector)
    thread.join(30)


def test_what_streams_cannot_do(wav, tmp_path):
    with pytest.raises(UsageError, match="the residual needs a second name"):
        plan([wav], "-", False, True, None)
    assert plan([STANDARD], None, False, False, None)[0].output == STANDARD
    assert plan([STANDARD], str(tmp_path) + "/", False, False, "flac")[0].output == tmp_path / "stdin.flac"
    check_job(Job(STANDARD, STANDARD, None), overwrite=False)


NAMES = ["plain.wav", "c].wav", ":smile:.wav", "m" * 243 + ".wav", "n" * 251 + ".wav"]


def test_odd_names_fail_alone_and_the_others_are_done(tmp_path):
    """A name that is not UTF-8, marks of the terminal's markup, names that leave no room for a suffix."""
    folder = tmp_path / "a [b] ["
    folder.mkdir()
    names = [os.fsencode(n) for n in NAMES] + ([b"bad\xff.wav"] if sys.platform == "linux" else [])
    for name in names:
        with open(os.path.join(os.fsencode(folder), name), "wb") as file:
            soundfile.write(file, 0.3 * mixture(2000), RATE, format="WAV")
    command = [BIN / "marssep-file", "--query", "rain", folder, "--report", "r.jsonl"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=120)
    said = done.stderr.decode(errors="replace")
    assert done.returncode == 1, said
    assert said.count("error:") == 1
    assert "n.marssep.wav: file name too long; choose another name with -o" in said
    assert "a [b] [/c].wav ->" in said
    assert ":smile:.wav ->" in said
    made = [n for n in os.listdir(os.fsencode(folder)) if b".marssep" in n]
    assert len(made) == len(names) - 1
    assert not [n for n in os.listdir(os.fsencode(folder)) if n.endswith(b".part")]
    assert (tmp_path / "r.jsonl").read_text(encoding="utf-8").count('"done"') == len(names) - 1


def test_a_folder_says_what_it_skips(tmp_path):
    for name in (
        "a.wav",
        "._a.wav",
        ".b.wav",
        "notes.txt",
        "cover.jpg",
        "back.jpg",
        "my.marssep.wav",
        "LICENCE",
    ):
        (tmp_path / name).touch()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "c.wav").touch()
    found = gather([tmp_path], True)
    assert [p.name for p, _ in found.files] == ["a.wav"]
    assert sorted(found.sentences()) == [
        "skipped 1 file (1 .wav): outputs of earlier runs",
        "skipped 2 files (2 .wav): hidden",
        "skipped 4 files (2 .jpg, 1 .txt, 1 without suffix): no sound files by their names",
    ]


def test_a_hidden_file_that_is_named_is_done(tmp_path):
    (tmp_path / ".b.wav").touch()
    assert [p.name for p, _ in gather([tmp_path / ".b.wav"], False).files] == [".b.wav"]


def test_the_output_folder_inside_the_input_folder_is_no_input(tmp_path):
    for name in ("a.wav", "clean/a.wav", "more/b.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    jobs = plan([tmp_path], str(tmp_path / "clean"), True, False, None)
    assert [j.source.relative_to(tmp_path).as_posix() for j in jobs] == ["a.wav", "more/b.wav"]


def test_the_same_file_twice_is_done_once(tmp_path):
    (tmp_path / "a.wav").touch()
    (tmp_path / "link.wav").symlink_to(tmp_path / "a.wav")
    found = gather([tmp_path / "a.wav", tmp_path / "." / "a.wav", tmp_path / "link.wav", tmp_path], False)
    assert [p.name for p, _ in found.files] == ["a.wav"]
    assert found.sentences() == ["4 inputs were named twice; each is done once"]


def test_names_that_only_look_as_if_they_had_a_suffix(tmp_path):
    (job,) = plan([tmp_path / "take 1.5"], None, False, False, None)
    assert job.output.name == "take 1.5.marssep.wav"
    twins = plan([tmp_path / "a.wav", tmp_path / "a.flac"], None, False, True, None)
    assert [(j.output.name, j.residual.name) for j in twins] == [
        ("a.wav.marssep.wav", "a.wav.residual.wav"),
        ("a.flac.marssep.wav", "a.flac.residual.wav"),
    ]


@needs_fifos
def test_a_pipe_of_several_files_in_a_row_and_its_copy_is_deleted(tmp_path, session, vector, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    soundfile.write(tmp_path / "x.flac", 0.3 * mixture(RATE // 2), RATE)
    os.mkfifo(tmp_path / "in")
    content = (tmp_path / "x.flac").read_bytes() * 3
    thread = threading.Thread(target=lambda: (tmp_path / "in").write_bytes(content), daemon=True)
    thread.start()
    dry(Job(tmp_path / "in", tmp_path / "y.wav", None), session, vector)
    thread.join(30)
    assert soundfile.info(tmp_path / "y.wav").frames == 3 * RATE // 2
    assert [p for p in (tmp_path / "temporary").rglob("*") if p.is_file()] == []


@needs_fifos
def test_ctrl_c_while_a_pipe_is_silent(tmp_path):
    environment = {**os.environ, "TMPDIR": str(tmp_path / "temporary")}
    (tmp_path / "temporary").mkdir()
    process = subprocess.Popen(
        [BIN / "marssep-file", "--query", "rain", "-", "-o", "y.wav"],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 60
    while not list((tmp_path / "temporary").glob("marssep-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == -signal.SIGINT
    assert b"interrupted" in process.stderr.read()
    assert list((tmp_path / "temporary").glob("marssep-*")) == []


def test_a_version_in_a_name_makes_no_twin(tmp_path):
    jobs = plan([tmp_path / "take 1.5", tmp_path / "take 1.wav"], None, False, False, None)
    assert [j.output.name for j in jobs] == ["take 1.5.marssep.wav", "take 1.marssep.wav"]


def test_one_output_takes_one_sound(tmp_path):
    """Two WAVs end to end are no WAV."""
    for name in ("a.wav", "b.wav"):
        soundfile.write(tmp_path / name, mixture(4_800), RATE)
    command = [BIN / "marssep-file", "--query", "rain", tmp_path / "a.wav", tmp_path / "b.wav", "-o", "-"]
    done = subprocess.run(command, capture_output=True)
    assert done.returncode == 2
    assert done.stdout == b""
    assert b"one output takes one sound" in done.stderr.replace(b"\n", b" ")


def test_the_report_on_standard_output(wav, tmp_path):
    """Standard output holds the report and nothing else."""
    (tmp_path / "bad.wav").write_text("no sound")
    command = [BIN / "marssep-file", "--query", "rain", wav, "bad.wav", "--report", "-"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=120)
    assert done.returncode == 1
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted(line["status"] for line in lines) == ["done", "failed"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.wav", "x.marssep.wav", "x.wav"]


@needs_fifos
def test_the_report_into_a_fifo(wav, tmp_path):
    """It is opened once: its reader would see an end after every line otherwise."""
    os.mkfifo(tmp_path / "report")
    got = []
    thread = threading.Thread(target=lambda: got.append((tmp_path / "report").read_text()), daemon=True)
    thread.start()
    report = Report(tmp_path / "report", "settings")
    job = Job(wav, tmp_path / "y.wav", None)
    assert not report.is_done(job)
    for status in ("skipped", "failed"):
        report.write(job, status)
    report.stream.close()
    thread.join(30)
    assert [json.loads(line)["status"] for line in got[0].splitlines()] == ["skipped", "failed"]


@pytest.mark.parametrize("arguments", [["x.wav", "-o", "-"], ["-"]])
def test_sound_and_report_do_not_share_standard_output(wav, tmp_path, arguments):
    command = [BIN / "marssep-file", "--query", "rain", *arguments, "--report", "-"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=120, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"sound and report cannot both go to standard output" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["x.wav"]


@needs_fifos
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_no_space_for_the_copy_of_a_pipe(wav, tmp_path, monkeypatch):
    full = os.open("/dev/full", os.O_WRONLY)
    monkeypatch.setattr("tempfile.mkstemp", lambda **_: (full, str(tmp_path / "copy")))
    (tmp_path / "copy").touch()
    os.mkfifo(tmp_path / "in")
    thread = threading.Thread(target=lambda: (tmp_path / "in").write_bytes(wav.read_bytes()), daemon=True)
    thread.start()
    with pytest.raises(
        AudioFileError, match=r"in: cannot be copied into .* \(no space left on device\); make"
    ):
        spooled(tmp_path / "in", lambda: None)
    assert not (tmp_path / "copy").exists()
