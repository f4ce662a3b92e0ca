"""``marssep export onnx``: the graph for third-party applications, alone and with queries baked in."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnx.helper
import onnx.numpy_helper

from export.slugs import slug_of
from marssep_rt.contract import FORMATS
from marssep_rt.errors import UsageError
from marssep_rt.model.bundle import Bundle
from marssep_rt.query.query_file import write_query
from marssep_rt.query.types import Query
from marssep_rt.utils.atomic_io import whole_folder

EXAMPLES = Path(__file__).parents[1] / "examples"
PAPERS = {
    "EMBEDDING.md": "README.md",
    "example.c": "c/example.c",
    "example.mjs": "js/example.mjs",
}  # name in the folder: source


def bake(graph: bytes, query: npt.NDArray[np.float32], label: str) -> bytes:
    """Turn the graph's input ``query`` into a constant for every stream, and ``other`` into none.

    Args:
        graph: The separator.
        query: Unit vector [D].
        label: The query in words, for the metadata.

    Raises:
        UsageError: The graph has a baked query already.
    """
    model = onnx.load_from_string(graph)
    names = [i.name for i in model.graph.input]
    if "query" not in names:
        raise UsageError("the graph has a query baked in already")
    _freeze(model, "query", query)
    if "other" in names:  # nothing else is pushed away
        _freeze(model, "other", np.zeros_like(query))
    entry = next(p for p in model.metadata_props if p.key == FORMATS.metadata_key)
    entry.value = json.dumps({**json.loads(entry.value), "query": label})
    onnx.checker.check_model(model)
    return model.SerializeToString()


def _freeze(model: onnx.ModelProto, name: str, vector: npt.NDArray[np.float32]) -> None:
    """Make an input [B, D] of a graph the same vector [D] for every stream."""
    model.graph.input.remove(next(i for i in model.graph.input if i.name == name))
    constants = {
        f"{name}_vector": vector.astype(np.float32)[None],
        f"{name}_size": np.array([len(vector)], np.int64),
    }
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(value, key) for key, value in constants.items()
    )
    make = onnx.helper.make_node
    streams, shape = f"{name}_streams", f"{name}_shape"
    nodes = [
        make("Shape", ["audio"], [streams], name=streams, start=0, end=1),
        make("Concat", [streams, f"{name}_size"], [shape], name=shape, axis=0),
        make("Expand", [f"{name}_vector", shape], [name], name=f"{name}_baked"),
    ]
    for node in reversed(nodes):
        model.graph.node.insert(0, node)


def export_onnx(
    bundle: Bundle, queries: Sequence[Query], output: Path, overwrite: bool = False
) -> list[Path]:
    """Write a folder for developers: the graph, a baked graph and a .query file for each query, and examples.

    Args:
        bundle: The model.
        queries: The queries to bake in.
        output: The folder, which is written atomically.
        overwrite: Whether an existing folder is replaced.

    Returns:
        The files of the folder.

    Raises:
        UsageError: The folder exists, or two queries have the same name.
        MarssepError: The folder cannot be written.
    """
    slugs = [slug_of(q.label) for q in queries]
    if twice := sorted({s for s in slugs if slugs.count(s) > 1}):
        raise UsageError(f"two queries would both be called {twice[0]}; export them separately")
    with whole_folder(output, overwrite) as made:
        graph = bundle.read("separator.onnx")
        (made / "separator.onnx").write_bytes(graph)
        info = json.loads(
            next(
                p.value for p in onnx.load_from_string(graph).metadata_props if p.key == FORMATS.metadata_key
            )
        )
        card = {k: v for k, v in bundle.card.items() if k != "files"} | info
        (made / "card.json").write_text(json.dumps(card, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        for query, slug in zip(queries, slugs, strict=True):
            (made / f"{slug}.onnx").write_bytes(bake(graph, query.vector, query.label))
            write_query(made / f"{slug}.query", query)
        for name, paper in PAPERS.items():
            shutil.copy(EXAMPLES / paper, made / name)
    return sorted(output.iterdir())
