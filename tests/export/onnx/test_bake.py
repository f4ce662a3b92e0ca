"""The graph for other people's programs: the baked one is the same separator, and the examples run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from daw_tools import compile_c, need, sound, tools
from export.onnx.bake import bake, export_onnx
from marssep_rt import Separator
from marssep_rt.errors import UsageError
from marssep_rt.model.stream import GraphInfo, zero_state
from marssep_rt.query.build import build_query
from marssep_rt.query.types import QueryRequest

BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from marssep_rt.model import bundle as bundles

    loaded = bundles.load(None)
    path = tmp_path_factory.mktemp("embed") / "graph"
    export_onnx(
        loaded, [build_query(loaded, QueryRequest(texts=[q])) for q in ("dog barking", "violin")], path
    )
    return path


@pytest.fixture(scope="module")
def expected():
    """What the runtime's graph makes of the sound, late by the graph's latency alone."""
    x = sound(1.0, 1)
    s = Separator(query="dog barking")
    y = s.process(np.concatenate([x, np.zeros((1, s.hop - 1), np.float32)], axis=1))
    return x, y[:, s.hop - 1 :]


def test_what_is_written(folder):
    assert {p.name for p in folder.iterdir()} == {
        "separator.onnx",
        "card.json",
        "EMBEDDING.md",
        "example.c",
        "example.mjs",
        "marssep-dog-barking.onnx",
        "marssep-dog-barking.query",
        "marssep-violin.onnx",
        "marssep-violin.query",
    }
    card = json.loads((folder / "card.json").read_text())
    assert card["hop"] == 480
    assert card["states"]


def test_the_baked_graph_is_the_same_for_any_number_of_streams(folder, bundle):
    whole, baked = (
        ort.InferenceSession(folder / name) for name in ("separator.onnx", "marssep-dog-barking.onnx")
    )
    info = GraphInfo.of(baked)
    assert "query" not in {i.name for i in baked.get_inputs()}
    assert json.loads(baked.get_modelmeta().custom_metadata_map["marssep"])["query"] == "dog barking"
    vector = np.array(json.loads((folder / "marssep-dog-barking.query").read_text())["vector"], np.float32)
    audio = np.stack([sound(0.1, 2, seed=i)[:, : 480 * 8] for i in range(3)])
    state = zero_state(info, 3, 2)
    queries = np.tile(vector, (3, 1))
    (one,) = whole.run(
        ["target"], {"audio": audio, "query": queries, "other": np.zeros_like(queries), **state}
    )
    (other,) = baked.run(["target"], {"audio": audio, **state})
    np.testing.assert_allclose(one, other, atol=1e-6)
    with pytest.raises(UsageError, match="baked in already"):
        bake((folder / "marssep-dog-barking.onnx").read_bytes(), vector, "x")


def test_the_c_example(folder, expected, tmp_path):
    x, y = expected
    program = compile_c(folder / "example.c", tmp_path / "example")
    (tmp_path / "libonnxruntime.so.1").symlink_to(tools().library)  # the name that it is linked under
    env = {**os.environ, "LD_LIBRARY_PATH": str(tmp_path)}
    done = subprocess.run(
        [program, folder / "marssep-dog-barking.onnx"], input=x.tobytes(), capture_output=True, env=env
    )
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.frombuffer(done.stdout, np.float32), y[0], atol=1e-5)
    done = subprocess.run([program, folder / "card.json"], input=b"", capture_output=True, env=env)
    assert done.returncode == 1


def test_the_javascript_example(folder, expected, tmp_path):
    """With onnxruntime-web of the npm registry, once it has been fetched."""
    need("node", "npm")
    x, y = expected
    cache = Path(os.environ.get("MARSSEP_NPM", Path.home() / ".cache" / "marssep-npm"))
    if not (cache / "node_modules" / "onnxruntime-web").is_dir():
        done = subprocess.run(
            [
                "npm",
                "install",
                "--silent",
                "--no-audit",
                "--no-fund",
                "--prefix",
                cache,
                "onnxruntime-web@1.23",
            ],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            pytest.skip(
                f"onnxruntime-web cannot be fetched: {(done.stderr.splitlines() or ['npm failed'])[0]}"
            )
    script = tmp_path / "example.mjs"
    script.write_text((folder / "example.mjs").read_text())
    (tmp_path / "node_modules").symlink_to(cache / "node_modules")
    done = subprocess.run(
        ["node", script, folder / "separator.onnx", folder / "marssep-dog-barking.query"],
        input=x.tobytes(),
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.frombuffer(done.stdout, np.float32), y[0], atol=1e-4)


def test_the_command(tmp_path):
    def run(*args):
        done = subprocess.run(
            [BIN / "marssep-export", "onnx", *map(str, args)], capture_output=True, text=True
        )
        assert "Traceback" not in done.stderr
        return done.returncode, " ".join(done.stderr.split())

    code, said = run("--query", "rain", "-o", tmp_path / "out")
    assert code == 0, said
    assert "marssep-rain.onnx" in said
    code, said = run("--query", "rain", "-o", tmp_path / "out")
    assert code == 2
    assert "add --overwrite" in said
    assert run("--query", "rain", "-o", tmp_path / "out", "--overwrite")[0] == 0
    code, said = run("--query", "rain", "--query", "rain!", "-o", tmp_path / "two")
    assert code == 2
    assert "both be called marssep-rain" in said
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]
