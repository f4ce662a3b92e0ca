"""The vocabulary: the labels that the separator was trained on.

A bundle's ``sounds.json`` holds the vectors of the labels and a threshold for each kind of query. A query is
out of vocabulary if its cosine similarity to the nearest label is below the threshold. ``marssep train
vocabulary`` fits the thresholds. The file also holds the weights of snapping to labels.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from marssep_rt.arrays import Array
from marssep_rt.contract import OLD_BUNDLES
from marssep_rt.errors import BundleError
from marssep_rt.model.bundle import Bundle
from marssep_rt.query.second_look import SecondLook
from marssep_rt.query.types import Candidates

FILE = "sounds.json"
EXAMPLES = ("audio", "image")


@dataclass(frozen=True)
class Doubt:
    """When words are doubted: measured by ``tests/benchmarks/doubt.py``.

    Attributes:
        cosine: Below this cosine similarity to everything that training asked for, words are doubted.
        limit_db: The attenuation limit for doubted words in dB. The model then often keeps the wrong sound.
    """

    cosine: float
    limit_db: float


@dataclass(frozen=True)
class Vocabulary:
    """The vocabulary of a bundle.

    Attributes:
        labels: The training labels, then families and other words with a place in the space of sound.
        vectors: Their unit vectors, float32 [L, D].
        thresholds: Kind of query (text, audio, image) -> smallest cosine similarity inside the vocabulary.
        trained: The number of training labels; None means all.
        asked: The number of labels and families that training asked for: they come first; None means all.
        doubt: From which words on the model is doubted, and what follows; None: it never is.
        family_temperature: How families narrow to what can be heard, see ``Candidates``; None: they do not.
        snap_evidence: Weight of the other parts of a query against an example's own similarity.
        snap_own: Weight of an example's own vector against its label's.
        snap_own_audio: The same for recordings; None is ``snap_own``.
        snap_temperatures: Kind of example -> how far below the label that it resembles most another one may
            be and still count, in cosine similarity. Such examples narrow to what can be heard as families
            do. Examples of other kinds show one label.
        second_look: How a query is asked again after a first pass; None: it is not.
    """

    labels: tuple[str, ...]
    vectors: Array
    thresholds: dict[str, float]
    trained: int | None = None
    asked: int | None = None
    doubt: Doubt | None = None
    family_temperature: float | None = None
    snap_evidence: float = OLD_BUNDLES.snap_evidence
    snap_own: float = OLD_BUNDLES.snap_own
    snap_own_audio: float | None = None
    snap_temperatures: Mapping[str, float] = field(default_factory=dict)
    second_look: SecondLook | None = None

    @classmethod
    def of(cls, bundle: Bundle) -> Vocabulary | None:
        """The bundle's vocabulary, None if it has none; raises BundleError for a damaged file."""
        if not bundle.has(FILE):
            return None
        try:
            data = json.loads(bundle.read(FILE))
            vectors = np.frombuffer(base64.b64decode(data["vectors"]), np.float16).astype(np.float32)
            labels = tuple(map(str, data["labels"]))
            vectors = vectors.reshape(len(labels), bundle.query_dim)
            return cls(
                labels,
                vectors,
                {k: float(v) for k, v in data["thresholds"].items()},
                data.get("trained"),
                data.get("asked"),
                Doubt(**{k: float(v) for k, v in data["doubt"].items()}) if "doubt" in data else None,
                float(data["family_temperature"]) if "family_temperature" in data else None,
                float(data.get("snap_evidence", OLD_BUNDLES.snap_evidence)),
                float(data.get("snap_own", OLD_BUNDLES.snap_own)),
                float(data["snap_own_audio"]) if "snap_own_audio" in data else None,
                {k: float(v) for k, v in data.get("snap_temperatures", {}).items()},
                SecondLook.of(data["second_look"], vectors[: data.get("trained")])
                if "second_look" in data
                else None,
            )
        except (ValueError, KeyError, TypeError, AttributeError) as e:
            raise BundleError(f"{FILE} in the bundle {bundle.path} cannot be read") from e

    def only(self, labels: Collection[str]) -> Vocabulary:
        """The vocabulary without what is not among ``labels``: of another separator, which no second look was
        fitted to.
        """
        kept = [i for i, label in enumerate(self.labels[: self.trained]) if label in labels]
        labels = tuple(self.labels[i] for i in kept)
        return replace(
            self, labels=labels, vectors=self.vectors[kept], trained=None, asked=None, second_look=None
        )

    def dump(self, encoder: str, figures: dict[str, Any]) -> bytes:
        """The content of ``sounds.json``; ``figures``: error rates of the thresholds."""
        packed = base64.b64encode(self.vectors.astype(np.float16).tobytes()).decode()
        data = {
            "encoder": encoder,
            "labels": list(self.labels),
            "trained": len(self.labels) if self.trained is None else self.trained,
            "asked": len(self.labels) if self.asked is None else self.asked,
            **({} if self.doubt is None else {"doubt": asdict(self.doubt)}),
            **({} if self.family_temperature is None else {"family_temperature": self.family_temperature}),
            "thresholds": self.thresholds,
            "snap_evidence": self.snap_evidence,
            "snap_own": self.snap_own,
            **({} if self.snap_own_audio is None else {"snap_own_audio": self.snap_own_audio}),
            **({"snap_temperatures": dict(self.snap_temperatures)} if self.snap_temperatures else {}),
            **({} if self.second_look is None else {"second_look": self.second_look.dump()}),
            "figures": figures,
            "vectors": packed,
        }
        return (json.dumps(data, ensure_ascii=False, indent=1) + "\n").encode()

    def nearest(self, vector: Array, count: int = 3) -> list[tuple[str, float]]:
        """The nearest trained labels and their cosines, nearest first."""
        similarity = self.vectors @ vector
        return [(self.labels[i], float(similarity[i])) for i in np.argsort(-similarity)[:count]]

    def candidates(self, parts: Sequence[tuple[str, Array]]) -> list[tuple[Candidates, str] | None]:
        """The training labels that audio and image queries may show.

        The separator follows an example's vector worse than a label's own vector, so the labels' vectors are
        mixed in (OmniSep's Query-Aug keeps nothing else). The other parts of a query help to find the label:
        a text or a second image tells a violin from a viola.

        Args:
            parts: (kind, unit vector [D]) of every part of a query.

        Returns:
            (candidates, most likely label) of every example, and None for a text and for an example that is
            out of vocabulary.
        """
        vectors = self.vectors[: self.trained]
        similarity = [vectors @ v for _, v in parts]
        found: list[tuple[Candidates, str] | None] = []
        for (kind, vector), own in zip(parts, similarity, strict=True):
            if kind not in EXAMPLES or own.max() < self.thresholds.get(kind, np.inf):
                found.append(None)
                continue
            evidence = own + self.snap_evidence * (np.sum(similarity, axis=0) - own)
            best = int(evidence.argmax())
            drawn = self._own_weight(kind) * vector
            if (temperature := self.snap_temperatures.get(kind)) is None:
                shown = Candidates(vectors[best : best + 1], own=drawn)
            else:
                shown = Candidates(vectors, self.family_temperature, evidence / temperature, drawn)
            found.append((shown, self.labels[best]))
        return found

    def snap_to_labels(self, parts: Sequence[tuple[str, Array]]) -> list[tuple[Array, str]]:
        """Pull audio and image queries towards the training labels that they show; texts stay as they are.

        Args:
            parts: (kind, unit vector [D]) of every part of a query.

        Returns:
            (unit vector [D], most likely label) of every part before anything is heard; the label is "" if
            the vector is unchanged.
        """
        return [
            (vector, "") if found is None else (found[0].vector, found[1])
            for (_, vector), found in zip(parts, self.candidates(parts), strict=True)
        ]

    def _own_weight(self, kind: str) -> float:
        """Weight of an example's own vector against its label's."""
        if kind == "audio" and self.snap_own_audio is not None:
            return self.snap_own_audio
        return self.snap_own

    def out_of_vocabulary_warning(self, vector: Array, kind: str, name: str) -> str | None:
        """One sentence if a query is out of vocabulary, else None.

        Args:
            vector: Unit vector [D].
            kind: text, audio or image.
            name: The query in words.
        """
        near = self.nearest(vector)
        if kind not in self.thresholds or near[0][1] >= self.thresholds[kind]:
            return None
        close = [label for label, cosine in near if cosine >= self.sibling_cosine]
        if close:
            advice = f"near it are {', '.join(close)}"
        elif kind == "text":
            advice = "a recording of it may work: --audio FILE"
        else:
            advice = "words beside it may help: --query TEXT"
        far = f"“{name}” is unlike every sound that the model was trained on"
        return f"{far}; expect a poor separation; {advice}"

    def limit_db(self, vector: Array) -> float | None:
        """The attenuation limit in dB for words of the unit vector [D], None if they are not doubted."""
        if self.doubt is None or (self.vectors[: self.asked] @ vector).max() >= self.doubt.cosine:
            return None
        return self.doubt.limit_db

    @cached_property
    def sibling_cosine(self) -> float:
        """How near three of four training labels are at least to their nearest other label, as a cosine."""
        vectors = self.vectors[: self.trained]
        similarity = vectors @ vectors.T
        np.fill_diagonal(similarity, -1.0)
        return float(np.quantile(similarity.max(axis=1), 0.25))
