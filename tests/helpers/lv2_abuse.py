"""What a careless host does to an LV2 plug-in, as ``plugin_abuse.py`` does it to CLAP. A process of its own.

python lv2_abuse.py FOLDER.lv2 [SEED]
"""

import ctypes as c
import re
import struct
import sys
import threading
from pathlib import Path

import numpy as np

from plugin_abuse import BLOCKS, RATES, TEXTS, noise

FLOATS, P, U32, STR = c.POINTER(c.c_float), c.c_void_p, c.c_uint32, c.c_char_p
LV2 = "http://lv2plug.in/ns/ext/"
MAP = c.CFUNCTYPE(U32, P, STR)
SCHEDULE = c.CFUNCTYPE(U32, P, U32, P)
STORE = c.CFUNCTYPE(U32, P, U32, P, c.c_size_t, U32, U32)
RETRIEVE = c.CFUNCTYPE(P, P, U32, c.POINTER(c.c_size_t), c.POINTER(U32), c.POINTER(U32))
EVENTS = 8192  # bytes


class Descriptor(c.Structure):
    _fields_ = [
        ("uri", STR),
        ("instantiate", c.CFUNCTYPE(P, P, c.c_double, STR, P)),
        ("connect", c.CFUNCTYPE(None, P, U32, P)),
        ("activate", c.CFUNCTYPE(None, P)),
        ("run", c.CFUNCTYPE(None, P, U32)),
        ("deactivate", c.CFUNCTYPE(None, P)),
        ("cleanup", c.CFUNCTYPE(None, P)),
        ("extension", c.CFUNCTYPE(P, STR)),
    ]


class Feature(c.Structure):
    _fields_ = [("uri", STR), ("data", P)]


class UridMap(c.Structure):
    _fields_ = [("data", P), ("map", MAP)]


class Schedule(c.Structure):
    _fields_ = [("data", P), ("schedule", SCHEDULE)]


class Option(c.Structure):
    _fields_ = [("context", U32), ("subject", U32), ("key", U32), ("size", U32), ("type", U32), ("value", P)]


class Worker(c.Structure):
    _fields_ = [("work", c.CFUNCTYPE(U32, P, P, P, U32, P))]


class State(c.Structure):
    _fields_ = [
        ("save", c.CFUNCTYPE(U32, P, STORE, P, U32, P)),
        ("restore", c.CFUNCTYPE(U32, P, RETRIEVE, P, U32, P)),
    ]


def ports(folder):
    """[(index, symbol, kind of the port, low, high, default)] from the description."""
    found = []
    for block in re.findall(r"\[\s+a (lv2:\w+Port, \w+:\w+Port) ;(.*?)\n    \]", ttl(folder), re.DOTALL):
        kind, text = block
        read = lambda key, text=text: next(iter(re.findall(rf"lv2:{key} (\S+) ;", text)), None)  # noqa: E731
        limits = [float(read(key) or 0) for key in ("minimum", "maximum", "default")]
        found.append((int(read("index")), read("symbol").strip('"'), kind, *limits))
    return sorted(found)


def ttl(folder):
    return next(path for path in folder.glob("*.ttl") if path.stem not in ("manifest", "presets")).read_text()


class Lv2Host:
    """One instance; ``bare`` offers no features and leaves the event ports unconnected."""

    urids = {}  # noqa: RUF012 - of the process, as in a host

    def __init__(self, folder, rate=48_000, block=512, bare=False):
        folder = Path(folder)
        library = c.CDLL(str(next(folder.glob(f"{folder.stem}*.so"))))
        library.lv2_descriptor.restype = c.POINTER(Descriptor)
        assert not library.lv2_descriptor(1)
        self.descriptor = library.lv2_descriptor(0).contents
        self.uri = self.descriptor.uri.decode()
        self.rate, self.block, self.bare = rate, block, bare
        self.tasks, self.lock = [], threading.Lock()
        self.features = self._features()
        self.handle = self.descriptor.instantiate(
            c.addressof(self.descriptor), rate, f"{folder}/".encode(), self.features
        )
        assert self.handle
        self.ports = ports(folder)
        self.values = (c.c_float * len(self.ports))(*[port[5] for port in self.ports])
        self.audio = np.zeros((4, max(block, 1)), np.float32)
        self.events = [c.create_string_buffer(EVENTS) for _ in range(2)]
        for i, symbol, kind, *_ in self.ports:
            if "Control" in kind:
                self.connect(i, c.addressof(self.values) + 4 * i)
            elif "Audio" in kind:
                self.connect(i, self.audio[i].ctypes.data)
            elif not bare:
                self.connect(i, c.addressof(self.events[symbol == "lv2_events_out"]))
        self.controls = {
            s: (i, lo, hi, d) for i, s, k, lo, hi, d in self.ports if "InputPort, lv2:Control" in k
        }
        self.activate()

    def _features(self):
        """What the host can do, ended by a null; kept, because the plug-in calls it."""
        if self.bare:
            return (c.POINTER(Feature) * 1)()
        self.kept = [
            UridMap(None, MAP(lambda _, uri: self.urid(uri.decode()))),
            Schedule(None, SCHEDULE(self.schedule)),
            c.c_int32(self.block),
        ]
        key, kind = self.urid(f"{LV2}buf-size#maxBlockLength"), self.urid(f"{LV2}atom#Int")
        options = (Option * 2)(Option(0, 0, key, 4, kind, c.addressof(self.kept[2])))
        uris = ("urid#map", "worker#schedule", "options#options")
        data = (*self.kept[:2], options)
        self.kept += [
            options,
            [Feature((LV2 + u).encode(), c.addressof(d)) for u, d in zip(uris, data, strict=True)],
        ]
        return (c.POINTER(Feature) * 4)(*map(c.pointer, self.kept[-1]))

    def urid(self, uri):
        return self.urids.setdefault(uri, len(self.urids) + 1)

    def connect(self, port, at):
        self.descriptor.connect(self.handle, port, at)

    def activate(self):
        self.descriptor.activate(self.handle)

    def stop(self):
        self.descriptor.deactivate(self.handle)

    def close(self):
        self.stop()
        self.descriptor.cleanup(self.handle)

    def schedule(self, _, size, data):
        with self.lock:
            self.tasks.append(c.string_at(data, size))
        return 0

    def work(self):
        """What a host's worker thread does."""
        with self.lock:
            tasks, self.tasks = self.tasks, []
        for task in tasks:
            worker = Worker.from_address(self.descriptor.extension(f"{LV2}worker#interface".encode()))
            worker.work(self.handle, None, None, len(task), c.cast(c.create_string_buffer(task), P))

    def set(self, symbol, value):
        self.values[self.controls[symbol][0]] = value

    def value(self, symbol):
        return self.values[next(i for i, name, *_ in self.ports if name == symbol)]

    def message(self, text):
        """The event that sets the property "Query text"."""
        body = struct.pack("<II", 0, self.urid(f"{LV2}patch#Set"))
        string, string_type = text.encode() + b"\0", self.urid(f"{LV2}atom#String")
        property_value = struct.pack("<I", self.urid(f"{self.uri}#query_text"))
        for key, kind, content in (
            ("property", self.urid(f"{LV2}atom#URID"), property_value),
            ("value", string_type, string),
        ):
            body += struct.pack("<IIII", self.urid(f"{LV2}patch#{key}"), 0, len(content), kind)
            body += content + b"\0" * (-len(content) % 8)
        return struct.pack("<qII", 0, len(body), self.urid(f"{LV2}atom#Object")) + body

    def run(self, x, text=None):
        """[2, n] -> [2, n], with a text set at the beginning if there is one."""
        n = x.shape[1]
        if n > self.audio.shape[1]:  # a host that breaks its word gives larger buffers
            self.audio = np.zeros((4, n), np.float32)
            for i in range(4):
                self.connect(i, self.audio[i].ctypes.data)
        self.audio[:2, :n] = x
        message, sequence = self.message(text) if text else b"", self.urid(f"{LV2}atom#Sequence")
        given = struct.pack("<IIII", 8 + len(message), sequence, 0, 0) + message
        c.memmove(self.events[0], given, len(given))
        c.memmove(self.events[1], struct.pack("<II", EVENTS - 8, 0), 8)
        self.descriptor.run(self.handle, n)
        return self.audio[2:, :n].copy()

    def _state(self):
        return State.from_address(self.descriptor.extension(f"{LV2}state#interface".encode()))

    def save(self, meanwhile=lambda: None):
        """{key: (bytes, type)}; ``meanwhile`` is called before each value is read."""
        kept = {}

        def store(_, key, value, size, kind, flags):
            meanwhile()
            kept[key] = (c.string_at(value, size), kind)
            return 0

        assert self._state().save(self.handle, STORE(store), None, 0, None) == 0
        return kept

    def load(self, state):
        # behind a value is what happens to be there
        held = {key: c.create_string_buffer(value + b"behind") for key, (value, _) in state.items()}

        def retrieve(_, key, size, kind, flags):
            if key not in state:
                return None
            size[0], kind[0] = len(state[key][0]), state[key][1]
            return c.addressof(held[key])

        self._state().restore(self.handle, RETRIEVE(retrieve), None, 0, None)


def storm(host, rng):
    """Every control to anything, in and out of its range, also no number."""
    for symbol, (_, low, high, _) in host.controls.items():
        span = high - low
        host.set(symbol, rng.choice([low, high, low - span, high + span, low + span * rng.random(), np.nan]))


def calm(host):
    for symbol, (*_, normal) in host.controls.items():
        host.set(symbol, normal)
    host.set("offline", 1.0)


def meters_are_numbers(host):
    for i, symbol, kind, low, high, _ in host.ports:
        if "OutputPort, lv2:Control" in kind and symbol != "lv2_latency":
            assert low - 1e-3 <= host.values[i] <= high + 1e-3, (symbol, host.values[i])


def descriptor(folder, rng):
    """Numbers and names of the ports are what saved projects know."""
    found = ports(Path(folder))
    assert [port[0] for port in found] == list(range(len(found)))
    assert len({port[1] for port in found}) == len(found)
    for _, symbol, kind, low, high, normal in found:
        assert "Control" not in kind or low <= normal <= high, symbol


def rates_and_blocks(folder, rng):
    """Made again at other rates and block sizes, with storms, restarts, empty and too long blocks between."""
    for bare in (False, False, True) * 3:
        host = Lv2Host(folder, int(rng.choice(RATES)), int(rng.choice(BLOCKS)), bare)
        for _ in range(20):
            if rng.random() < 0.3:
                storm(host, rng)
            if rng.random() < 0.1:
                host.stop()
                host.activate()
            longest = 2 * host.block if rng.random() < 0.1 else host.block
            assert np.isfinite(host.run(noise(rng, int(rng.integers(0, longest + 1))))).all()
        assert host.value("lv2_latency") > 0
        meters_are_numbers(host)
        host.close()


def recovers(folder, rng):
    """After all that, it does what a fresh one does."""
    x, made = (0.2 * rng.standard_normal((2, 20_480))).astype(np.float32), []
    for abused in (False, True):
        host = Lv2Host(folder)
        for _ in range(50 if abused else 0):
            storm(host, rng)
            host.run(noise(rng, 512))
        calm(host)
        host.run(np.zeros((2, 512), np.float32))
        for _ in range(10):  # the mixer's ramp ends
            host.run(np.zeros((2, 512), np.float32))
        host.stop()
        host.activate()
        made.append(np.concatenate([host.run(x[:, at : at + 512]) for at in range(0, 20_480, 512)], axis=1))
        host.close()
    assert np.array_equal(*made)
    assert np.abs(made[0]).max() > 0


def states(folder, rng):
    """Round trips; parts of states and other bytes change nothing and do no harm."""
    host, other = Lv2Host(folder), Lv2Host(folder)
    for text in (*TEXTS, "rain and dog"):
        host.run(noise(rng, 256), text)
        host.work()
        kept = host.save()
        assert kept == host.save()
        other.load(kept)
        other.run(noise(rng, 256))
        if text == "rain and dog":
            assert other.save() == kept
    before = other.save()
    for key, (value, kind) in kept.items():
        for broken in (
            (b"", kind),
            (value[:-1], kind),
            (value, kind + 1),
            (rng.bytes(300), kind),
            (b"{\0", kind),
        ):
            other.load({key: broken})
            other.save()
            assert np.isfinite(other.run(noise(rng, 256))).all()
    other.load({})
    other.load({key: (value[:-1], kind) for key, (value, kind) in kept.items()})  # without the zeros
    assert other.save() == before == kept
    host.close()
    other.close()


def a_save_waits_for_the_worker(folder, rng):
    """The framework hands out texts that its worker would free."""
    host = Lv2Host(folder)
    host.run(noise(rng, 256), "rain and dog")
    host.work()
    kept, running = host.save(), []

    def work():
        host.run(noise(rng, 256), "a much longer text than the one before, which takes its place")
        running.append(threading.Thread(target=host.work))
        running[-1].start()
        running[-1].join(0.3)

    assert host.save(work) == kept
    for thread in running:
        thread.join()
    assert host.save() != kept
    host.close()


def threads(folder, rng):
    """One thread plays and sets texts, the worker embeds them, and the main thread saves."""
    host, ended, failed = Lv2Host(folder), threading.Event(), []
    texts = [None, None, None, *TEXTS[:2], "rain and dog", "cat but not dog"]

    def guarded(step):
        own = np.random.default_rng(1)
        try:
            while not ended.is_set():
                step(own)
        except BaseException as e:
            failed.append(e)

    def play(own):
        storm(host, own)
        text = texts[own.integers(len(texts))]
        assert np.isfinite(host.run(noise(own, int(own.integers(0, 512))), text)).all()

    running = [threading.Thread(target=guarded, args=(step,)) for step in (play, lambda _: host.work())]
    for thread in running:
        thread.start()
    for _ in range(300):
        for value, _ in host.save().values():
            assert value.endswith(b"\0")
            value.decode()
    ended.set()
    for thread in running:
        thread.join()
    assert not failed, failed
    host.close()


def instances(folder, rng):
    """Many, gone in another order; some never play."""
    hosts = [Lv2Host(folder, block=64, bare=bool(i % 3 == 0)) for i in range(12)]
    for host in hosts[::2]:
        host.run(noise(rng, 64))
    for i in rng.permutation(len(hosts)):
        hosts[i].close()


if __name__ == "__main__":
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    for check in (
        descriptor,
        rates_and_blocks,
        recovers,
        states,
        a_save_waits_for_the_worker,
        threads,
        instances,
    ):
        check(sys.argv[1], np.random.default_rng(seed))
        print("ok", check.__name__, flush=True)
