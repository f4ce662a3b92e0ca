"""What a careless host does to a CLAP plug-in, as pluginval and clap-validator try it. A process of its own.

python plugin_abuse.py PLUGIN.clap [SEED]
"""

import sys
import threading

import numpy as np

from clap_host import ClapHost, state_of

RATES = (8000, 11_025, 22_050, 44_100, 48_000, 88_200, 96_000, 192_000)
BLOCKS = (1, 16, 63, 64, 480, 512, 1000, 4096)
TEXTS = ("rain", "no dog", "", "žába " * 60, "dog and cat but not rain")
SPECIAL = (np.nan, np.inf, -np.inf, 1e-42, -1e-42, 1e30, 0.0, 1.0)


def noise(rng, n):
    """[2, n] with some samples that are none."""
    x = (0.2 * rng.standard_normal((2, n))).astype(np.float32)
    if n and rng.random() < 0.3:
        x[rng.integers(2), rng.integers(n)] = rng.choice(SPECIAL)
    return x


def storm(host, rng):
    """Every parameter to anything, in and out of its range, also no number."""
    for name, (_, low, high, _, _) in host.parameters().items():
        span = high - low
        host.set(name, rng.choice([low, high, low - span, high + span, low + span * rng.random(), np.nan]))


def calm(host):
    for name, (_, _, _, normal, _) in host.parameters().items():
        host.set(name, normal)
    host.set("Offline Render", 1.0)


def in_range(host):
    for name, (_, low, high, normal, value) in host.parameters().items():
        assert low <= normal <= high, name
        assert low - 1e-6 <= value <= high + 1e-6, (name, value)


def rates_and_blocks(path, rng):
    """Begun again at other rates and block sizes, with resets and storms between."""
    host = ClapHost(path)
    for _ in range(12):
        host.stop()
        host.rate, host.block = int(rng.choice(RATES)), int(rng.choice(BLOCKS))
        host.start()
        assert host.latency > 0
        for _ in range(20):
            if rng.random() < 0.3:
                storm(host, rng)
            if rng.random() < 0.1:
                host.reset()
            n = int(rng.integers(0, host.block + 1))  # a block may be empty
            assert np.isfinite(host.process(noise(rng, n))).all()
        in_range(host)
    host.close()


def recovers(path, rng):
    """After all that, it does what a fresh one does."""
    x = (0.2 * rng.standard_normal((2, 20_000))).astype(np.float32)
    made = []
    for abused in (False, True):
        host = ClapHost(path)
        if abused:
            for _ in range(50):
                storm(host, rng)
                host.process(noise(rng, 512))
            host.stop()
            host.start()
        calm(host)
        for _ in range(10):  # the mixer's ramp ends
            host.process(np.zeros((2, 512), np.float32))
        host.reset()
        made.append(host.run(x))
        host.close()
    assert np.array_equal(*made)


def states(path, rng):
    """Round trips in streams of any width; parts of states and other bytes change nothing and do no harm."""
    host, other = ClapHost(path), ClapHost(path)
    for _ in range(10):
        storm(host, rng)
        host.process(noise(rng, 256))
        kept = host.save()
        assert kept == host.save()
        assert kept == host.save(int(rng.integers(1, 30)))
        assert other.load(kept, int(rng.integers(1, 30)))
        assert other.save() == kept
    for broken in (b"", b"\0", b"\xfe", kept[: len(kept) // 2], rng.bytes(1000), b"__dpf_\xfe", kept[20:]):
        other.load(broken)
        in_range(other)
    assert not other.load(b"")
    assert other.load(kept)
    assert other.save() == kept
    host.close()
    other.close()


def threads(path, rng):
    """States, texts and readings on one thread while another plays."""
    host, ended = ClapHost(path), threading.Event()
    failed = []

    def play():
        try:
            own = np.random.default_rng(1)
            while not ended.is_set():
                assert np.isfinite(host.process(noise(own, int(own.integers(0, 512))))).all()
        except BaseException as e:
            failed.append(e)

    player = threading.Thread(target=play)
    player.start()
    for _ in range(40):
        text = str(rng.choice(TEXTS))
        host.load(state_of({"query": int(rng.integers(0, 3))}, query="", query_file="", query_text=text))
        host.save()
        in_range(host)
    ended.set()
    player.join()
    assert not failed, failed
    host.close()


def instances(path, rng):
    """Many, gone in another order; some are never started or never play."""
    hosts = [ClapHost(path, block=64) for _ in range(12)]
    for host in hosts:
        host.process(noise(rng, 64))
    for i in rng.permutation(len(hosts)):
        hosts[i].close()


def descriptor(path, rng):
    host = ClapHost(path)
    about = host.described
    for field in ("id", "name", "vendor", "version"):
        assert getattr(about, field), field
    features = []
    while about.features[len(features)]:
        features.append(about.features[len(features)])
    assert b"audio-effect" in features
    assert len(set(features)) == len(features)
    parameters = host.parameters()
    assert len({number for number, *_ in parameters.values()}) == len(parameters)
    for name, (_, low, high, normal, _) in parameters.items():
        for value in (low, high, normal):
            assert abs(host.value(name, host.text(name, value)) - value) <= 1e-3 * max(1.0, abs(value)), name
    host.close()


if __name__ == "__main__":
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    for check in (descriptor, rates_and_blocks, recovers, states, threads, instances):
        check(sys.argv[1], np.random.default_rng(seed))
        print("ok", check.__name__, flush=True)
