"""What the tests share: the embedded bundle, its session, signals made here, and a corpus of synthesised
clips.
"""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

# before torch is imported, and for the commands that tests start: oneDNN's AVX2 gradient of 1x1 convolutions
# of very few channels, which only tests have, hangs with several threads and crashes with one
os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX"
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pytest
import soundfile

from marssep_rt.dsp.mixer import Controls
from marssep_rt.dsp.stream_processor import StreamProcessor
from marssep_rt.model import bundle as bundles
from marssep_rt.model.providers import open_graph
from signals import RATE

# Marks by file, so that a test is marked by where it stands: what a file needs, all of its tests need.
MARKS = {
    "export/plugin": "plugin",
    "marssep_rt/live/devices/test_jack.py": "jack",
    "browser": "browser",
}
SLOW = (
    "export/onnx",
    "export/test_export.py",
    "marssep_rt/batch/test_many_files.py",
    "marssep_rt/cli/test_commands.py",
    "marssep_rt/live/test_faults.py",
    "marssep_rt/live/view/test_keyboard_and_terminal.py",
    "marssep_rt/live/view/test_text_output.py",
    "offline_training/alignment/test_trainer.py",
    "offline_training/encoders/test_large_encoders.py",
    "offline_training/encoders/test_mobilenet.py",
    "offline_training/encoders/test_yamnet.py",
    "offline_training/evaluation/test_clean_plus.py",
    "offline_training/evaluation/test_experiment.py",
    "offline_training/evaluation/test_separation.py",
    "offline_training/reinforce/test_reinforcement.py",
    "offline_training/training/test_distributed.py",
    "offline_training/training/test_supervised.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test by its file."""
    here = Path(__file__).parent
    for item in items:
        place = item.path.relative_to(here).as_posix()
        for start, mark in MARKS.items():
            if place.startswith(start):
                item.add_marker(mark)
        if place.startswith(SLOW):
            item.add_marker("slow")
        if "ray" in item.name.split("_"):
            item.add_marker("ray")
        if "jack_server" in getattr(item, "fixturenames", ()):
            item.add_marker("jack")


# nobody's own presets and devices
SETTINGS = tempfile.TemporaryDirectory(prefix="marssep-settings-")
os.environ["MARSSEP_CONFIG"] = SETTINGS.name


@pytest.fixture(scope="session")
def bundle():
    return bundles.load()


@pytest.fixture(scope="session")
def session(bundle):
    return open_graph(bundle, "cpu")[0]


@pytest.fixture(scope="session")
def vector(bundle) -> np.ndarray:
    rng = np.random.default_rng(5)
    q = rng.standard_normal(bundle.query_dim).astype(np.float32)
    return q / np.linalg.norm(q)


@pytest.fixture
def hops(session, vector):
    """A fresh mono StreamProcessor."""
    return StreamProcessor(session, "cpu", 1, vector, Controls())


@pytest.fixture(scope="session")
def clips(tmp_path_factory) -> Path:
    """A manifest over small wav files of four labels, twelve training clips each."""
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    makers = {
        "siren": lambda n: np.sin(
            2 * np.pi * np.cumsum(900 + 300 * np.sin(2 * np.pi * 1.5 * np.arange(n) / RATE)) / RATE
        ),
        "rain": lambda n: 0.3 * rng.standard_normal(n),
        "bass drum": lambda n: (
            np.sin(2 * np.pi * 60 * np.arange(n) / RATE) * np.exp(-((np.arange(n) % 24000) / 3000))
        ),
        "crickets": lambda n: np.sin(2 * np.pi * 5200 * np.arange(n) / RATE) * (np.arange(n) % 4800 < 1600),
    }
    with open(folder / "manifest.csv", "w", newline="") as f:
        writer = csv.writer(f)
        writer.writerow(["path", "label", "split", "group", "licence", "attribution", "source_sample_rate"])
        for label, make in makers.items():
            for i in range(16):
                split = "train" if i < 12 else "val" if i < 14 else "test"
                n = int(RATE * rng.uniform(1.0, 3.5))
                name = f"{label.replace(' ', '_')}{i}.wav"
                soundfile.write(folder / name, (0.4 * make(n)).astype(np.float32), RATE)
                writer.writerow([name, label, split, f"{label}{i}", "CC0", "tests", RATE])
    return folder / "manifest.csv"


SERVER = "marssep-test"


@pytest.fixture
def jack_server(request):
    """A synchronous dummy server under a name of its own: the process and the environment to reach it with.

    Its period is 256 samples, or the parameter of the fixture.
    """
    if shutil.which("jackd") is None:
        pytest.skip("jackd is not installed")
    env = {
        **os.environ,
        "JACK_DEFAULT_SERVER": SERVER,
        "JACK_NO_AUDIO_RESERVATION": "1",
        "JACK_NO_START_SERVER": "1",
    }
    period = str(getattr(request, "param", 256))
    process = subprocess.Popen(
        ["jackd", "-n", SERVER, "-S", "-R", "-d", "dummy", "-r", str(RATE), "-p", period],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=env,
    )
    if subprocess.run(
        ["timeout", "10", "jack_wait", "-s", SERVER, "-w", "-t", "8"], env=env, capture_output=True
    ).returncode:
        process.kill()
        pytest.skip("the JACK server does not start here")
    yield process, env
    process.terminate()
    process.wait(10)
