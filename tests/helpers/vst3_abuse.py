"""What a careless host does to a VST3 plug-in, in pedalboard (JUCE). A process of its own.

python vst3_abuse.py PLUGIN.vst3 [SEED]
"""

import sys

import numpy as np
from pedalboard import load_plugin

from plugin_abuse import BLOCKS, RATES, noise

METERS = (
    "latency_frames",
    "output_level_db",
    "presence",
    "dropped_samples",
    "status",
    "reduction_db",
    "latency_ms",
)


def storm(plugin, rng):
    """Every parameter to anything in its range, as the host has it: 0 to 1."""
    for parameter in plugin.parameters.values():
        parameter.raw_value = float(rng.choice([0.0, 1.0, rng.random()]))


def calm(plugin, values):
    for name, value in values.items():
        plugin.parameters[name].raw_value = value


def settings(plugin):
    """The parameters that are the user's, as the host has them."""
    found = {name: parameter.raw_value for name, parameter in plugin.parameters.items()}
    return {name: value for name, value in found.items() if name not in METERS}


def played(plugin, x, rate, block, reset=False):
    y = plugin.process(x, rate, buffer_size=block, reset=reset)
    assert y.shape[1] <= x.shape[1]
    assert np.isfinite(y).all()
    assert all(0.0 <= parameter.raw_value <= 1.0 for parameter in plugin.parameters.values())
    return y


def rates_and_blocks(path, rng):
    """Begun again at other rates and block sizes, with resets and storms between."""
    plugin = load_plugin(path)
    for _ in range(12):
        rate, block = int(rng.choice(RATES)), int(rng.choice(BLOCKS))
        for _ in range(10):
            if rng.random() < 0.3:
                storm(plugin, rng)
            n = int(rng.integers(1, min(8 * block, 4096) + 1))
            played(plugin, noise(rng, n), rate, block, reset=bool(rng.random() < 0.2))


def no_numbers(path, rng):
    """Input that is no number leaves nothing behind."""
    plugin, fresh = load_plugin(path), load_plugin(path)
    for value in (np.nan, np.inf, -np.inf, 1e30, 1e-42):
        played(plugin, np.full((2, 2000), value, np.float32), 48_000, 512)
    same(plugin, fresh, rng)


def recovers(path, rng):
    """After all that, it does what a fresh one does."""
    plugin, fresh = load_plugin(path), load_plugin(path)
    normal = settings(fresh)
    for _ in range(30):
        storm(plugin, rng)
        played(plugin, noise(rng, 512), int(rng.choice(RATES)), 512)
    calm(plugin, normal)
    same(plugin, fresh, rng)


def same(plugin, fresh, rng):
    """Two plug-ins of the same settings give the same output, once the mixer's ramp has ended.

    The host has parameters as 0 to 1, which rounds the gain.
    """
    x = (0.2 * rng.standard_normal((2, 20_000))).astype(np.float32)
    made = []
    for each in (plugin, fresh):
        played(each, np.zeros((2, 9600), np.float32), 48_000, 512)
        made.append(played(each, x, 48_000, 512, reset=True))
    assert np.abs(made[1]).max() > 1e-3
    np.testing.assert_allclose(*made, atol=1e-6)


def states(path, rng):
    """Saved and restored in the midst of playing; parts of states and other bytes do no harm."""
    plugin, other = load_plugin(path), load_plugin(path)
    for _ in range(10):
        storm(plugin, rng)
        played(plugin, noise(rng, 700), 48_000, 256)
        kept = plugin.raw_state
        assert plugin.raw_state == kept
        played(other, noise(rng, 700), 44_100, 64)
        other.raw_state = kept
        played(other, noise(rng, 700), 44_100, 64)
        assert other.raw_state == kept
    for broken in (b"\0", b"\xfe" * 50, kept[: len(kept) // 2], rng.bytes(1000), kept[20:]):
        other.raw_state = broken
        played(other, noise(rng, 700), 48_000, 512)
    other.raw_state = kept
    assert other.raw_state == kept


def instances(path, rng):
    """Many, gone in another order; some never play."""
    plugins = [load_plugin(path) for _ in range(12)]
    for plugin in plugins[::2]:
        played(plugin, noise(rng, 64), 48_000, 64)
    for i in rng.permutation(len(plugins)):
        plugins[i] = None


if __name__ == "__main__":
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    for check in (rates_and_blocks, no_numbers, recovers, states, instances):
        check(sys.argv[1], np.random.default_rng(seed))
        print("ok", check.__name__, flush=True)
