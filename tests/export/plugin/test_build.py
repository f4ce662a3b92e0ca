"""What surrounds the compiler: names, the generated header, what is missing, descriptions."""

import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from export.plugin import build as builder
from export.plugin import toolchain
from export.plugin.build import SOURCE, PluginSettings, amended, build, config
from export.plugin.naming import Naming, c_string
from export.plugin.presets import MIXER, PRESETS, lv2_presets, vst3_presets
from export.plugin.toolchain import Toolchain, check_machine, find_dpf, find_library, find_runtime_headers
from export.slugs import slug_of
from marssep_rt.errors import MarssepError, UsageError
from marssep_rt.query.types import Query

BIN = Path(sys.executable).parent


def test_names():
    assert slug_of("Dog barking!") == "marssep-dog-barking"
    assert slug_of("marssep") == "marssep"
    with pytest.raises(UsageError, match="no letters or digits"):
        slug_of("???")
    stereo, mono = Naming.of("marssep dog", 2), Naming.of("marssep dog", 1)
    assert (stereo.slug, mono.slug, mono.title) == ("marssep-dog", "marssep-dog-mono", "marssep dog (mono)")
    assert len(stereo.unique) == 4
    assert stereo.unique != mono.unique


@pytest.mark.parametrize("text", ['dog "barking"', "back\\slash", "Hund, bellend: wüst", "a\nb", "what??/"])
def test_any_label_is_a_c_literal(text, tmp_path):
    literal = c_string(text)
    assert literal.isascii()
    assert literal.isprintable()
    assert eval(f"b{literal}").decode() == text  # octal escapes mean the same in Python


def test_the_header_names_every_query():
    text = config(Naming.of("marssep", 2), ["dog", 'a "b"'], "libonnxruntime.so.1", PluginSettings())
    assert '#define MARSSEP_QUERIES "dog", "a \\042b\\042"\n' in text
    assert "#define MARSSEP_QUERY_COUNT 2\n" in text
    assert '#define MARSSEP_URI "urn:marssep:marssep"\n' in text


def test_a_query_that_asks_for_a_residual_is_named_so(bundle, tmp_path, monkeypatch):
    labels = []
    monkeypatch.setattr(
        builder, "_compile", lambda work, naming, names, *_: (labels.extend([naming.title, *names]), 1 / 0)
    )
    with pytest.raises(ZeroDivisionError):
        build(bundle, [Query(query().vector, "", "dog", remove=True)], tmp_path / "out", None)
    assert labels == ["marssep everything but dog", "everything but dog"]


def elf(path, machine):
    path.write_bytes(b"\x7fELF\x02\x01" + bytes(12) + machine.to_bytes(2, "little") + bytes(40))
    return path


def test_what_is_missing_is_one_sentence(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="apt install dpf-source"):
        find_dpf(tmp_path)
    with pytest.raises(UsageError, match="--onnxruntime-headers FOLDER"):
        find_runtime_headers(tmp_path)
    with pytest.raises(UsageError, match="there is no ONNX Runtime library"):
        find_library(tmp_path / "none.so")
    (tmp_path / "text.so").write_text("not a library at all")
    with pytest.raises(UsageError, match="is no shared library"):
        check_machine(tmp_path / "text.so")
    with pytest.raises(UsageError, match="is for aarch64, and this machine is x86_64"):
        check_machine(elf(tmp_path / "arm.so", 183), "x86_64")
    check_machine(elf(tmp_path / "pc.so", 62), "x86_64")
    monkeypatch.setattr(toolchain, "INCLUDE_PLACES", (str(tmp_path),))
    with pytest.raises(UsageError, match="nlohmann-json3-dev"):
        toolchain.find_json()
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(UsageError, match="there is no no-such-compiler"):
        toolchain.find()
    monkeypatch.setenv("PATH", "")
    assert not toolchain.find_window(None)
    assert not toolchain.find_window(False)
    with pytest.raises(UsageError, match="--no-window"):
        toolchain.find_window(True)
    with pytest.raises(UsageError, match="needs make"):
        toolchain.find()


def run(*args, **env):
    done = subprocess.run(
        [BIN / "marssep-export", *map(str, args)], capture_output=True, text=True, env={**os.environ, **env}
    )
    assert "Traceback" not in done.stderr
    return done.returncode, " ".join(done.stderr.split())


def test_the_command_says_what_is_wrong(tmp_path):
    for args, words in [
        ((), "say what there is to choose"),
        (("--query", "dog", "--format", "vst9"), "there is no format 'vst9'"),
        (("--query", "dog", "--channels", "quad"), "choose stereo, mono or both"),
        (("--query", "dog", "--dpf", tmp_path), "DISTRHO Plugin Framework is not in"),
        (("--query-file", tmp_path / "none.query"), "cannot read the query file"),
    ]:
        code, said = run("plugin", "-o", tmp_path / "out", *args)
        assert (code, words in said) == (2, True), said
    assert not (tmp_path / "out").exists()


def test_presets_name_parameters_of_the_plugin():
    symbols = set(re.findall(r'\{"[^"]+", "(\w+)"', (SOURCE / "hosts" / "parameters.hpp").read_text()))
    manifest, presets = lv2_presets("urn:marssep:x")
    assert len(PRESETS) >= 4
    for text in (manifest, presets):
        assert re.findall(r'rdfs:label "([^"]+)"', text) == list(PRESETS)
    assert symbols > set(re.findall(r'lv2:symbol "(\w+)"', presets)) == set(MIXER)


def test_presets_are_states_of_the_mixer_alone():
    """A state without a query leaves the query as it is."""
    files = vst3_presets("abcd", windows=False)
    assert list(files) == list(PRESETS)
    for name, content in files.items():
        head, number, class_id, place = struct.unpack_from("<4si32sq", content)
        assert (head, number, class_id) == (b"VST3", 1, b" FPDsalcdcba\0\0\0\0".hex().upper().encode())
        kind, count, part, begin, size = struct.unpack_from("<4si4sqq", content, place)
        assert (kind, count, part, begin + size) == (b"List", 1, b"Comp", place)
        first, *values, last, end, nothing = content[begin:place].split(b"\0")
        assert (first, last) == (b"__dpf_parameters_begin__", b"__dpf_parameters_end__")
        assert (end, nothing) == (b"\xfe", b"")
        expected = {**MIXER, **PRESETS[name]}
        assert dict(zip(values[::2], values[1::2], strict=True)) == {
            symbol.encode(): str(value).encode() for symbol, value in expected.items()
        }
    (windows,) = {content[8:40] for content in vst3_presets("abcd", windows=True).values()}
    assert windows == b"445046206173636C" + b"dcba\0\0\0\0".hex().upper().encode()


def query(label="dog"):
    return Query(np.eye(1, 384, dtype=np.float32)[0], "builtin-text-1", label)


def test_what_does_not_compile_leaves_nothing(bundle, tmp_path):
    """The framework's rules are replaced by one that fails as a compiler does."""
    (tmp_path / "Makefile.plugins.mk").write_text("all:\n\t@echo 'plugin.cpp:1: error: no luck' >&2; false\n")
    tools = Toolchain("make", tmp_path, (Path("/usr/include"),), elf(tmp_path / "libonnxruntime.so.1", 62))
    with pytest.raises(MarssepError, match=r"does not compile: .*no luck"):
        build(bundle, [query()], tmp_path / "out", tools)
    assert list((tmp_path / "out").iterdir()) == []
    (tmp_path / "out" / "marssep-dog.vst3").mkdir()
    with pytest.raises(UsageError, match="add --overwrite"):
        build(bundle, [query()], tmp_path / "out", tools)
    with pytest.raises(UsageError, match="1 to 100 queries"):
        build(bundle, [], tmp_path / "out", tools)
    (tmp_path / "file").write_text("")
    with pytest.raises(MarssepError, match="cannot write plug-ins"):
        build(bundle, [query()], tmp_path / "file" / "out", tools)


def test_the_lv2_description_is_amended_or_refused():
    ttl = (
        "    lv2:requiredFeature opts:options ;\n"
        "    lv2:designation lv2:control ;\n    lv2:designation lv2:control ;\n"
        '        lv2:symbol "wet" ;\n        lv2:symbol "offline" ;\n    mod:label "x" ;\n'
    )
    text = amended(ttl)
    assert text.count("lv2:connectionOptional") == 2
    assert "lv2:freeWheeling" in text
    assert "notOnGUI" in text
    assert "required" not in text
    assert "mod:" not in text
    with pytest.raises(MarssepError, match="another release"):
        amended("nothing of that kind")
