"""From a checkpoint to a proven bundle."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from export.onnx.graph import export_graph
from export.onnx.streaming_module import StreamingGraph
from export.onnx.verify import Check, prove
from export.words import words_for
from marssep_rt.contract import FORMATS
from marssep_rt.errors import BundleError
from marssep_rt.model import bundle as bundles
from marssep_rt.query.encoders import TextEncoder
from marssep_rt.query.second_look import SecondLook
from marssep_rt.query.vocabulary import FILE, Vocabulary
from marssep_rt.query.words import FILE as WORDS_FILE
from offline_training.alignment.data import image_size
from offline_training.data.corpus import SAMPLE_RATE
from offline_training.encoders import mobilenet
from offline_training.encoders.audio_image import LogMel, TorchAudioEncoder, TorchImageEncoder
from offline_training.encoders.pair import EncoderPair
from offline_training.encoders.text_encoder import load_text_encoder
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
    "on Caltech-101 (CC BY 4.0) and on ImageNet images, whose terms allow non-commercial research: who "
    "must not rely on the latter leaves image.onnx out; see NOTICE"
)
AUDIO_LICENCE = (
    "Apache-2.0; its trunk is YAMNet (Apache-2.0, TensorFlow authors), trained on AudioSet; see NOTICE"
)
TEXT_LICENCE = (
    "Apache-2.0; distilled from all-MiniLM-L6-v2 (Apache-2.0), some phrases from WordNet 3.0 (Princeton); "
    "see NOTICE"
)


NOT_STATED = "not stated by its maker"


@dataclass(frozen=True)
class About:
    """What is said of a model in its card and graph, and no code can know.

    Attributes:
        name: The model's name.
        licence: Of the weights; None takes the checkpoint's word.
        trained_on: What the separator heard; None takes the checkpoint's word.
        measured: Results of marssep train suite or evaluate.
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
        trained_on = self.trained_on or content.get("trained_on", NOT_STATED)
        return replace(self, licence=licence, trained_on=trained_on)


def metadata(model: MaskSeparator, encoder: str, about: About) -> dict[str, Any]:
    """The graph's ``marssep`` property.

    ``other`` is there where the graph has the input, ``presence`` where the curve was fitted.
    """
    spectral = model.config.spectral
    optional: dict[str, Any] = {"other": True} if model.config.unet.other else {}
    if about.presence:
        optional["presence"] = dict(about.presence)
    return {
        "format": FORMATS.graph,
        "name": about.name,
        "sample_rate": spectral.sample_rate,
        "hop": spectral.hop,
        "latency": model.latency,
        "query_dim": model.config.unet.query_dim,
        "encoder": encoder,
        "mask": "mode",
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
    """Where the query encoders come from. What is not given is taken from ``bundle``, as far as it is there.

    Attributes:
        text: Folder of marssep train text.
        bundle: A bundle with encoders; None is the built-in one.
        encoders: Checkpoint of marssep train align.
        sounds: sounds.json of marssep train vocabulary.
        semantics: Figures of marssep train semantics.
        doubt: When words are doubted, of ``tests/benchmarks/doubt.py --fit``; empty: as the vocabulary says.
        narrowing: How queries narrow, of ``tests/benchmarks/narrowing.py --fit``; likewise.
        second_look: How queries are asked again, of ``tests/benchmarks/second_look.py --fit``; likewise.
    """

    text: Path | None = None
    bundle: Path | None = None
    encoders: Path | None = None
    sounds: Path | None = None
    semantics: Path | None = None
    doubt: Mapping[str, Any] = field(default_factory=dict)
    narrowing: Mapping[str, Any] = field(default_factory=dict)
    second_look: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class QueryParts:
    """The query encoders of a bundle.

    Attributes:
        files: Name -> content.
        card: Their part of the card.
        checks: The checks that they passed.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    card: dict[str, Any] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)


def query_files(sources: QuerySources, encoder: str, labels: Sequence[str] | None = None) -> QueryParts:
    """Collect the query encoders of a bundle.

    A checkpoint that was trained on another encoder than the built-in one gets none: its bundle takes
    ``.query`` files.

    Args:
        sources: Where they come from.
        encoder: Id of the encoder that the separator was trained on.
        labels: What the separator was trained on; another bundle's vocabulary is cut down to them. None: an
            older checkpoint, which does not say.

    Raises:
        BundleError: A source belongs to another encoder; the message names both.
        CheckpointError, ContractError: As their causes.
    """
    other = bundles.load(sources.bundle)
    same = other if other.encoder == encoder else None
    elsewhere = sources.bundle is not None or sources.encoders is not None
    if same is None and sources.text is None and elsewhere:
        raise BundleError(
            f"the checkpoint was trained on encoder {encoder}, {other.path} offers {other.encoder}"
        )
    parts = QueryParts()
    _add_text(parts, sources.text, same)
    _add_audio_and_image(parts, sources.encoders, same)
    _add_vocabulary(parts, sources, same, encoder, labels)
    if sources.semantics is not None:
        parts.card["semantics"] = json.loads(sources.semantics.read_text(encoding="utf-8"))
    elif sources.encoders is None and "semantics" in other.card:
        parts.card["semantics"] = other.card["semantics"]
    return parts


def _add_text(parts: QueryParts, folder: Path | None, same: bundles.Bundle | None) -> None:
    """The text encoder: of a training folder, else of a bundle with the same encoder."""
    if folder is not None:
        from export.onnx.text import export_text

        parts.files["text.onnx"] = export_text(load_text_encoder(folder))
        parts.files["tokenizer.json"] = (folder / "tokenizer.json").read_bytes()
        parts.card["text"] = json.loads((folder / "figures.json").read_text())
        parts.card["text_licence"] = TEXT_LICENCE
    elif same is not None:
        parts.files.update({name: same.read(name) for name in ("text.onnx", "tokenizer.json")})
        parts.card |= _entries(same, "text", "text_licence")


def _add_audio_and_image(parts: QueryParts, checkpoint: Path | None, same: bundles.Bundle | None) -> None:
    """Audio and image encoder: of a checkpoint, else of a bundle with the same encoder."""
    if checkpoint is not None:
        from export.onnx.audio_image import export_audio, export_image, prove_encoders
        from offline_training.encoders.builtin import load_encoders

        encoders, content = load_encoders(checkpoint)
        audio, image = export_audio(encoders), export_image(encoders)
        parts.files |= {"audio.onnx": audio, "image.onnx": image}
        parts.checks += prove_encoders(encoders, audio, image)
        splits = json.loads(content["describe"]).get("splits", ["train"])
        card = {"sample_rate": SAMPLE_RATE, "hop": LogMel.hop, "stage": content.get("stage")}
        card["trained_on_splits"] = splits
        parts.card["audio"] = card if "val" in splits else {**card, "val": content.get("val")}
        parts.card["image"] = {"size": image_size(encoders)}
        parts.card |= _trunk_licences(encoders)
    elif same is not None:
        for kind in ("audio", "image"):
            if same.has(f"{kind}.onnx"):
                parts.files[f"{kind}.onnx"] = same.read(f"{kind}.onnx")
                parts.card |= _entries(same, kind, f"{kind}_licence")


def _entries(bundle: bundles.Bundle, *keys: str) -> dict[str, Any]:
    """Entries of a bundle's card, as far as they are there."""
    return {key: bundle.card[key] for key in keys if key in bundle.card}


def _trunk_licences(encoders: EncoderPair) -> dict[str, str]:
    """What the card must say of pre-trained trunks."""
    found = {}
    if isinstance(encoders.audio, TorchAudioEncoder) and encoders.audio.pretrained:
        found["audio_licence"] = AUDIO_LICENCE
    if isinstance(encoders.image, TorchImageEncoder) and encoders.image.shape.trunk == mobilenet.NAME:
        found["image_licence"] = IMAGE_LICENCE
    return found


def _add_vocabulary(
    parts: QueryParts,
    sources: QuerySources,
    same: bundles.Bundle | None,
    encoder: str,
    labels: Sequence[str] | None,
) -> None:
    """The vocabulary: of a file, else of a bundle with the same encoder."""
    if sources.sounds is not None:
        parts.files[FILE] = sources.sounds.read_bytes()
    elif same is not None and (theirs := Vocabulary.of(same)) is not None:
        kept = theirs if labels is None else _with_own_labels(theirs.only(labels), labels, same)
        if kept.labels:
            parts.files[FILE] = kept.dump(encoder, same.card.get("vocabulary", {}))
    if FILE not in parts.files:
        return
    known = json.loads(parts.files[FILE])
    if known["encoder"] != encoder:
        raise BundleError(
            f"the checkpoint was trained on encoder {encoder}, {FILE} belongs to {known['encoder']}"
        )
    try:
        found = fitted(sources)
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        raise BundleError(f"the figures of doubt, narrowing or second look do not fit: {e}") from e
    second_look = {k: v for k, v in sources.second_look.items() if k not in ("choices", "weights", "seeds")}
    given = {"doubt": sources.doubt, "narrowing": sources.narrowing, "second_look": second_look}
    parts.card |= {name: dict(figures) for name, figures in given.items() if figures}
    if found:
        parts.files[FILE] = (json.dumps(known | found, ensure_ascii=False, indent=1) + "\n").encode()
    parts.card["vocabulary"] = known["figures"]
    parts.files[WORDS_FILE] = words_for(known["labels"], known.get("trained")).dump()


def fitted(sources: QuerySources) -> dict[str, Any]:
    """What benchmarks fitted, as the vocabulary has it; raises KeyError, TypeError, ValueError or
    AttributeError for files that are not theirs.
    """
    found: dict[str, Any] = {}
    if sources.doubt:
        found["doubt"] = {key: float(sources.doubt[key]) for key in ("cosine", "limit_db")}
    if sources.narrowing:
        snapping = dict(sources.narrowing.get("snap_temperatures", {}))
        found["family_temperature"] = _temperature(sources.narrowing["temperature"])
        found["snap_temperatures"] = {kind: _temperature(value) for kind, value in snapping.items()}
    if sources.second_look:
        found["second_look"] = SecondLook.of(sources.second_look, np.zeros((0, 0), np.float32)).dump()
    return found


def _temperature(value: Any) -> float:
    """A temperature; raises TypeError or ValueError for what is none."""
    if not 0 < (number := float(value)) < math.inf:
        raise ValueError(f"a temperature is {value}; it must be above 0")
    return number


def _with_own_labels(known: Vocabulary, labels: Sequence[str], bundle: bundles.Bundle) -> Vocabulary:
    """A vocabulary with the labels that it lacks, placed by the bundle's text encoder."""
    own = [label for label in labels if label not in known.labels]
    if not own or not bundle.has("text.onnx"):
        return known
    encoder = TextEncoder(bundle)
    vectors = np.stack([encoder.embed(label) for label in own])
    return replace(known, labels=(*known.labels, *own), vectors=np.concatenate([known.vectors, vectors]))


def make_bundle(
    source: Path,
    output: Path,
    sources: QuerySources,
    about: About,
    report: Callable[[Check], None] = lambda _: None,
) -> dict[str, Any]:
    """Export a checkpoint, prove the graph's contract, and write the bundle.

    Args:
        source: A checkpoint of marssep train supervise or reinforce.
        output: A folder, or NAME.marssep for a zip file.
        sources: Where the query encoders come from.
        about: Name, licence, results.
        report: Called with every check that was passed.

    Returns:
        The card.

    Raises:
        CheckpointError, ContractError, BundleError: Nothing is written then.
    """
    model, content = registry.load_separator(source)
    if not isinstance(model, MaskSeparator):
        raise checkpoint_io.CheckpointError(
            f"{source} holds the paper's network, which sees whole clips; "
            "only the streaming one can be exported"
        )
    encoder = content.get("encoder", "")
    about = about.completed(content)
    parts = query_files(sources, encoder, content.get("labels"))
    for check in parts.checks:
        report(check)
    properties = metadata(model, encoder, about)
    parts.files["separator.onnx"], checks = proven_graph(model, properties, report=report)
    _check_sizes(parts.files)
    card = {
        **_separator_card(model, properties),
        "training": checkpoint_io.training(content),
        **parts.card,
        "verified": {c.name: c.difference for c in [*checks, *parts.checks]},
        "measured": dict(about.measured),
    }
    bundles.write(output, card, parts.files)
    return card


def _separator_card(model: MaskSeparator, properties: dict[str, Any]) -> dict[str, Any]:
    """The card's facts about the separator; most are the graph's metadata."""
    kept = (
        "name",
        "encoder",
        "query_dim",
        "sample_rate",
        "hop",
        "latency",
        "mask",
        "licence",
        "trained_on",
    )
    hop, latency, rate = (properties[key] for key in ("hop", "latency", "sample_rate"))
    return {
        **{key: properties[key] for key in kept},
        "algorithmic_latency_ms": round((latency + hop) / rate * 1e3, 3),
        "parameters": sum(p.numel() for p in model.parameters()),
    }


def _check_sizes(files: dict[str, bytes]) -> None:
    """Raise BundleError if a file, or all together, are larger than a bundle allows."""
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


def verify_bundle(path: Path, report: Callable[[Check], None]) -> None:
    """Hashes, metadata and the graph's promises of a bundle on disk; raises BundleError or ContractError."""
    bundle = bundles.load(path)
    bundles.verify(bundle)
    torch.set_num_threads(1)
    prove(bundle.read("separator.onnx"), None, report=report)
