"""What is said of a whole recording: presence where the target is clearest, and the level of the output."""

import numpy as np
import pytest

from marssep_rt.dsp.match import MOST_WINDOWS, Match, MatchMeter
from marssep_rt.dsp.mixer import Controls
from marssep_rt.dsp.presence import PresenceCurve
from signals import RATE

STEP = 480
CURVE = PresenceCurve(both=(0.0, 0.0, 10.0), share=(3.0, 0.2))
SOUNDS = np.eye(2, dtype=np.float32)


class Ear:
    """Hears the first sound in loud windows, and counts them."""

    def __init__(self):
        self.windows = []

    def embed_windows(self, windows):
        self.windows += windows
        return np.array([1, 0] if np.abs(windows[0]).max() > 0.05 else [-1, -1], np.float32)


def measured(target, dry, controls=None, encoder=None, sounds=SOUNDS):
    meter = MatchMeter(RATE, CURVE)
    for at in range(0, target.shape[1], STEP):
        meter.add(target[:, at : at + STEP], dry[:, at : at + STEP])
    return meter.result(controls or Controls(), sounds, encoder)


@pytest.fixture
def noise():
    return 0.1 * np.random.default_rng(0).standard_normal((1, 12 * RATE)).astype(np.float32)


@pytest.mark.parametrize(
    ("controls", "level"),
    [
        (Controls(), -20.0),
        (Controls(gain_db=6.0), -14.0),
        (Controls(remove=True), 20 * np.log10(0.9)),
        (Controls(wet=0.0), 0.0),
    ],
)
def test_level_is_that_of_the_mixed_output(noise, controls, level):
    assert measured(0.1 * noise, noise, controls).output_level_db == pytest.approx(level, abs=1e-3)


def test_presence_is_taken_where_the_target_is_loudest(noise):
    target = 0.001 * noise
    target[:, 4 * RATE : 6 * RATE] = noise[:, 4 * RATE : 6 * RATE]
    assert measured(target, noise).presence > 0.9
    assert measured(0.001 * noise, noise).presence < 0.1


def test_the_nearest_of_several_sounds_counts_and_few_windows_are_heard(noise):
    ear = Ear()
    long = np.tile(noise, 3)
    assert measured(long, long, encoder=ear, sounds=SOUNDS[::-1]).presence > 0.9
    assert len(ear.windows) == MOST_WINDOWS
    assert measured(0.01 * noise, noise, encoder=Ear()).presence < 0.1


def test_a_short_recording_and_silence_have_a_match(noise):
    assert measured(noise[:, :STEP], noise[:, :STEP]).presence > 0.9
    silence = np.zeros((2, RATE), np.float32)
    assert measured(silence, silence, encoder=Ear()) == Match(0.0, 0.0, silent=True)


def test_stereo_is_measured_as_mono_is(noise):
    both = np.repeat(noise, 2, axis=0)
    one, two = measured(0.3 * noise, noise), measured(0.3 * both, both)
    assert two.presence == pytest.approx(one.presence, abs=1e-5)
    assert two.output_level_db == pytest.approx(one.output_level_db, abs=1e-5)


def test_sentences():
    assert Match(0.12, -35.2).sentence("cat") == "cat: hardly there (0.12), output 35 dB below the input"
    assert Match(0.9, 3.0).sentence("cat") == "cat: there (0.90), output 3 dB above the input"
    assert Match(0.9, 0.2).sentence("cat") == "cat: there (0.90), output as loud as the input"
    assert Match(0.0, 0.0, silent=True).sentence("cat") == "cat: the input is silent"
    assert Match(0.0, -120.0).sentence("cat") == "cat: hardly there (0.00), the output is silent"


def test_of_a_residual_it_says_whether_there_was_something_to_remove(noise):
    dog = measured(0.8 * noise, noise, Controls(remove=True)).sentence("dog")
    assert dog == "dog: there to remove (0.93), output 14.0 dB below the input"
    absent = measured(0.001 * noise, noise, Controls(remove=True)).sentence("dog")
    assert absent == "dog: hardly there to remove (0.00), output as loud as the input"
    assert Match(0.2, -0.34, removed=True).sentence("x") == (
        "x: hardly there to remove (0.20), output 0.3 dB below the input"
    )
    assert Match(0.0, 0.0, silent=True, removed=True).sentence("x") == "x: the input is silent"
