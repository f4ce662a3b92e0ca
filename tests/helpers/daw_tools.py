"""Plug-ins and their engine, built once a test run; the engine as Python functions."""

import ctypes as c
import os
import re
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import marssep_rt
from export.plugin.build import FORMATS, SOURCE, PluginSettings, build, makefile
from export.plugin.naming import Naming
from export.plugin.toolchain import find, find_window
from marssep_rt.errors import UsageError
from marssep_rt.model import bundle as bundles
from marssep_rt.query.build import build_query
from marssep_rt.query.types import QueryRequest

ROOT = Path(__file__).parents[2]
MODEL = Path(marssep_rt.__file__).parent / "models" / "default" / "separator.onnx"
QUERIES = ("dog barking", "violin")
OWN = len(QUERIES)  # the choice "Own query"
UNITS = ("capi/marssep.cpp", "core/engine.cpp", "core/model.cpp", "core/query_file.cpp", "core/resampler.cpp")
FLOATS = c.POINTER(c.c_float)


@cache
def tools():
    """What building takes, or a skip that says what is missing."""
    for headers in (None, Path(sys.prefix) / "include", *ROOT.glob(".venv*/include")):
        try:
            return find(runtime_headers=headers)
        except UsageError as e:
            reason = str(e)
    pytest.skip(reason)


@cache
def scratch():
    """A folder for what is built, gone with the process."""
    folder = tempfile.TemporaryDirectory(prefix="marssep-daw-")
    return folder, Path(folder.name)


@cache
def shipped_flags(stage="CXX"):
    """The CXX or LINK flags of what ships, -ffast-math among them: asked of their own makefile."""
    folder = scratch()[1] / f"flags{stage}"
    folder.mkdir()
    variable = {"CXX": "BUILD_CXX_FLAGS", "LINK": "LINK_FLAGS"}[stage]
    rules = makefile(Naming.of("flags", 2), tools(), PluginSettings()) + f"flags:\n\t@echo $({variable})\n"
    (folder / "Makefile").write_text(rules)
    said = subprocess.run(["make", "-s", "flags"], cwd=folder, capture_output=True, text=True, check=True)
    # what is left out would hide or drop functions that only tests call
    leave = ("-MD", "-MP", "-fvisibility=hidden", "-I.", "-pipe")
    return [flag for flag in said.stdout.split() if flag not in leave and not flag.startswith("-Wl,")]


def compile_cpp(output, sources, *flags):
    """A program, or a library where the name ends in .so, with the flags that ship; warnings are errors."""
    compiler = [os.environ.get("CXX", "g++"), *shipped_flags()]
    includes = [f"-I{SOURCE / 'core'}", f"-I{SOURCE / 'capi'}"]
    with tempfile.TemporaryDirectory() as folder:
        objects = []
        for source in map(str, sources):
            if source.endswith(".cpp"):
                objects.append(f"{folder}/{len(objects)}.o")
                _run([*compiler, "-Werror", *includes, "-c", source, "-o", objects[-1], *flags])
            else:
                objects.append(source)
        shared = ["-shared"] if output.suffix == ".so" else []
        _run([*compiler, *shipped_flags("LINK"), *shared, *objects, "-o", str(output), *flags, "-ldl"])
    return output


def _run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def compile_c(source, output):
    """A C program against ONNX Runtime; warnings are errors."""
    command = [
        os.environ.get("CC", "gcc"),
        "-std=c11",
        "-O2",
        "-Wall",
        "-Wextra",
        "-Werror",
        *tools().include_flags,
        str(source),
        "-o",
        str(output),
        str(tools().library),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return output


@cache
def core(*flags):
    """The engine behind its C functions as a shared library, compiled with more flags."""
    tools()  # or skip, before anything is made
    folder = scratch()[1] / ("core" + re.sub(r"\W", "", "".join(flags)))
    folder.mkdir()
    return compile_cpp(folder / "libcore.so", [SOURCE / u for u in UNITS], *flags)


@cache
def probe(*flags):
    """The real-time probe (real_time_probe.cpp) with the engine of the same flags."""
    library = core(*flags)
    source = Path(__file__).with_name("real_time_probe.cpp")
    return compile_cpp(library.with_name("probe"), [source, library], f"-Wl,-rpath,{library.parent}", *flags)


@cache
def golden():
    """The plug-in's pure functions, linked to the engine (golden.cpp)."""
    library = core()
    source = Path(__file__).with_name("golden.cpp")
    built = compile_cpp(library.with_name("libgolden.so"), [source, library], f"-Wl,-rpath,{library.parent}")
    loaded = c.CDLL(str(built))
    loaded.golden_mixer.argtypes = [c.c_float, c.c_float, c.c_float, c.c_int, FLOATS]
    loaded.golden_resample.argtypes = [c.c_uint, c.c_uint, FLOATS, c.c_uint, FLOATS]
    loaded.golden_latency.argtypes = [c.c_uint] * 6
    loaded.golden_query.argtypes = [c.c_char_p, c.c_char_p, c.c_uint, FLOATS, FLOATS]
    return loaded


@cache
def helper(name, *flags):
    """A C++ file beside this one, compiled as a program, or as a library where ``name`` ends in .so."""
    source = Path(__file__).with_name(Path(name).stem).with_suffix(".cpp")
    return compile_cpp(scratch()[1] / name, [source], *flags)


@cache
def words():
    """The program that tokenizes, understands and embeds lines of text as the plug-in does (words.cpp)."""
    library = core()
    names = ("doubt.cpp", "wordpiece.cpp", "sentence.cpp", "text_encoder.cpp", "words.cpp")
    sources = [Path(__file__).with_name("words.cpp"), *(SOURCE / "core" / name for name in names), library]
    return compile_cpp(library.with_name("words"), sources, f"-Wl,-rpath,{library.parent}")


@cache
def counting_runtime():
    """ONNX Runtime that counts its objects: the library's path and its own functions."""
    path = helper("counting_runtime.so", f'-DREAL="{tools().library}"')
    return path, c.CDLL(str(path))


@cache
def plugins(channels, /):
    """A folder with every format of a plug-in that listens to QUERIES."""
    folder = scratch()[1] / f"plugins{channels}"
    bundle = bundles.load(None)
    queries = [build_query(bundle, QueryRequest(texts=[q])) for q in QUERIES]
    settings = PluginSettings(FORMATS if channels == 2 else ("vst3",), channels=channels)
    build(bundle, queries, folder, tools(), settings)
    return folder


@cache
def windowed():
    """A folder with an LV2 plug-in and a JACK program with a window, or a skip where none can be built."""
    tools()
    if not find_window(None):
        pytest.skip("the headers of X11 and OpenGL are missing")
    folder, bundle = scratch()[1] / "windowed", bundles.load(None)
    queries = [build_query(bundle, QueryRequest(texts=[q])) for q in QUERIES]
    build(bundle, queries, folder, tools(), PluginSettings(("lv2", "jack"), window=True))
    return folder


C_TYPES = {
    "void*": c.c_void_p,
    "const char*": c.c_char_p,
    "const float*": FLOATS,
    "float*": FLOATS,
    "unsigned": c.c_uint,
    "int": c.c_int,
    "float": c.c_float,
    "void": None,
}


@cache
def library():
    """The engine's C functions, with the signatures of its header."""
    loaded = c.CDLL(str(core()))
    header = re.sub(r"/\*.*?\*/", "", (SOURCE / "capi" / "marssep.h").read_text(), flags=re.DOTALL)
    for result, name, parameters in re.findall(
        r"^([\w ]+\*?) (marssep_\w+)\(([^)]*)\);", header, re.MULTILINE
    ):
        function = getattr(loaded, name)
        function.restype = C_TYPES[result]
        kinds = [" ".join(p.split()[:-1]) for p in parameters.split(",")] if parameters != "void" else []
        function.argtypes = [C_TYPES[kind] for kind in kinds]
    return loaded


class Engine:
    """One engine; ``process`` takes and gives float32 [C, n]."""

    def __init__(
        self,
        channels=2,
        queries=QUERIES,
        rate=48_000,
        block=512,
        offline=True,
        model=MODEL,
        spare=0,
        runtime=None,
    ):
        vectors = np.ascontiguousarray([marssep_rt.embed_text(q) for q in queries], np.float32)
        runtime = str(runtime or tools().library).encode()
        handle = library().marssep_open(
            runtime, str(model).encode(), channels, _floats(vectors), len(queries), spare
        )
        if handle is None:
            raise RuntimeError(library().marssep_error().decode())
        self.handle, self.channels = c.c_void_p(handle), channels
        self("offline", int(offline))
        self.start(rate, block)

    def __call__(self, name, *values):
        return getattr(library(), f"marssep_{name}")(self.handle, *values)

    def start(self, rate=48_000, block=512):
        failed = self("start", rate, block)
        self.latency = self("latency")
        return failed

    def process(self, x):
        x = np.ascontiguousarray(x, np.float32)
        y = np.empty_like(x)
        self("process", _floats(x), _floats(y), self.channels, x.shape[1])
        return y

    def run(self, x, sizes):
        """All of [C, n] in blocks of ``sizes``, which are gone through again and again."""
        outs, at, turn = [], 0, 0
        while at < x.shape[1]:
            outs.append(self.process(x[:, at : at + sizes[turn % len(sizes)]]))
            at += outs[-1].shape[1]
            turn += 1
        return np.concatenate(outs, axis=1)

    def close(self):
        self("close")
        self.handle = None


def _floats(array):
    return array.ctypes.data_as(FLOATS)


def need(*programs):
    """Skip where a program is missing."""
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")


def sound(seconds=2.0, channels=2, rate=48_000, seed=0):
    """Barks over noise, [C, n]: something for "dog barking" to find; channels differ."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * rate)) / rate
    bark = np.sin(2 * np.pi * (400 + 300 * np.exp(-8 * (t % 0.5))) * t) * np.exp(-12 * (t % 0.5))
    rows = [0.3 * bark * (1 - 0.3 * i) + 0.03 * rng.standard_normal(len(t)) for i in range(channels)]
    return np.array(rows, np.float32)
