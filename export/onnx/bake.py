"""``marssep-export onnx``: the graph for third-party applications, alone and with queries baked in."""

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
    """Turn the graph's input ``query`` into a constant for every stream.

    Args:
        graph: The separator.
        query: Unit vector [D].
        label: The query in words, for the metadata.

    Raises:
        UsageError: The graph has a baked query already.
    """
    model = onnx.load_from_string(graph)
    inputs = [i for i in model.graph.input if i.name == "query"]
    if not inputs:
        raise UsageError("the graph has a query baked in already")
    model.graph.input.remove(inputs[0])
    constants = {
        "query_vector": query.astype(np.float32)[None],
        "query_size": np.array([len(query)], np.int64),
    }
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(value, name) for name, value in constants.items()
    )
    nodes = [
        onnx.helper.make_node("Shape", ["audio"], ["query_streams"], name="query_streams", start=0, end=1),
        onnx.helper.make_node(
            "Concat", ["query_streams", "query_size"], ["query_shape"], name="query_shape", axis=0
        ),
        onnx.helper.make_node("Expand", ["query_vector", "query_shape"], ["query"], name="query_baked"),
    ]
    for node in reversed(nodes):
        model.graph.node.insert(0, node)
    entry = next(p for p in model.metadata_props if p.key == FORMATS.metadata_key)
    entry.value = json.dumps({**json.loads(entry.value), "query": label})
    onnx.checker.check_model(model)
    return model.SerializeToString()


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
