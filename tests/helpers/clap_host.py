"""A small CLAP host: loads a plug-in, sets parameters, processes blocks, saves and restores (CLAP 1.1)."""

import ctypes as c

import numpy as np

U32, I64, P, STR = c.c_uint32, c.c_int64, c.c_void_p, c.c_char_p


class Version(c.Structure):
    _fields_ = [("major", U32), ("minor", U32), ("revision", U32)]


class Entry(c.Structure):
    _fields_ = [
        ("version", Version),
        ("init", c.CFUNCTYPE(c.c_bool, STR)),
        ("deinit", c.CFUNCTYPE(None)),
        ("get_factory", c.CFUNCTYPE(P, STR)),
    ]


class Descriptor(c.Structure):
    _fields_ = [
        ("clap_version", Version),
        *((name, STR) for name in ("id", "name", "vendor", "url", "manual", "support", "version", "about")),
        ("features", c.POINTER(STR)),
    ]


class Factory(c.Structure):
    _fields_ = [
        ("count", c.CFUNCTYPE(U32, P)),
        ("descriptor", c.CFUNCTYPE(c.POINTER(Descriptor), P, U32)),
        ("create", c.CFUNCTYPE(P, P, P, STR)),
    ]


class Host(c.Structure):
    _fields_ = [
        ("version", Version),
        ("data", P),
        ("name", STR),
        ("vendor", STR),
        ("url", STR),
        ("host_version", STR),
        ("get_extension", c.CFUNCTYPE(P, P, STR)),
        ("request_restart", c.CFUNCTYPE(None, P)),
        ("request_process", c.CFUNCTYPE(None, P)),
        ("request_callback", c.CFUNCTYPE(None, P)),
    ]


class Plugin(c.Structure):
    _fields_ = [
        ("descriptor", c.POINTER(Descriptor)),
        ("data", P),
        ("init", c.CFUNCTYPE(c.c_bool, P)),
        ("destroy", c.CFUNCTYPE(None, P)),
        ("activate", c.CFUNCTYPE(c.c_bool, P, c.c_double, U32, U32)),
        ("deactivate", c.CFUNCTYPE(None, P)),
        ("start", c.CFUNCTYPE(c.c_bool, P)),
        ("stop", c.CFUNCTYPE(None, P)),
        ("reset", c.CFUNCTYPE(None, P)),
        ("process", c.CFUNCTYPE(c.c_int32, P, P)),
        ("get_extension", c.CFUNCTYPE(P, P, STR)),
    ]


class Audio(c.Structure):
    _fields_ = [
        ("data32", c.POINTER(c.POINTER(c.c_float))),
        ("data64", P),
        ("channels", U32),
        ("latency", U32),
        ("constant", c.c_uint64),
    ]


class Header(c.Structure):
    _fields_ = [("size", U32), ("time", U32), ("space", c.c_uint16), ("type", c.c_uint16), ("flags", U32)]


class ParameterValue(c.Structure):
    _fields_ = [
        ("header", Header),
        ("id", U32),
        ("cookie", P),
        ("note", c.c_int32),
        ("port", c.c_int16),
        ("channel", c.c_int16),
        ("key", c.c_int16),
        ("value", c.c_double),
    ]


class InEvents(c.Structure):
    _fields_ = [("context", P), ("size", c.CFUNCTYPE(U32, P)), ("get", c.CFUNCTYPE(P, P, U32))]


class OutEvents(c.Structure):
    _fields_ = [("context", P), ("push", c.CFUNCTYPE(c.c_bool, P, P))]


class Process(c.Structure):
    _fields_ = [
        ("time", I64),
        ("frames", U32),
        ("transport", P),
        ("inputs", c.POINTER(Audio)),
        ("outputs", c.POINTER(Audio)),
        ("input_count", U32),
        ("output_count", U32),
        ("in_events", c.POINTER(InEvents)),
        ("out_events", c.POINTER(OutEvents)),
    ]


class ParameterInfo(c.Structure):
    _fields_ = [
        ("id", U32),
        ("flags", U32),
        ("cookie", P),
        ("name", c.c_char * 256),
        ("module", c.c_char * 1024),
        ("low", c.c_double),
        ("high", c.c_double),
        ("default", c.c_double),
    ]


class Parameters(c.Structure):
    _fields_ = [
        ("count", c.CFUNCTYPE(U32, P)),
        ("info", c.CFUNCTYPE(c.c_bool, P, U32, c.POINTER(ParameterInfo))),
        ("value", c.CFUNCTYPE(c.c_bool, P, U32, c.POINTER(c.c_double))),
        ("to_text", c.CFUNCTYPE(c.c_bool, P, U32, c.c_double, P, U32)),
        ("to_value", c.CFUNCTYPE(c.c_bool, P, U32, STR, c.POINTER(c.c_double))),
        ("flush", c.CFUNCTYPE(None, P, P, P)),
    ]


class HostLatency(c.Structure):
    _fields_ = [("changed", c.CFUNCTYPE(None, P))]


class Latency(c.Structure):
    _fields_ = [("get", c.CFUNCTYPE(U32, P))]


STREAM = c.CFUNCTYPE(I64, P, P, c.c_uint64)


def state_of(parameters=None, **states):
    """A saved state as the framework writes it: texts by key, parameters by symbol."""
    parts = [b"__dpf_state_begin__"]
    for key, value in states.items():
        parts += [key.encode(), value.encode()]
    parts += [b"__dpf_state_end__", b"__dpf_parameters_begin__"]
    for symbol, value in (parameters or {}).items():
        parts += [symbol.encode(), str(value).encode()]
    return b"\0".join([*parts, b"__dpf_parameters_end__", b"\xfe\0"])


def states_in(data):
    """The texts of a saved state by key."""
    parts = data.split(b"\0")
    inside = parts[parts.index(b"__dpf_state_begin__") + 1 : parts.index(b"__dpf_state_end__")]
    return {key.decode(): value.decode() for key, value in zip(inside[::2], inside[1::2], strict=True)}


class Stream(c.Structure):
    _fields_ = [("context", P), ("move", STREAM)]


class State(c.Structure):
    _fields_ = [("save", c.CFUNCTYPE(c.c_bool, P, P)), ("load", c.CFUNCTYPE(c.c_bool, P, P))]


class ClapHost:
    """One instance of a plug-in file's only plug-in; a ``bare`` host has no extensions."""

    def __init__(self, path, rate=48_000, block=512, channels=2, bare=False):
        self.library = c.CDLL(str(path))
        entry = Entry.in_dll(self.library, "clap_entry")
        assert entry.init(str(path).encode())
        factory_at = entry.get_factory(b"clap.plugin-factory")
        factory = Factory.from_address(factory_at)
        assert factory.count(factory_at) == 1
        described = factory.descriptor(factory_at, 0).contents
        self.described, self.entry = described, entry
        assert not factory.create(factory_at, c.addressof(Host()), b"no such plug-in")
        self.id, self.name = described.id.decode(), described.name.decode()
        self.latency_changes = 0
        self.told = HostLatency(HostLatency._fields_[0][1](self.latency_changed))
        nothing = [Host._fields_[i][1](lambda *_: None) for i in (7, 8, 9)]
        find = Host._fields_[6][1](
            lambda _, name: c.addressof(self.told) if name == b"clap.latency" and not bare else None
        )
        self.host = Host(Version(1, 1, 10), None, b"test", b"", b"", b"1", find, *nothing)
        self.at = factory.create(factory_at, c.addressof(self.host), described.id)
        assert self.at
        self.plugin = Plugin.from_address(self.at)
        assert self.plugin.init(self.at)
        self.channels, self.rate, self.block, self.pending = channels, rate, block, []
        self.start()

    def latency_changed(self, _):
        self.latency_changes += 1

    def extension(self, kind, name):
        at = self.plugin.get_extension(self.at, name)
        assert at, name
        return kind.from_address(at)

    def start(self):
        assert self.plugin.activate(self.at, self.rate, 1, self.block)
        assert self.plugin.start(self.at)

    def reset(self):
        self.plugin.reset(self.at)

    def stop(self):
        self.plugin.stop(self.at)
        self.plugin.deactivate(self.at)

    def close(self):
        self.stop()
        self.plugin.destroy(self.at)

    @property
    def latency(self):
        return self.extension(Latency, b"clap.latency").get(self.at)

    def parameters(self):
        """{name: (id, low, high, default, value)}."""
        params, found = self.extension(Parameters, b"clap.params"), {}
        for i in range(params.count(self.at)):
            info, value = ParameterInfo(), c.c_double()
            assert params.info(self.at, i, info)
            assert params.value(self.at, info.id, value)
            found[info.name.decode()] = (info.id, info.low, info.high, info.default, value.value)
        return found

    def set(self, name, value):
        """With the next block."""
        number = self.parameters()[name][0]
        self.pending.append(
            ParameterValue(Header(c.sizeof(ParameterValue), 0, 0, 5, 0), number, None, -1, -1, -1, -1, value)
        )

    def info(self, name):
        params, info = self.extension(Parameters, b"clap.params"), ParameterInfo()
        for i in range(params.count(self.at)):
            assert params.info(self.at, i, info)
            if info.name.decode() == name:
                return info
        raise KeyError(name)

    def text(self, name, value):
        """How a value is shown."""
        text = c.create_string_buffer(256)
        params = self.extension(Parameters, b"clap.params")
        assert params.to_text(self.at, self.info(name).id, value, c.addressof(text), 256)
        return text.value.decode()

    def value(self, name, text):
        """What a text that somebody types means."""
        found = c.c_double()
        params = self.extension(Parameters, b"clap.params")
        assert params.to_value(self.at, self.info(name).id, text.encode(), found)
        return found.value

    def save(self, most=1 << 20):
        """The state; the stream takes at most ``most`` bytes at a time."""
        kept = bytearray()

        def write(_, data, size):
            size = min(size, most)
            kept.extend(c.string_at(data, size))
            return size

        stream = Stream(None, STREAM(write))
        assert self.extension(State, b"clap.state").save(self.at, c.addressof(stream))
        return bytes(kept)

    def load(self, data, most=1 << 20):
        """Whether the plug-in takes a state; the stream gives at most ``most`` bytes at a time."""
        place = 0

        def read(_, to, size):
            nonlocal place
            part = data[place : place + min(size, most)]
            c.memmove(to, part, len(part))
            place += len(part)
            return len(part)

        stream = Stream(None, STREAM(read))
        return self.extension(State, b"clap.state").load(self.at, c.addressof(stream))

    def process(self, x):
        """[C, n] -> [C, n], n at most the block."""
        x = np.ascontiguousarray(x, np.float32)
        y = np.zeros_like(x)
        rows = [
            (c.POINTER(c.c_float) * len(x))(*[row.ctypes.data_as(c.POINTER(c.c_float)) for row in a])
            for a in (x, y)
        ]
        buffers = [Audio(c.cast(r, c.POINTER(c.POINTER(c.c_float))), None, len(x), 0, 0) for r in rows]
        events, self.pending = self.pending, []
        given = InEvents(
            None,
            InEvents._fields_[1][1](lambda _: len(events)),
            InEvents._fields_[2][1](lambda _, i: c.addressof(events[i])),
        )
        taken = OutEvents(None, OutEvents._fields_[1][1](lambda *_: True))
        work = Process(
            -1,
            x.shape[1],
            None,
            c.pointer(buffers[0]),
            c.pointer(buffers[1]),
            1,
            1,
            c.pointer(given),
            c.pointer(taken),
        )
        assert self.plugin.process(self.at, c.addressof(work)) != 0
        return y

    def run(self, x):
        return np.concatenate(
            [self.process(x[:, at : at + self.block]) for at in range(0, x.shape[1], self.block)], axis=1
        )
