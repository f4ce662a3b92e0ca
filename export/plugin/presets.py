"""Factory presets for LV2 hosts. They set the mixer and leave the query as it is."""

from __future__ import annotations

MIXER = {"output": 0, "mix": 100, "limit": 100, "gain": 0}
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
