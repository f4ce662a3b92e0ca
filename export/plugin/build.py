"""From a bundle and queries to VST3, CLAP and LV2 plug-ins and a JACK program.

Everything is built in a temporary folder and moved to its place when it is whole.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import marssep_rt
from export.plugin.naming import Naming, c_string
from export.plugin.presets import PRESETS, lv2_presets, parts_of_state, vst3_presets
from export.plugin.toolchain import Toolchain, licence_files
from export.plugin.wordpiece import wordpiece
from marssep_rt.contract import LATENCY
from marssep_rt.errors import MarssepError, UsageError
from marssep_rt.model.bundle import Bundle
from marssep_rt.query import words
from marssep_rt.query.query_file import as_plain
from marssep_rt.query.types import Query
from marssep_rt.query.vocabulary import Vocabulary
from marssep_rt.utils.atomic_io import refuse_existing, replace_folder, workplace

FORMATS = ("vst3", "clap", "lv2", "jack")  # as the framework's makefile calls them
SOURCE = Path(__file__).parent / "source"
UNITS = (
    "doubt.cpp",
    "dpf_plugin.cpp",
    "engine.cpp",
    "model.cpp",
    "own_query.cpp",
    "query_file.cpp",
    "resampler.cpp",
    "resources.cpp",
    "sentence.cpp",
    "text_encoder.cpp",
    "wordpiece.cpp",
    "words.cpp",
)
WINDOW_UNITS = ("dpf_window.cpp", "sentence.cpp", "words.cpp")
MAX_QUERIES = 100
# of latency: with none, a minute under JACK had late samples (docs/performance.md)
SPARE_HOPS = LATENCY.plugin_extra_hops
WIDTHS = {1: "mono", 2: "stereo"}


@dataclass(frozen=True)
class PluginSettings:
    """What a plug-in is built with besides model and queries.

    Attributes:
        formats: Of FORMATS.
        title: The plug-in's name; empty is the only query's label, or "marssep".
        channels: 1 or 2.
        extra_latency: Additional latency in hops, for systems that let the model's thread wait at times.
        flags: More flags for compiler and linker.
        window: Whether there is a window; it needs the headers of X11 and OpenGL.
    """

    formats: Sequence[str] = FORMATS
    title: str = ""
    channels: int = 2
    extra_latency: int = SPARE_HOPS
    flags: str = ""
    window: bool = False


def config(naming: Naming, labels: Sequence[str], library: str, settings: PluginSettings) -> str:
    """The generated header: names, channels, queries, presets, the window, and hops that are spared."""
    version = ", ".join(re.findall(r"\d+", marssep_rt.__version__)[:3])
    characters = ", ".join(f"'{c}'" for c in naming.unique)
    presets = [(name, "\n".join(parts_of_state(changes))) for name, changes in PRESETS.items()]
    defines = {
        "MARSSEP_NAME": c_string(naming.title),
        "MARSSEP_LABEL": c_string(naming.slug.replace("-", "_")),
        "MARSSEP_URI": c_string(naming.uri),
        "MARSSEP_CLAP_ID": c_string(f"org.marssep.{naming.slug}"),
        "MARSSEP_UNIQUE_ID": naming.unique,
        "MARSSEP_UNIQUE_CHARACTERS": characters,
        "MARSSEP_VERSION": version,
        "MARSSEP_VERSION_TEXT": c_string(marssep_rt.__version__),
        "MARSSEP_CHANNELS": str(settings.channels),
        "MARSSEP_CHANNELS_NAME": c_string(WIDTHS[settings.channels]),
        "MARSSEP_SPARE_HOPS": str(settings.extra_latency),
        "MARSSEP_WINDOW": str(int(settings.window)),
        "MARSSEP_LIBRARY": c_string(library),
        "MARSSEP_QUERY_COUNT": str(len(labels)),
        "MARSSEP_QUERIES": ", ".join(c_string(label) for label in labels),
        "MARSSEP_PRESETS": ", ".join(f"{{{c_string(name)}, {c_string(text)}}}" for name, text in presets),
    }
    return "#pragma once\n" + "".join(f"#define {k} {v}\n" for k, v in defines.items())


def makefile(naming: Naming, toolchain: Toolchain, settings: PluginSettings) -> str:
    """For the framework's rules, which are in toolchain.dpf."""
    # the framework wants an LV2 plug-in and its window in two files
    lv2 = "$(lv2_dsp)" if settings.window else "$(lv2)"
    targets = {kind: f"$({kind})" for kind in FORMATS} | {
        "lv2": f"{lv2} $(lv2_ui)" if settings.window else lv2
    }
    include, flags = " ".join(toolchain.include_flags), settings.flags
    window = f"FILES_UI = {' '.join(WINDOW_UNITS)}\nUI_TYPE = opengl\n" if settings.window else ""
    return (
        f"NAME = {naming.slug}\nFILES_DSP = {' '.join(UNITS)}\n{window}"
        f"DPF_PATH = {toolchain.dpf}\nDPF_TARGET_DIR = out\nDPF_BUILD_DIR = build\n"
        "include $(DPF_PATH)/Makefile.plugins.mk\n"
        f"BUILD_CXX_FLAGS += -std=gnu++20 -pthread {include} {flags}\n"
        # else the linker adds start-up code: a host thread that loads the plug-in would lose its denormals
        f"LINK_FLAGS += -fno-fast-math -pthread {flags}\n"
        f"all: {' '.join(targets[kind] for kind in settings.formats)}\n"
        # see lv2_shim.cpp
        "$(BUILD_DIR)/DistrhoPluginMain_LV2.cpp.o $(BUILD_DIR)/lv2_shim.cpp.o: "
        "BUILD_CXX_FLAGS += -Dlv2_descriptor=marssep_framework_lv2_descriptor\n"
        f"{lv2}: $(BUILD_DIR)/lv2_shim.cpp.o\n"
        # see clap_shim.cpp
        "$(BUILD_DIR)/DistrhoPluginMain_CLAP.cpp.o $(BUILD_DIR)/clap_shim.cpp.o: "
        "BUILD_CXX_FLAGS += -Dclap_entry=marssep_framework_clap_entry\n"
        "$(clap): $(BUILD_DIR)/clap_shim.cpp.o\n"
        # see jack_shim.cpp
        "$(BUILD_DIR)/DistrhoPluginMain_JACK.cpp.o $(BUILD_DIR)/jack_shim.cpp.o: "
        "BUILD_CXX_FLAGS += -Dmain=marssep_framework_main\n"
        "$(jack): $(BUILD_DIR)/jack_shim.cpp.o\n"
    )


def folder_name(kind: str, naming: Naming) -> str:
    """The folder that a format is installed as."""
    return f"{naming.slug}.{kind}" if kind in ("vst3", "lv2") else f"{naming.slug}-{kind}"


def build(
    bundle: Bundle,
    queries: Sequence[Query],
    output: Path,
    toolchain: Toolchain,
    settings: PluginSettings | None = None,
    overwrite: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> list[Path]:
    """Build plug-ins and put them into a folder.

    Args:
        bundle: The model.
        queries: The choices in the plug-in, at most MAX_QUERIES.
        output: The folder.
        toolchain: Compiler, headers and libraries.
        settings: Formats, name and channels; None is the defaults.
        overwrite: Whether existing plug-ins are replaced.
        say: Called with a sentence about each step.

    Returns:
        The folders that were written.

    Raises:
        UsageError: Too many queries, or a plug-in exists.
        MarssepError: The plug-in cannot be compiled or written; nothing is left behind.
    """
    settings = settings or PluginSettings()
    if not 1 <= len(queries) <= MAX_QUERIES:
        raise UsageError(f"a plug-in listens to 1 to {MAX_QUERIES} queries, not {len(queries)}")
    title = settings.title or (f"marssep {queries[0].name}" if len(queries) == 1 else "marssep")
    naming = Naming.of(title, settings.channels)
    goals = {kind: output / folder_name(kind, naming) for kind in settings.formats}
    for goal in goals.values():
        refuse_existing(goal, overwrite)
    with workplace(output, f"plug-ins to {output}") as work:
        say(f"compiling {naming.title}")
        _compile(work, naming, [query.name for query in queries], toolchain, settings)
        made = {}
        for kind in goals:
            say(f"packing {kind}")
            made[kind] = pack(kind, work, naming)
            _add_resources(made[kind], naming, bundle, queries, toolchain)
        for kind, goal in goals.items():  # only when all are complete
            replace_folder(made[kind], goal)
    return list(goals.values())


def _compile(
    work: Path, naming: Naming, labels: Sequence[str], toolchain: Toolchain, settings: PluginSettings
) -> None:
    """Compile all formats in the folder ``work``."""
    for file in SOURCE.rglob("*.*pp"):
        shutil.copy(file, work)  # into one folder, as the framework's makefile wants it
    shutil.copy(SOURCE / "hosts" / "DistrhoPluginInfo.h", work)
    header = config(naming, labels, toolchain.library.name, settings)
    (work / "config.h").write_text(header, encoding="utf-8")
    if settings.window:
        toolchain = replace(toolchain, dpf=toolchain.framework_copy(work / "dpf"))
    rules = makefile(naming, toolchain, settings)
    (work / "Makefile").write_text(rules, encoding="utf-8")
    command = [toolchain.make, f"-j{os.cpu_count() or 1}"]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.splitlines()
        errors = [line for line in lines if "error:" in line.lower()] or lines or ["make failed"]
        raise MarssepError(f"the plug-in does not compile: {errors[0].strip()}")


def _add_resources(
    made: Path, naming: Naming, bundle: Bundle, queries: Sequence[Query], toolchain: Toolchain
) -> None:
    """Put graph, queries, library and licences beside the plug-in's binary."""
    files = sorted(made.rglob(f"{naming.slug}*"))
    folder = next(p for p in files if p.is_file() and p.suffix != ".ttl").parent
    (folder / "separator.onnx").write_bytes(bundle.read("separator.onnx"))
    content = json.dumps([as_plain(query) for query in queries]) + "\n"
    for name, packed in text_resources(bundle).items():
        (folder / name).write_bytes(packed)
    (folder / "queries.json").write_text(content, encoding="utf-8")
    shutil.copy(toolchain.library, folder / toolchain.library.name)
    for name, licence in licence_files(toolchain):
        shutil.copy(licence, folder / name)


def text_resources(bundle: Bundle) -> dict[str, bytes]:
    """What typed queries take: file name -> content; {} if the text encoder is none for the plug-in."""
    if not bundle.has("text.onnx") or (rules := wordpiece(bundle.read("tokenizer.json"))) is None:
        return {}
    files = {"text.onnx": bundle.read("text.onnx"), "wordpiece.json": json.dumps(rules).encode()}
    if bundle.has(words.FILE):
        files[words.FILE] = bundle.read(words.FILE)
    if (known := Vocabulary.of(bundle)) is not None and known.doubt is not None:
        asked = known.vectors[: known.asked]
        packed = base64.b64encode(asked.astype("<f2").tobytes()).decode()
        doubt = {**asdict(known.doubt), "dim": asked.shape[1], "vectors": packed}
        files["doubt.json"] = json.dumps(doubt).encode()
    return files


def pack(kind: str, work: Path, naming: Naming) -> Path:
    """The compiled format as a folder of its own."""
    out = work / "out"
    if kind in ("vst3", "lv2"):
        folder = out / folder_name(kind, naming)
        if kind == "lv2":
            write_ttl(folder, naming)
        else:
            write_vst3_presets(folder / "Contents" / "Resources" / "Presets", naming)
        return folder
    folder = work / folder_name(kind, naming)
    folder.mkdir()
    name = f"{naming.slug}.clap" if kind == "clap" else naming.slug
    shutil.move(out / name, folder / name)
    return folder


def write_vst3_presets(folder: Path, naming: Naming) -> None:
    """Write the factory presets into a new folder."""
    folder.mkdir(parents=True)
    for name, content in vst3_presets(naming.unique).items():
        (folder / f"{name}.vstpreset").write_bytes(content)


def write_ttl(folder: Path, naming: Naming) -> None:
    """The LV2 plug-in describes itself, in a process of its own; ``amended`` says the rest."""
    library = next(p for p in folder.iterdir() if p.stem in (naming.slug, f"{naming.slug}_dsp"))
    code = "import ctypes, sys; ctypes.CDLL(sys.argv[1]).lv2_generate_ttl(sys.argv[2].encode())"
    done = subprocess.run(
        [sys.executable, "-c", code, f"./{library.name}", library.stem],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    described = folder / f"{library.stem}.ttl"
    if done.returncode or not described.is_file():
        raise MarssepError(
            "the LV2 plug-in does not describe itself: "
            + (done.stderr.splitlines() or ["no description was written"])[-1]
        )
    described.write_text(amended(described.read_text(encoding="utf-8")), encoding="utf-8")
    manifest, presets = lv2_presets(naming.uri)
    with (folder / "manifest.ttl").open("a", encoding="utf-8") as file:
        file.write("\n" + manifest)
    (folder / "presets.ttl").write_text(presets, encoding="utf-8")


def amended(ttl: str) -> str:
    """The framework's description with what it leaves out, and without what it only says to one host.

    The port "offline" is what hosts set while they render (``lv2:freeWheeling``); the port "wet" is for old
    projects only; event ports may stay unconnected and features absent (lv2_shim.cpp).
    """
    ttl, hidden = re.subn(
        r'(lv2:symbol "wet" ;)',
        r"\1\n        lv2:portProperty <http://lv2plug.in/ns/ext/port-props#notOnGUI> ;",
        ttl,
    )
    ttl, wheels = re.subn(r'(lv2:symbol "offline" ;)', r"\1\n        lv2:designation lv2:freeWheeling ;", ttl)
    ttl, events = re.subn(
        r"(lv2:designation lv2:control ;)", r"\1\n        lv2:portProperty lv2:connectionOptional ;", ttl
    )
    ttl, features = re.subn(r"lv2:requiredFeature", "lv2:optionalFeature", ttl)
    if (hidden, wheels, events, features) != (1, 1, 2, 1):
        raise MarssepError(
            "the LV2 description is not as this marssep knows it; "
            "another release of DISTRHO Plugin Framework?"
        )
    return re.sub(r"^ *mod:.*\n", "", ttl, flags=re.MULTILINE)
