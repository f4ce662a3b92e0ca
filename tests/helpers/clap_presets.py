"""What a CLAP host does with factory presets: find them, and load one (CLAP 1.2)."""

import ctypes as c

from clap_host import STR, U32, P, Version

TEXT = c.CFUNCTYPE(None, P, STR)


class PluginId(c.Structure):
    _fields_ = [("kind", STR), ("id", STR)]


class Receiver(c.Structure):
    _fields_ = [
        ("data", P),
        ("error", c.CFUNCTYPE(None, P, c.c_int32, STR)),
        ("begin", c.CFUNCTYPE(c.c_bool, P, STR, STR)),
        ("add_plugin", c.CFUNCTYPE(None, P, c.POINTER(PluginId))),
        ("set_soundpack", TEXT),
        ("set_flags", c.CFUNCTYPE(None, P, U32)),
        ("add_creator", TEXT),
        ("set_description", TEXT),
        ("set_timestamps", c.CFUNCTYPE(None, P, c.c_uint64, c.c_uint64)),
        ("add_feature", TEXT),
        ("add_extra_info", c.CFUNCTYPE(None, P, STR, STR)),
    ]


class Location(c.Structure):
    _fields_ = [("flags", U32), ("name", STR), ("kind", U32), ("path", STR)]


class Indexer(c.Structure):
    _fields_ = [
        ("version", Version),
        *((name, STR) for name in ("name", "vendor", "url", "of_host")),
        ("data", P),
        ("declare_filetype", c.CFUNCTYPE(c.c_bool, P, P)),
        ("declare_location", c.CFUNCTYPE(c.c_bool, P, c.POINTER(Location))),
        ("declare_soundpack", c.CFUNCTYPE(c.c_bool, P, P)),
        ("get_extension", c.CFUNCTYPE(P, P, STR)),
    ]


class ProviderDescriptor(c.Structure):
    _fields_ = [("version", Version), ("id", STR), ("name", STR), ("vendor", STR)]


class Provider(c.Structure):
    _fields_ = [
        ("descriptor", c.POINTER(ProviderDescriptor)),
        ("data", P),
        ("init", c.CFUNCTYPE(c.c_bool, P)),
        ("destroy", c.CFUNCTYPE(None, P)),
        ("metadata", c.CFUNCTYPE(c.c_bool, P, U32, STR, c.POINTER(Receiver))),
        ("get_extension", c.CFUNCTYPE(P, P, STR)),
    ]


class Discovery(c.Structure):
    _fields_ = [
        ("count", c.CFUNCTYPE(U32, P)),
        ("descriptor", c.CFUNCTYPE(c.POINTER(ProviderDescriptor), P, U32)),
        ("create", c.CFUNCTYPE(P, P, c.POINTER(Indexer), STR)),
    ]


class PresetLoad(c.Structure):
    _fields_ = [("from_location", c.CFUNCTYPE(c.c_bool, P, U32, STR, STR))]


def found_presets(host, most=100):
    """[(name, load key, plug-in's id)] of a plug-in, as an indexer collects them until it has ``most``."""
    at = host.entry.get_factory(b"clap.preset-discovery-factory/2")
    assert at == host.entry.get_factory(b"clap.preset-discovery-factory/draft-2")
    discovery, found, places = Discovery.from_address(at), [], []
    assert discovery.count(at) == 1
    assert not discovery.descriptor(at, 1)
    indexer = Indexer(
        Version(1, 2, 0),
        *(b"test", b"", b"", b"1", None),
        Indexer._fields_[6][1](lambda *_: False),
        Indexer._fields_[7][1](lambda _, place: not places.append((place[0].kind, place[0].path))),
        Indexer._fields_[8][1](lambda *_: False),
        Indexer._fields_[9][1](lambda *_: None),
    )
    assert not discovery.create(at, indexer, b"no such provider")
    provider_at = discovery.create(at, indexer, discovery.descriptor(at, 0).contents.id)
    provider = Provider.from_address(provider_at)
    assert provider.init(provider_at)

    def begin(_, name, key):
        if len(found) == most:
            return False
        found.append([name.decode(), key.decode()])
        return True

    callbacks = {
        "begin": begin,
        "add_plugin": lambda _, plugin: found[-1].append(plugin[0].id.decode()),
    }
    receiver = Receiver(
        None, *(kind(callbacks.get(name, lambda *_: None)) for name, kind in Receiver._fields_[1:])
    )
    assert places == [(1, None)]  # inside the plug-in
    assert provider.metadata(provider_at, *places[0], receiver)
    assert not provider.metadata(provider_at, 0, b"/tmp", receiver)
    provider.destroy(provider_at)
    return [tuple(preset) for preset in found]


def load_preset(host, key, kind=1):
    """Whether the plug-in takes a preset."""
    return host.extension(PresetLoad, b"clap.preset-load/2").from_location(host.at, kind, None, key.encode())
