"""The commands as users run them: exit codes, one sentence on errors, no traceback, nothing half-written."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from signals import RATE, mixture

BIN = Path(sys.executable).parent


def run(command, *args, cwd, timeout=120, env=None):
    full = [str(BIN / f"marssep-{command}"), *map(str, args)]
    done = subprocess.run(
        full,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, "COLUMNS": "200", **(env or {})},
    )
    assert "Traceback" not in done.stderr + done.stdout
    return done


def refused(done, code, *words):
    assert done.returncode == code, done.stderr
    for word in words:
        assert word in done.stderr, done.stderr
    return done


@pytest.fixture
def wav(tmp_path):
    soundfile.write(tmp_path / "x.wav", mixture(RATE), RATE, subtype="FLOAT")
    return tmp_path / "x.wav"


def test_file_writes_beside_the_input(wav, tmp_path):
    done = run("file", "--query", "rain", wav, "--write-residual", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "x real time" in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.marssep.wav", "x.residual.wav", "x.wav"]
    refused(run("file", "--query", "rain", wav, cwd=tmp_path), 1, "--overwrite")
    assert run("file", "--query", "rain", wav, "--overwrite", cwd=tmp_path).returncode == 0


def test_query_file_gives_what_text_gives(wav, tmp_path):
    assert (
        run("query", "--query", "dog barking", "--not", "siren", "-o", "q.query", cwd=tmp_path).returncode
        == 0
    )
    run("file", "--query", "dog barking", "--not", "siren", wav, "-o", "a.wav", cwd=tmp_path)
    run("file", "--query-file", "q.query", wav, "-o", "b.wav", cwd=tmp_path)
    np.testing.assert_allclose(
        soundfile.read(tmp_path / "a.wav")[0], soundfile.read(tmp_path / "b.wav")[0], atol=1e-6
    )
    for number, words in enumerate(("quarterly tax returns", "no dog")):  # doubted; a residual
        assert run("query", "--query", words, "-o", f"{number}.query", cwd=tmp_path).returncode == 0
        said = run("file", "--query", words, wav, "-o", f"{number}a.wav", cwd=tmp_path)
        read = run("file", "--query-file", f"{number}.query", wav, "-o", f"{number}b.wav", cwd=tmp_path)
        assert read.stderr.splitlines()[0] == said.stderr.splitlines()[0]
        a, b = (soundfile.read(tmp_path / f"{number}{name}.wav")[0] for name in "ab")
        np.testing.assert_allclose(a, b, atol=1e-6)
    refused(run("query", "--query", "x", "-o", "q.query", cwd=tmp_path), 2, "exists")
    refused(run("query", "--query", "x", "-o", "q.txt", cwd=tmp_path), 2, ".query")
    refused(run("query", "--query", "x", "-o", "no/q.query", cwd=tmp_path), 2, "no folder")


def test_a_folder_with_bad_files_does_the_rest_and_lists_them(wav, tmp_path):
    (tmp_path / "bad.wav").write_text("not audio")
    (tmp_path / "empty.flac").touch()
    soundfile.write(tmp_path / "slow.wav", np.zeros(100), 4000)
    done = refused(
        run("file", "--query", "rain", tmp_path, "-o", tmp_path / "out", "--jobs", "2", cwd=tmp_path),
        1,
        "bad.wav",
        "empty.flac",
        "slow.wav",
    )
    assert done.stderr.count("error:") == 3
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["x.wav"]


def test_nan_warns_and_succeeds(tmp_path):
    x = mixture(9600)
    x[5] = np.nan
    soundfile.write(tmp_path / "n.wav", x, RATE, subtype="FLOAT")
    done = run("file", "--query", "rain", "n.wav", cwd=tmp_path)
    assert done.returncode == 0
    assert "NaN" in done.stderr


def test_wrong_usage_of_file(wav, tmp_path):
    for args, words in [
        (["--query", "", wav], "empty"),
        (["--query", "rain", "--not", "no siren", wav], "“no siren” negates again; say “siren”"),
        (["--query", "don't remove the dog", wav], "can be read in two ways; say “dog” to hear it"),
        (["--query", "y" * 10_000, wav], "10000 characters"),
        ([wav], "say what to hear"),
        (["--query", "rain", wav, "--wet", "7"], "between 0 and 1"),
        (["--query", "rain", wav, "--model", "nowhere"], "no model bundle"),
        (["--query", "rain", wav, "--provider", "cuda"], "CUDA"),
        (["--query", "rain", wav, "--format", "doc"], "choose wav, wav16"),
        (["--query", "rain", wav, "--format", "flac", "-o", "y.wav"], "but --format says flac"),
        (["--query-file", "none.query", wav], "cannot read"),
        (["--image", "dog.png", wav], "no image at dog.png"),
        (["--audio", "dog.wav", wav], "dog.wav: no such file"),
    ]:
        refused(run("file", *args, cwd=tmp_path), 2, words)
    refused(run("file", "--query", "rain", "missing.wav", cwd=tmp_path), 1, "no such file")
    refused(
        run("file", "--query", "rain", wav, "-o", wav, "--overwrite", cwd=tmp_path), 1, "replace the input"
    )
    assert [p.name for p in tmp_path.iterdir()] == ["x.wav"]


def test_unwritable_output(wav, tmp_path):
    (tmp_path / "file").touch()
    refused(
        run("file", "--query", "rain", wav, "-o", tmp_path / "file" / "y.wav", cwd=tmp_path),
        1,
        "cannot be written",
    )


@pytest.mark.parametrize("kill", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_a_killed_run_leaves_nothing_under_the_final_name(tmp_path, kill):
    with soundfile.SoundFile(tmp_path / "long.wav", "w", RATE, 1) as f:
        for _ in range(10):
            f.write(np.zeros(60 * RATE, np.float32))
    process = subprocess.Popen(
        [BIN / "marssep-file", "--query", "rain", "long.wav"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("*.part")) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(list(tmp_path.glob("long.marssep.wav.*.part"))) == 1
    process.send_signal(kill)
    _, err = process.communicate(timeout=30)
    assert "Traceback" not in err
    assert not (tmp_path / "long.marssep.wav").exists()
    assert process.returncode == -kill
    if kill != signal.SIGKILL:
        assert "interrupted" in err
        assert not list(tmp_path.glob("*.part"))


def test_ctrl_c_ends_a_loop_of_the_shell(tmp_path):
    if shutil.which("bash") is None:
        pytest.skip("no bash here")
    with soundfile.SoundFile(tmp_path / "long.wav", "w", RATE, 1) as f:
        for _ in range(10):
            f.write(np.zeros(60 * RATE, np.float32))
    loop = f"for i in 1 2 3; do echo run; {BIN / 'marssep-file'} --query rain long.wav; echo code $?; done"
    process = subprocess.Popen(
        ["bash", "-c", loop],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("*.part")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    out, err = process.communicate(timeout=60)
    assert out.splitlines() == ["run"], err
    assert process.returncode == -signal.SIGINT


def test_a_shell_sees_130(tmp_path, wav):
    code = "import sys, signal; from marssep_rt.cli import entry, file\n"
    code += "def stop(*_): raise KeyboardInterrupt\n"
    code += "file.gather = stop\n"
    code += f"sys.argv = ['marssep-file', '--query', 'rain', {str(wav)!r}]; entry.file()"
    done = subprocess.run(
        ["sh", "-c", '"$0" -c "$1"; echo $?', sys.executable, code],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["130"], done.stderr


def test_demo_runs_in_real_time_and_live_equals_file(tmp_path):
    done = run("live", "--demo", "--query", "dog barking", "--plain", "--stats", "s.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "marssep-demo.wav" in done.stderr
    assert "latency" in done.stdout
    stats = json.loads((tmp_path / "s.json").read_text())
    assert set(stats) == {
        "sample_rate",
        "blocksize",
        "hop",
        "provider",
        "query",
        "latency_ms",
        "hops",
        "hop_ms",
        "misses",
        "underruns",
        "real_time_priority",
        "overflows",
        "nan_samples",
        "peak_in",
        "peak_out",
        "seconds",
        "queries",
        "presence",
    }
    assert set(stats["latency_ms"]) == {"algorithmic", "blocks", "slack", "device_in", "device_out", "total"}
    assert stats["seconds"] == pytest.approx(12.0, abs=0.02)
    assert stats["hops"] == 1200
    asked = ("--query", "dog barking", "--no-second-look")
    run("file", *asked, "marssep-demo.input.wav", "-o", "file.wav", cwd=tmp_path)
    live, rate = soundfile.read(tmp_path / "marssep-demo.wav", dtype="float32")
    file, _ = soundfile.read(tmp_path / "file.wav", dtype="float32")
    late = round(stats["latency_ms"]["total"] * rate / 1e3)
    n = min(len(live) - late, len(file))
    assert n > 11.9 * rate
    np.testing.assert_allclose(live[late : late + n], file[:n], atol=1e-5)


@pytest.mark.parametrize("kill", [signal.SIGTERM, signal.SIGINT])
def test_a_live_run_ends_well_on_signals(tmp_path, kill):
    process = subprocess.Popen(
        [BIN / "marssep-live", "--demo", "--query", "siren", "--record", "r.wav", "--plain"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:
        if line.startswith("t=2"):
            break
    process.send_signal(kill)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    audio, _ = soundfile.read(tmp_path / "r.wav")
    assert len(audio) > RATE


@pytest.mark.parametrize("command", ["live", "file"])
@pytest.mark.parametrize("after", [0.15, 0.3, 0.5, 0.8])
def test_ctrl_c_at_any_early_moment_is_no_traceback(tmp_path, wav, command, after):
    args = ["--demo", "--plain"] if command == "live" else ["x.wav"]
    process = subprocess.Popen(
        [BIN / f"marssep-{command}", "--query", "siren", *args],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(after)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert "Traceback" not in err
    assert process.returncode in (0, -signal.SIGINT)
    for path in tmp_path.glob("*.wav"):
        soundfile.read(path)
    assert not list(tmp_path.glob("*.part"))


def test_wrong_usage_of_live(tmp_path):
    (tmp_path / "r.wav").touch()
    for args, words in [
        (["--demo"], "say what to hear"),
        (["--demo", "--query", "x", "--record", "r.wav"], "exists"),
        (["--demo", "--query", "x", "--record", "r.mp3"], ".wav or .flac"),
        (["--demo", "--query", "x", "--stats", "no/s.json"], "no folder"),
        (["--demo", "--query", "x", "--record", "a.wav", "--record-input", "a.wav"], "same file"),
    ]:
        refused(run("live", *args, cwd=tmp_path), 2, words)
    refused(run("live", "--demo", "--query", "x", "--record", "no/r.wav", cwd=tmp_path), 1, "no folder")


def test_no_device_suggests_the_demo(tmp_path):
    # a JACK server that may run for other tests must not be found
    done = run(
        "live",
        "--query",
        "rain",
        "--duration",
        "1",
        cwd=tmp_path,
        env={"JACK_DEFAULT_SERVER": "nobody-home", "JACK_NO_START_SERVER": "1"},
    )
    if done.returncode == 0:
        pytest.skip("this machine has a sound device")
    refused(done, 1, "--demo")


def test_broken_bundles(bundle, wav, tmp_path):
    shutil.copytree(bundle.path, tmp_path / "b")
    (tmp_path / "b" / "separator.onnx").write_bytes(b"junk")
    refused(run("file", "--query", "rain", wav, "--model", "b", cwd=tmp_path), 2, "hash")
