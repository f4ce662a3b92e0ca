"""What can be heard: labels with times and levels, of a file and of a run."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile

from marssep_rt.batch.list_sounds import list_sounds
from marssep_rt.live.devices.demo_signals import demo_parts
from marssep_rt.query.audible import MOST, audible_sounds
from marssep_rt.query.vocabulary import Vocabulary
from signals import RATE

AXES = np.eye(12, dtype=np.float32)
KNOWN = Vocabulary((*(f"sound {i}" for i in range(11)), "a family"), AXES, {"audio": 0.5}, 11)


class Listener:
    """Hears the sounds whose numbers the window holds."""

    def embed_windows(self, windows):
        heard = sum(AXES[int(number)] for number in np.unique(windows[0][windows[0] > 0]) - 1)
        return heard / np.linalg.norm(heard)


def heard(*windows):
    """Windows of one second, each with the numbers of its sounds."""
    made = [np.resize(np.array([n + 1 for n in w] or [0], np.float32), 60) for w in windows]
    return audible_sounds(made, 60, Listener(), KNOWN)


def test_neighbouring_windows_are_one_stretch():
    (first, second) = heard([2], [2], [2, 3], [], [2])
    assert (first.label, second.label) == ("sound 2", "sound 3")
    assert first.stretches == ((0.0, 3.0), (4.0, 5.0))
    assert second.stretches == ((2.0, 3.0),)
    assert str(first).startswith("sound 2  0:00-0:03, 0:04-0:05  ")
    assert str(first).endswith("dBFS")


def test_what_is_not_near_enough_silent_or_no_label_is_not_listed():
    assert heard([0, 1, 2, 3, 4]) == []  # five at once: none of them is near
    assert heard([]) == []
    assert heard([11]) == []
    assert len(heard(*([i] for i in range(11)))) == MOST


def test_of_labels_beside_each_other_the_nearest_is_listed():
    """A clarinet is near the saxophone, too; a dog at the same time is another sound."""
    rows = [[1, 0, 0, 0], [0.9, 0.436, 0, 0], [0, 0, 1, 0], [0, -0.6, 0.8, 0], [0, 0, 0, 1], [0, 0.8, 0, 0.6]]
    labels = ("clarinet", "saxophone", "dog", "wolf", "rain", "wind")
    known = Vocabulary(labels, np.array(rows, np.float32), {"audio": 0.3})

    class Both:
        def embed_windows(self, windows):
            return np.array([0.8, 0, 0.6, 0], np.float32)

    sounds = audible_sounds([np.ones(60, np.float32)], 60, Both(), known)
    assert [sound.label for sound in sounds] == ["clarinet", "dog"]


def test_a_file_is_listed_and_nothing_is_written(bundle, tmp_path):
    siren = demo_parts(6.0)["siren"]
    siren[2 * RATE : 4 * RATE], siren[4 * RATE :] = 0.0, siren[: 2 * RATE]
    soundfile.write(tmp_path / "a.wav", np.stack([siren, siren], axis=1), RATE)
    sound = next(s for s in list_sounds(tmp_path / "a.wav", bundle) if s.label == "siren")
    assert sound.stretches == ((0.0, 2.0), (4.0, 6.0))
    command = Path(sys.executable).parent / "marssep-file"
    done = subprocess.run([command, "--list-sounds", tmp_path / "a.wav"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "siren  0:00-0:02, 0:04-0:06  -" in done.stdout
    assert [p.name for p in tmp_path.iterdir()] == ["a.wav"]
    (tmp_path / "no.wav").write_bytes(b"no sound")
    files = [tmp_path / "no.wav", tmp_path / "missing.wav", tmp_path / "a.wav"]
    done = subprocess.run([command, "--list-sounds", *files], capture_output=True, text=True)
    assert done.returncode == 1
    assert "siren" in done.stdout
    assert done.stderr.count("error:") == 2
    done = subprocess.run([command, "--list-sounds", tmp_path], capture_output=True, text=True)
    assert done.returncode == 2
    assert "is a folder" in done.stderr
