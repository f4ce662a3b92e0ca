"""From a checkpoint to a proven bundle."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from export.onnx.graph import export_graph
from export.onnx.streaming_module import StreamingGraph
from export.onnx.verify import Check, prove
from marssep_rt.errors import BundleError
from marssep_rt.model import bundle as bundles
from marssep_rt.query.vocabulary import FILE
from offline_training.alignment.data import image_size
from offline_training.encoders.text_tower import load_tower
from offline_training.models import registry
from offline_training.models.separator import MaskSeparator
from offline_training.utils import checkpoint_io

MOST_BYTES = {
    "separator.onnx": 16_000_000,
    "text.onnx": 12_000_000,
    "audio.onnx": 5_000_000,
    "image.onnx": 2_500_000,
}
MOST_BYTES_IN_ALL = 40_000_000
IMAGE_LICENCE = (
    "Apache-2.0; its trunk began as MediaPipe Objectron's MobileNetV2 (Apache-2.0, Google), trained further "
    "on Caltech-101 (CC BY 4.0) and on ImageNet pictures, whose terms allow non-commercial research: who "
    "must not rely on the latter leaves image.onnx out; see NOTICE"
)
TEXT_LICENCE = (
    "Apache-2.0; distilled from all-MiniLM-L6-v2 (Apache-2.0), some phrases from WordNet 3.0 (Princeton); "
    "see NOTICE"
)
KAPPA = 9.0  # of the Beta policy around this mask (MARS-Sep section 3)


def metadata(model: MaskSeparator, name: str, encoder: str, trained_on: str, presence: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The graph's ``marssep`` property; ``presence``: the model's curve, where it was fitted."""
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


def proven_graph(
    model: MaskSeparator,
    properties: dict[str, Any],
    query: Tensor | None = None,
    report: Callable[[Check], None] = lambda _: None,
) -> tuple[bytes, list[Check]]:
    """Export the ONNX graph and prove its contract.

    Args:
        model: The separator.
        properties: The graph's ``marssep`` metadata.
        query: A query [D] to bake in; None keeps the input.
        report: Called with every check that was passed.

    Raises:
        ContractError: The graph breaks its contract.
    """
    graph = export_graph(StreamingGraph(model, query), properties)
    return graph, prove(graph, model if query is None else None, report=report)


@dataclass(frozen=True)
class QuerySources:
    """Where the query towers come from.

    ``tower``: folder of marssep-train text; ``bundle``: one that has towers; ``towers``: checkpoint of
    marssep-train align; ``sounds``: sounds.json of marssep-train vocabulary; ``semantics``: figures of
    marssep-train semantics. What is not given is taken from ``bundle`` (None: the embedded one) as far as it
    is there.
    """

    tower: Path | None = None
    bundle: Path | None = None
    towers: Path | None = None
    sounds: Path | None = None
    semantics: Path | None = None


def query_files(sources: QuerySources, encoder: str) -> tuple[dict[str, bytes], dict[str, Any], list[Check]]:
    """The query towers' files, their part of the card, and the checks that they passed.

    A checkpoint trained on another encoder than the builtin one gets no towers: its bundle is asked with
    ``.query`` files. Raises BundleError where a source belongs to another encoder (both are named),
    CheckpointError, ContractError.
    """
    files: dict[str, bytes] = {}
    card: dict[str, Any] = {}
    checks: list[Check] = []
    other = bundles.load(sources.bundle)
    if sources.tower is not None:
        from export.onnx.text import export_text

        files["text.onnx"] = export_text(load_tower(sources.tower))
        files["tokenizer.json"] = (sources.tower / "tokenizer.json").read_bytes()
        card["text"] = json.loads((sources.tower / "figures.json").read_text())
    elif other.encoder == encoder:
        files.update({name: other.read(name) for name in ("text.onnx", "tokenizer.json")})
        card["text"] = other.card.get("text", {})
    elif sources.bundle is not None or sources.towers is not None:
        raise BundleError(
            f"the checkpoint was trained on encoder {encoder}, {other.path} offers {other.encoder}"
        )
    if sources.towers is not None:
        from export.onnx.towers import export_audio, export_image, prove_towers
        from offline_training.encoders.builtin import load_towers

        towers, content = load_towers(sources.towers)
        files["audio.onnx"], files["image.onnx"] = export_audio(towers), export_image(towers)
        checks = prove_towers(towers, files["audio.onnx"], files["image.onnx"])
        splits = json.loads(content["describe"]).get("splits", ["train"])
        card["audio"] = {
            "sample_rate": 48_000,
            "hop": 480,
            "stage": content.get("stage"),
            "trained_on_splits": splits,
        }
        if "val" not in splits:
            card["audio"]["val"] = content.get("val")
        card["image"] = {"size": image_size(towers)}
    elif other.encoder == encoder:
        for kind in ("audio", "image"):
            if other.has(f"{kind}.onnx"):
                files[f"{kind}.onnx"], card[kind] = other.read(f"{kind}.onnx"), other.card[kind]
    if sources.sounds is not None:
        files[FILE] = sources.sounds.read_bytes()
    elif other.encoder == encoder and other.has(FILE):
        files[FILE] = other.read(FILE)
    if FILE in files:
        known = json.loads(files[FILE])
        if known["encoder"] != encoder:
            raise BundleError(
                f"the checkpoint was trained on encoder {encoder}, {FILE} belongs to {known['encoder']}"
            )
        card["vocabulary"] = known["figures"]
    if sources.semantics is not None:
        card["semantics"] = json.loads(sources.semantics.read_text(encoding="utf-8"))
    elif sources.towers is None and "semantics" in other.card:
        card["semantics"] = other.card["semantics"]
    return files, card, checks


def make_bundle(
    source: Path,
    output: Path,
    name: str,
    sources: QuerySources,
    measured: dict[str, Any],
    report: Callable[[Check], None] = lambda _: None,
) -> dict[str, Any]:
    """Export, prove and write; returns the card.

    Raises CheckpointError, ContractError or BundleError; nothing is written then.
    """
    model, content = registry.load_separator(source)
    if not isinstance(model, MaskSeparator):
        raise checkpoint_io.CheckpointError(
            f"{source} holds the paper's network, which sees whole clips; "
            "only the streaming one can be exported"
        )
    encoder = content.get("encoder", "")
    trained_on = content.get("trained_on", "2,400 freely licensed clips of 124 labels; see NOTICE")
    files, query_card, tower_checks = query_files(sources, encoder)
    for check in tower_checks:
        report(check)
    graph, checks = proven_graph(model, metadata(model, name, encoder, trained_on), report=report)
    files["separator.onnx"] = graph
    for file, most in MOST_BYTES.items():
        if len(files.get(file, b"")) > most:
            raise BundleError(
                f"{file} has {len(files[file]) / 1e6:.1f} MB, "
                f"more than the {most / 1e6:.1f} MB that a bundle allows"
            )
    if (size := sum(map(len, files.values()))) > MOST_BYTES_IN_ALL:
        raise BundleError(
            f"the bundle would have {size / 1e6:.1f} MB, more than {MOST_BYTES_IN_ALL / 1e6:.0f} MB"
        )
    card: dict[str, Any] = {
        "name": name,
        "encoder": encoder,
        "query_dim": model.config.unet.query_dim,
        "sample_rate": model.config.spectral.sample_rate,
        "hop": model.config.spectral.hop,
        "latency": model.latency,
        "algorithmic_latency_ms": round(
            (model.latency + model.config.spectral.hop) / model.config.spectral.sample_rate * 1e3, 3
        ),
        "parameters": sum(p.numel() for p in model.parameters()),
        "mask": "mode",
        "kappa": KAPPA,
        "licence": "Apache-2.0",
        "trained_on": trained_on,
        "training": checkpoint_io.training(content),
        **query_card,
        **({"image_licence": IMAGE_LICENCE} if "image.onnx" in files else {}),
        "text_licence": TEXT_LICENCE,
        "verified": {c.name: c.difference for c in [*checks, *tower_checks]},
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
