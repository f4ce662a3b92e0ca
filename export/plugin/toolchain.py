"""The tools that build a plug-in: C++ compiler, DISTRHO Plugin Framework, nlohmann's JSON, ONNX Runtime.

They are found in the usual places or where the user says. An error names what is missing and how to get it.
"""

from __future__ import annotations

import os
import platform
import shutil
import struct
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from marssep_rt.errors import UsageError

DPF_PLACES = ("/usr/share/dpf", "/usr/local/share/dpf")
INCLUDE_PLACES = ("/usr/include", "/usr/local/include", "/opt/homebrew/include")
RUNTIME_HEADER = "onnxruntime_c_api.h"
RUNTIME_FOLDERS = ("onnxruntime", "onnxruntime/core/session", ".")
# e_machine of ELF files
MACHINES = {3: "i386", 40: "arm", 62: "x86_64", 183: "aarch64", 243: "riscv64"}


@dataclass(frozen=True)
class Toolchain:
    """The tools of one build.

    Attributes:
        make: The make program.
        dpf: The framework's folder.
        headers: Folders for the compiler.
        library: ONNX Runtime's shared library.
    """

    make: str
    dpf: Path
    headers: tuple[Path, ...]
    library: Path

    @property
    def include_flags(self) -> list[str]:
        """For the compiler, whose own folders must keep their place."""
        return [f"-isystem{folder}" for folder in self.headers if str(folder) != "/usr/include"]

    def framework_copy(self, folder: Path) -> Path:
        """A folder as the framework's, in which it can build its window library; makes ``folder``."""
        folder.mkdir()
        for part in self.dpf.iterdir():
            if part.name == "dgl":
                shutil.copytree(part, folder / part.name)
            elif part.name != "build":
                (folder / part.name).symlink_to(part)
        return folder


def find_window(wanted: bool | None) -> bool:
    """Whether to build a window: None means where it can be built. Raises UsageError if a wanted one cannot.

    The framework asks pkg-config for OpenGL and X11.
    """
    program = shutil.which("pkg-config")
    there = program is not None and subprocess.run([program, "--exists", "gl", "x11"]).returncode == 0
    if wanted and not there:
        raise UsageError(
            "a window needs the headers of OpenGL and X11 and pkg-config "
            "(Debian, Ubuntu: apt install pkg-config libgl-dev libx11-dev); or build with --no-window"
        )
    return there if wanted is None else wanted


def find(
    dpf: Path | None = None, runtime_headers: Path | None = None, library: Path | None = None
) -> Toolchain:
    """Everything that a build needs; raises UsageError that says what is missing and how to get it."""
    make = shutil.which("gmake") or shutil.which("make")
    if make is None:
        raise UsageError("building a plug-in needs make; install it (Debian, Ubuntu: apt install make)")
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        raise UsageError(
            f"building a plug-in needs a C++ compiler, and there is no {compiler}; "
            "install one (Debian, Ubuntu: apt install g++)"
        )
    return Toolchain(
        make, find_dpf(dpf), (find_runtime_headers(runtime_headers), find_json()), find_library(library)
    )


def find_dpf(given: Path | None) -> Path:
    """The folder of DISTRHO Plugin Framework."""
    places = (
        [given] if given is not None else [Path(p) for p in (os.environ.get("DPF_PATH"), *DPF_PLACES) if p]
    )
    for place in places:
        if (place / "Makefile.plugins.mk").is_file():
            return place.absolute()
    raise UsageError(
        f"DISTRHO Plugin Framework is not in {' or '.join(map(str, places))}; "
        "install it (Debian: apt install dpf-source) or give --dpf FOLDER"
    )


def find_json() -> Path:
    """The folder that has nlohmann/json.hpp."""
    for place in INCLUDE_PLACES:
        if (Path(place) / "nlohmann" / "json.hpp").is_file():
            return Path(place)
    raise UsageError(
        "the header nlohmann/json.hpp is missing; install it (Debian, Ubuntu: apt install nlohmann-json3-dev)"
    )


def find_runtime_headers(given: Path | None) -> Path:
    """The folder that has ONNX Runtime's C header."""
    places = [given] if given is not None else [Path(p) for p in INCLUDE_PLACES]
    for place in places:
        for folder in RUNTIME_FOLDERS:
            if (place / folder / RUNTIME_HEADER).is_file():
                return (place / folder).absolute()
    raise UsageError(
        f"ONNX Runtime's header {RUNTIME_HEADER} is not under {', '.join(map(str, places))}; "
        "install it (Debian 13, Ubuntu 24.10 and later: apt install libonnxruntime-dev) "
        "or give --onnxruntime-headers FOLDER"
    )


def find_library(given: Path | None) -> Path:
    """ONNX Runtime's shared library: the given one, or the one of the Python package."""
    if given is None:
        import onnxruntime

        capi = Path(onnxruntime.__file__).parent / "capi"
        found = sorted([*capi.glob("libonnxruntime.*"), *capi.glob("onnxruntime.dll")])
        if not found:
            raise UsageError(
                "the Python package onnxruntime has no shared library; "
                "give one with --onnxruntime-library FILE"
            )
        given = found[0]
    if not given.is_file():
        raise UsageError(f"there is no ONNX Runtime library {given}")
    check_machine(given)
    return given.absolute()


def check_machine(library: Path, here: str | None = None) -> None:
    """Raise UsageError if a library is not an ELF file for the machine ``here`` (None: this one)."""
    if platform.system() != "Linux":
        return
    here = here or platform.machine()
    with library.open("rb") as file:
        head = file.read(20)
    if len(head) < 20 or head[:4] != b"\x7fELF":
        raise UsageError(f"{library} is no shared library")
    (number,) = struct.unpack("<H" if head[5] == 1 else ">H", head[18:20])
    machine = MACHINES.get(number, f"machine {number}")
    if machine != here:
        raise UsageError(f"{library} is for {machine}, and this machine is {here}")


def licence_files(toolchain: Toolchain) -> Iterable[tuple[str, Path]]:
    """(name, file) of the licences of what a plug-in carries, as far as they lie about."""
    package = toolchain.library.parent.parent
    for name, place in (
        ("LICENSE.onnxruntime", package / "LICENSE"),
        ("ThirdPartyNotices.onnxruntime.txt", package / "ThirdPartyNotices.txt"),
        ("LICENSE.dpf", toolchain.dpf / "LICENSE"),
        ("LICENSE.dpf", Path("/usr/share/doc/dpf-source/copyright")),
        ("LICENSE.nlohmann-json", Path("/usr/share/doc/nlohmann-json3-dev/copyright")),
    ):
        if place.is_file():
            yield name, place
