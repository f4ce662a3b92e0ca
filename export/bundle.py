"""From a checkpoint to a proven bundle."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from export.onnx.graph import export_graph
from export.onnx.streaming_module import StreamingGraph
from export.onnx.verify import Check, prove
from marssep_rt.errors import BundleError
from marssep_rt.model import bundle as bundles
from marssep_rt.query.vocabulary import FILE, KnownSounds
from offline_training.alignment.data import image_size
from offline_training.encoders import mobilenet
from offline_training.encoders.pair import Towers
from offline_training.encoders.text_tower import load_tower
from offline_training.encoders.towers import AudioTower, ImageTower
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
AUDIO_LICENCE = (
    "Apache-2.0; its trunk is YAMNet (Apache-2.0, TensorFlow authors), trained on AudioSet; see NOTICE"
)
TEXT_LICENCE = (
    "Apache-2.0; distilled from all-MiniLM-L6-v2 (Apache-2.0), some phrases from WordNet 3.0 (Princeton); "
    "see NOTICE"
)
KAPPA = 9.0  # of the Beta policy around this mask (MARS-Sep section 3)


NOT_STATED = "not stated by its maker"


@dataclass(frozen=True)
class About:
    """What is said of a model in its card and graph, and no code can know.

    Attributes:
        name: The model's name.
        licence: Of the weights; None takes the checkpoint's word.
        trained_on: What the separator heard; None takes the checkpoint's word.
        measured: Results of marssep-train suite or evaluate.
        presence: The presence curve of ``tests/benchmarks/presence.py --fit``; empty for none.
    """

    name: str = "marssep-base"
    licence: str | None = None
    trained_on: str | None = None
    measured: Mapping[str, Any] = field(default_factory=dict)
    presence: Mapping[str, Any] = field(default_factory=dict)

    def completed(self, content: Mapping[str, Any]) -> About:
        """The same with what a checkpoint says of itself; what neither says is said to be not stated."""
        licence = self.licence or content.get("licence", NOT_STATED)
        return replace(
            self, licence=licence, trained_on=self.trained_on or content.get("trained_on", NOT_STATED)
        )


def metadata(model: MaskSeparator, encoder: str, about: About) -> dict[str, Any]:
    """The graph's ``marssep`` property.

    ``other`` is there where the graph has the input, ``presence`` where the curve was fitted.
    """
    spectral = model.config.spectral
    optional: dict[str, Any] = {"other": True} if model.config.unet.other else {}
    if about.presence:
        optional["presence"] = dict(about.presence)
    return {
        "format": 1,
        "name": about.name,
        "sample_rate": spectral.sample_rate,
        "hop": spectral.hop,
        "latency": model.latency,
        "query_dim": model.config.unet.query_dim,
        "encoder": encoder,
        "mask": "mode",
        "kappa": KAPPA,
        "bands": spectral.bands,
        "states": model.state_shapes(),
        "licence": about.licence,
        "trained_on": about.trained_on,
        **optional,
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


def query_files(
    sources: QuerySources, encoder: str, labels: Sequence[str] | None = None
) -> tuple[dict[str, bytes], dict[str, Any], list[Check]]:
    """The query towers' files, their part of the card, and the checks that they passed.

    ``labels``: what the separator was trained on; the vocabulary of another bundle is cut down to them (None:
    an older checkpoint that does not say).

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
        card["text_licence"] = TEXT_LICENCE
    elif other.encoder == encoder:
        files.update({name: other.read(name) for name in ("text.onnx", "tokenizer.json")})
        card |= {key: other.card[key] for key in ("text", "text_licence") if key in other.card}
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
        card |= trunk_licences(towers)
    elif other.encoder == encoder:
        for kind in ("audio", "image"):
            if other.has(f"{kind}.onnx"):
                files[f"{kind}.onnx"], card[kind] = other.read(f"{kind}.onnx"), other.card[kind]
                card |= {key: other.card[key] for key in (f"{kind}_licence",) if key in other.card}
    if sources.sounds is not None:
        files[FILE] = sources.sounds.read_bytes()
    elif other.encoder == encoder and (known_sounds := KnownSounds.of(other)) is not None:
        kept = known_sounds if labels is None else known_sounds.only(labels)
        if kept.labels:
            files[FILE] = kept.dump(encoder, other.card.get("vocabulary", {}))
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


def trunk_licences(towers: Towers) -> dict[str, str]:
    """What the card must say of pre-trained trunks."""
    found = {}
    if isinstance(towers.audio, AudioTower) and towers.audio.pretrained:
        found["audio_licence"] = AUDIO_LICENCE
    if isinstance(towers.image, ImageTower) and towers.image.shape.trunk == mobilenet.NAME:
        found["image_licence"] = IMAGE_LICENCE
    return found


def make_bundle(
    source: Path,
    output: Path,
    sources: QuerySources,
    about: About,
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
    about = about.completed(content)
    files, query_card, tower_checks = query_files(sources, encoder, content.get("labels"))
    for check in tower_checks:
        report(check)
    graph, checks = proven_graph(model, metadata(model, encoder, about), report=report)
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
        "name": about.name,
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
        "licence": about.licence,
        "trained_on": about.trained_on,
        "training": checkpoint_io.training(content),
        **query_card,
        "verified": {c.name: c.difference for c in [*checks, *tower_checks]},
        "measured": dict(about.measured),
    }
    bundles.write(output, card, files)
    return card


def verify_bundle(path: Path, report: Callable[[Check], None]) -> None:
    """Hashes, metadata and the graph's promises of a bundle on disk; raises BundleError or ContractError."""
    bundle = bundles.load(path)
    bundles.verify(bundle)
    torch.set_num_threads(1)
    prove(bundle.read("separator.onnx"), None, report=report)
