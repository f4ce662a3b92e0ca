"""Factory presets for LV2, VST3 and CLAP hosts. They set the mixer and leave the query as it is."""

from __future__ import annotations

import struct
import sys
from uuid import UUID

from marssep_rt.contract import MIXER as CONTRACT_MIXER

MIXER = {"output": 0, "mix": 100, "limit": int(CONTRACT_MIXER.no_limit_db), "gain": 0}
# Name -> what differs from MIXER, by the symbols of the plug-in's parameters.
PRESETS = {
    "Target only": {},
    "Target with ambience (-18 dB)": {"limit": 18},
    "Target and input, half and half": {"mix": 50},
    "Remove the target": {"output": 1},
    "Turn the target down (-12 dB)": {"output": 1, "limit": 12},
}
PREFIXES = "".join(
    f"@prefix {name}: <{uri}> .\n"
    for name, uri in {
        "lv2": "http://lv2plug.in/ns/lv2core#",
        "pset": "http://lv2plug.in/ns/ext/presets#",
        "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    }.items()
)


def lv2_presets(uri: str) -> tuple[str, str]:
    """Turtle about the presets of the plug-in ``uri``: for the end of manifest.ttl, and presets.ttl."""
    manifest, presets = PREFIXES, PREFIXES
    for number, (name, changes) in enumerate(PRESETS.items(), 1):
        head = f"\n<{uri}#preset{number}>\n    a pset:Preset ;\n    lv2:appliesTo <{uri}> ;\n    rdfs:label "
        head += f'"{name}"'
        ports = " ,\n        ".join(
            f'[ lv2:symbol "{symbol}" ; pset:value {value:.1f} ]'
            for symbol, value in {**MIXER, **changes}.items()
        )
        manifest += f"{head} ;\n    rdfs:seeAlso <presets.ttl> .\n"
        presets += f"{head} ;\n    lv2:port {ports} .\n"
    return manifest, presets


def parts_of_state(changes: dict[str, int]) -> list[str]:
    """The parameters' part of a saved state; the framework leaves alone what is not in it."""
    values = [text for symbol, value in {**MIXER, **changes}.items() for text in (symbol, str(value))]
    return ["__dpf_parameters_begin__", *values, "__dpf_parameters_end__"]


def vst3_presets(unique: str, windows: bool = sys.platform == "win32") -> dict[str, bytes]:
    """The presets as ``.vstpreset`` files.

    Args:
        unique: The four letters of the plug-in.
        windows: Whether the plug-in's id is written as on Windows, where it is the text of a GUID.

    Returns:
        By name of the preset.
    """
    # the framework's: four numbers, of four letters each
    letters = "".join(part[::-1] for part in ("DPF ", "clas", unique, "\0\0\0\0")).encode()
    class_id = (UUID(bytes_le=letters) if windows else UUID(bytes=letters)).hex.upper().encode()
    return {
        name: _vstpreset(class_id, "\0".join([*parts_of_state(changes), "\xfe"]).encode("latin-1") + b"\0")
        for name, changes in PRESETS.items()
    }


def _vstpreset(class_id: bytes, state: bytes) -> bytes:
    """A header, the component's state, and the list of what is where."""
    begin = struct.calcsize("<4si32sq")
    head = struct.pack("<4si32sq", b"VST3", 1, class_id, begin + len(state))
    return head + state + struct.pack("<4si4sqq", b"List", 1, b"Comp", begin, len(state))
