"""Many files: reports, interrupted runs that continue, and a Ray cluster that loses a worker."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from marssep_rt.batch import ray_backend
from marssep_rt.batch.plan import Job
from marssep_rt.errors import BundleError, MarssepError
from signals import RATE, mixture

BIN = Path(sys.executable).parent


def run(cwd, *args, query="rain"):
    return subprocess.run(
        [BIN / "marssep-file", "--query", query, *map(str, args)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=180,
    )


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def folder_of(tmp_path, count, seconds=0.5):
    folder = tmp_path / "in"
    folder.mkdir()
    for i in range(count):
        soundfile.write(folder / f"{i:02}.wav", mixture(int(seconds * RATE), seed=i), RATE)
    return folder


def test_done_files_are_skipped_by_content_and_settings(tmp_path):
    folder = folder_of(tmp_path, 4)
    (folder / "bad.wav").write_bytes(b"no sound")
    done = run(tmp_path, folder, "-o", "out/", "--report", "r.jsonl")
    assert done.returncode == 1
    assert "bad.wav" in done.stderr
    first = lines(tmp_path / "r.jsonl")
    assert sorted(e["status"] for e in first) == ["done"] * 4 + ["failed"]
    assert all(e["seconds"] == 0.5 and e["took"] > 0 for e in first if e["status"] == "done")
    before = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "out").iterdir()}
    assert len(before) == 4

    (folder / "bad.wav").unlink()
    (tmp_path / "out" / "01.wav").unlink()  # an output that is gone is made again
    soundfile.write(folder / "02.wav", mixture(RATE // 4, seed=9), RATE)  # and one of a file that has changed
    with (tmp_path / "r.jsonl").open("a") as report:
        report.write('{"source": "half a li')  # the last run was killed while it wrote
    done = run(tmp_path, folder, "-o", "out/", "--report", "r.jsonl", "--overwrite")
    assert done.returncode == 0, done.stderr
    assert "2 of 4 files are done already" in done.stderr
    after = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "out").iterdir()}
    assert [name for name in sorted(after) if after[name] == before[name]] == ["00.wav", "03.wav"]

    done = run(tmp_path, folder, "-o", "out/", "--report", "r.jsonl", "--overwrite", query="siren")
    assert "done already" not in done.stderr
    done = run(tmp_path, folder, "-o", "out/", "--report", "r.jsonl", query="siren")
    assert done.returncode == 0
    assert "4 of 4 files are done already" in done.stderr


def test_reports_that_are_none(tmp_path):
    folder = folder_of(tmp_path, 1)
    (tmp_path / "notes.txt").write_text("nothing\nto see\n")
    done = run(tmp_path, folder, "--report", "notes.txt")
    assert done.returncode == 2
    assert "is no report" in done.stderr
    assert (tmp_path / "notes.txt").read_text() == "nothing\nto see\n"
    done = run(tmp_path, folder, "--report", "no/where.jsonl")
    assert done.returncode == 2
    assert "cannot use the report" in done.stderr


def test_a_killed_run_goes_on_where_it_was(tmp_path):
    folder = folder_of(tmp_path, 12, 4.0)
    process = subprocess.Popen(
        [BIN / "marssep-file", "--query", "rain", folder, "-o", "out/", "--report", "r.jsonl", "--jobs", "2"],
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
    )
    report = tmp_path / "r.jsonl"
    deadline = time.monotonic() + 60
    while (not report.exists() or len(report.read_text().splitlines()) < 3) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.wait()
    done = [e["source"] for e in lines(report)]
    assert 3 <= len(done) < 12
    again = run(tmp_path, folder, "-o", "out/", "--report", "r.jsonl", "--overwrite")
    assert again.returncode == 0, again.stderr
    entries = [e for e in lines(report) if e["status"] == "done"]
    assert len(entries) == len({e["source"] for e in entries}) == 12  # nothing twice
    for path in sorted((tmp_path / "out").iterdir()):
        if path.suffix == ".wav":
            assert soundfile.info(path).frames == 4 * RATE


def workers():
    """Processes of Ray that are at one of our tasks."""
    found = []
    for place in Path("/proc").iterdir():
        try:
            if place.name.isdigit() and b"ray::separate_one" in (place / "cmdline").read_bytes():
                found.append(int(place.name))
        except OSError:
            continue
    return found


def test_a_ray_worker_that_is_killed_loses_nothing(tmp_path):
    pytest.importorskip("ray")
    folder = folder_of(tmp_path, 10, 8.0)
    process = subprocess.Popen(
        [
            BIN / "marssep-file",
            "--query",
            "rain",
            folder,
            "-o",
            "out/",
            "--ray",
            "local",
            "--jobs",
            "2",
            "--report",
            "r.jsonl",
        ],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 90
    report = tmp_path / "r.jsonl"
    killed = False
    while not killed and process.poll() is None and time.monotonic() < deadline:
        if report.exists() and report.read_text().count("\n") >= 1 and (busy := workers()):
            os.kill(busy[0], signal.SIGKILL)
            killed = True
        time.sleep(0.01)
    _, err = process.communicate(timeout=150)
    assert killed, err
    assert process.returncode == 0, err
    entries = lines(report)
    assert len(entries) == len({e["source"] for e in entries}) == 10
    assert all(e["status"] == "done" for e in entries)
    assert sorted(p.name for p in (tmp_path / "out").iterdir() if p.suffix == ".wav") == [
        f"{i:02}.wav" for i in range(10)
    ]
    alone = run(tmp_path, folder / "03.wav", "-o", "alone.wav")
    assert alone.returncode == 0
    a, _ = soundfile.read(tmp_path / "alone.wav")
    b, _ = soundfile.read(tmp_path / "out" / "03.wav")
    np.testing.assert_array_equal(a, b)


def test_a_cluster_that_is_not_there(tmp_path):
    pytest.importorskip("ray")
    folder = folder_of(tmp_path, 1)
    assert run(tmp_path, folder, "--ray", "nonsense:here").returncode == 2
    done = run(tmp_path, folder, "--ray", "127.0.0.1:1")
    assert done.returncode == 1
    assert "no Ray cluster at 127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr


def test_workers_of_ray_get_absolute_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    job = ray_backend.for_workers(Job(Path("a.wav"), Path("out/a.wav"), Path("out/a.residual.wav"), "wav16"))
    assert [job.source, job.output, job.residual] == [
        tmp_path / "a.wav",
        tmp_path / "out" / "a.wav",
        tmp_path / "out" / "a.residual.wav",
    ]
    assert job.kind == "wav16"
    assert ray_backend.for_workers(Job(Path("a.wav"), Path("b.wav"), None)).residual is None


def test_what_ray_says_is_shown(tmp_path):
    exceptions = pytest.importorskip("ray.exceptions")
    job = Job(Path("a.wav"), Path("b.wav"), None)
    died = ray_backend.failure(job, exceptions.WorkerCrashedError())
    assert "a.wav: its workers died 4 times (WorkerCrashedError: The worker died" in died
    own = exceptions.RayTaskError("separate_one", "a long trace", BundleError("no model bundle at x"))
    assert ray_backend.failure(job, own) == "a.wav: failed on a worker (no model bundle at x)"
    with pytest.raises(MarssepError, match=r"refuses: the token is wrong.*RAY_AUTH_TOKEN"):
        ray_backend.failure(job, exceptions.AuthenticationError("the token is wrong"))


def test_a_cluster_that_refuses_the_token_is_quoted(monkeypatch):
    exceptions = pytest.importorskip("ray.exceptions")

    class Refusing:
        def init(self, **_):
            raise exceptions.AuthenticationError("the token is wrong")

    with pytest.raises(MarssepError, match=r"no Ray cluster at auto: the token is wrong.*RAY_AUTH_TOKEN"):
        ray_backend._connect(Refusing(), "auto", None)


def test_two_runs_on_one_output_leave_it_whole(tmp_path):
    soundfile.write(tmp_path / "x.wav", mixture(20 * RATE), RATE)
    command = [BIN / "marssep-file", "--query", "rain", "x.wav", "-o", "y.wav", "--overwrite"]
    runs = [
        subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=os.environ)
        for _ in range(2)
    ]
    said = [run.communicate(timeout=120)[1] for run in runs]
    assert soundfile.info(tmp_path / "y.wav").frames == 20 * RATE
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.wav", "y.wav"]
    for run, err in zip(runs, said, strict=True):
        assert run.returncode == 0 or "another run is writing this file" in err


def test_the_report_says_what_was_lost(tmp_path):
    soundfile.write(tmp_path / "x.wav", mixture(RATE), RATE)
    content = (tmp_path / "x.wav").read_bytes()
    (tmp_path / "x.wav").write_bytes(content[: len(content) // 2])
    done = run(tmp_path, "x.wav", "--report", "r.jsonl")
    assert done.returncode == 0, done.stderr
    assert "warning: x.wav: the file is cut off" in done.stderr
    assert "cut off" in lines(tmp_path / "r.jsonl")[0]["notes"][0]
