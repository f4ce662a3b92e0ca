"""From a checkpoint to a proven bundle."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from export.graph import export_graph
from export.streaming import StreamingGraph
from export.verify import Check, prove
from marssep_rt import bundle as bundles
from offline_training import checkpoint
from offline_training.separator import MaskSeparator
from offline_training.text_tower import load_tower

MOST_BYTES = {"separator.onnx": 8_000_000, "text.onnx": 10_000_000}
KAPPA = 9.0  # of the Beta policy around this mask (MARS-Sep section 3)


def metadata(model: MaskSeparator, name: str, encoder: str, trained_on: str) -> dict[str, Any]:
    """The graph's ``marssep`` property."""
    spectral = model.config.spectral
    return {
        "format": 1,
        "name": name,
        "sample_rate": spectral.sample_rate,
        "hop": spectral.hop,
        "latency": model.latency,
        "query_dim": model.config.unet.query_dim,
        "encoder": encoder,
        "mask": "mode",
        "kappa": KAPPA,
        "bands": spectral.bands,
        "states": model.state_shapes(),
        "licence": "Apache-2.0",
        "trained_on": trained_on,
    }


def proven_graph(model: MaskSeparator, properties: dict[str, Any], query: Tensor | None = None,
                 report: Callable[[Check], None] = lambda _: None) -> tuple[bytes, list[Check]]:  # fmt: skip
    """The ONNX graph, after the proof of its contract; raises ContractError instead of returning one that does not match."""
    graph = export_graph(StreamingGraph(model, query), properties)
    return graph, prove(graph, model if query is None else None, report=report)


def make_bundle(source: Path, output: Path, name: str, tower: Path | None, text_from: Path | None, measured: dict[str, Any],
                report: Callable[[Check], None] = lambda _: None) -> dict[str, Any]:  # fmt: skip
    """Export, prove and write; returns the card. The text tower comes from training (``tower``) or from another bundle.

    Raises CheckpointError, ContractError or BundleError; nothing is written then.
    """
    model, content = checkpoint.load_separator(source)
    encoder = content.get("encoder", "")
    trained_on = content.get("trained_on", "2,400 freely licensed clips of 124 labels; see NOTICE")
    files: dict[str, bytes] = {}
    if tower is not None:
        from export.text import export_text

        files["text.onnx"] = export_text(load_tower(tower))
        files["tokenizer.json"] = (tower / "tokenizer.json").read_bytes()
        text_card = json.loads((tower / "figures.json").read_text())
    else:
        other = bundles.load(text_from)
        if other.encoder != encoder:
            raise bundles.BundleError(f"the checkpoint was trained on encoder {encoder}, {other.path} offers {other.encoder}")
        files["text.onnx"], files["tokenizer.json"] = other.read("text.onnx"), other.read("tokenizer.json")
        text_card = other.card.get("text", {})
    graph, checks = proven_graph(model, metadata(model, name, encoder, trained_on), report=report)
    files["separator.onnx"] = graph
    for file, most in MOST_BYTES.items():
        if len(files[file]) > most:
            raise bundles.BundleError(f"{file} has {len(files[file]) / 1e6:.1f} MB, more than the {most / 1e6:.0f} MB that a bundle allows")
    card: dict[str, Any] = {
        "name": name,
        "encoder": encoder,
        "query_dim": model.config.unet.query_dim,
        "sample_rate": model.config.spectral.sample_rate,
        "hop": model.config.spectral.hop,
        "latency": model.latency,
        "algorithmic_latency_ms": round((model.latency + model.config.spectral.hop) / model.config.spectral.sample_rate * 1e3, 3),
        "parameters": sum(p.numel() for p in model.parameters()),
        "mask": "mode",
        "kappa": KAPPA,
        "licence": "Apache-2.0",
        "trained_on": trained_on,
        "training": {"step": content.get("step"), "val": content.get("val"), "recipe": json.loads(content.get("recipe", "{}"))},
        "text": text_card,
        "text_licence": "Apache-2.0; distilled from all-MiniLM-L6-v2 (Apache-2.0), some phrases from WordNet 3.0 (Princeton); see NOTICE",
        "verified": {c.name: c.difference for c in checks},
        "measured": measured,
    }
    bundles.write(output, card, files)
    return card


def verify_bundle(path: Path, report: Callable[[Check], None]) -> None:
    """Hashes, metadata and the graph's promises of a bundle on disk; raises BundleError or ContractError."""
    bundle = bundles.load(path)
    bundles.verify(bundle)
    torch.set_num_threads(1)
    prove(bundle.read("separator.onnx"), None, report=report)
