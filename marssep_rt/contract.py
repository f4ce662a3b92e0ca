"""The contract: formats and constants that the runtime, the plug-in (C++) and the page (JavaScript) share.

``contract.json`` holds the numbers. ``python -m export.contract`` writes them for C++ and JavaScript under
the same names. Numbers that belong to one model are not here: they are in a bundle's card, its
``sounds.json`` and its graph's metadata. ``OLD_BUNDLES`` stands in where an older bundle lacks them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).with_suffix(".json")


@dataclass(frozen=True, kw_only=True)
class Formats:
    """Versions and names of files.

    Attributes:
        bundle: Newest format of ``card.json`` that is understood.
        graph: Newest format of the graph's metadata.
        query: Newest format of ``.query`` files: such that ask for a residual.
        query_of_sounds: Format of all others, which earlier versions read as well.
        metadata_key: The graph's metadata property, whose value is JSON.
        query_suffix: Of query files.
    """

    bundle: int
    graph: int
    query: int
    query_of_sounds: int
    metadata_key: str
    query_suffix: str


@dataclass(frozen=True, kw_only=True)
class MixerConstants:
    """Ranges and defaults of the mixer settings.

    Attributes:
        wet_min, wet_max, wet_default: Mix.
        limit_db_min: Attenuation limit in dB.
        no_limit_db: From here on there is no limit; a host's parameter ends here.
        gain_db_min, gain_db_max, gain_db_default: Output gain in dB.
        strength_db: Attenuation of everything but the target towards a strength of 100 %.
        ramp_seconds: Time of a change in the plug-in. The runtime ramps over one step of the model.
        largest_sample: Larger input samples are clipped, so that the streaming state stays finite.
    """

    wet_min: float
    wet_max: float
    wet_default: float
    limit_db_min: float
    no_limit_db: float
    gain_db_min: float
    gain_db_max: float
    gain_db_default: float
    strength_db: float
    ramp_seconds: float
    largest_sample: float


@dataclass(frozen=True, kw_only=True)
class QueryConstants:
    """How a query is put together.

    Attributes:
        negative_weight: w of q <- normalise((1 + w) q - w q_not) (OmniSep, ICLR 2025).
        most_sounds: Sounds that a query may name; each costs computing time.
        longest_text: In characters.
        min_vector_length: A shorter vector has no direction and is refused.
    """

    negative_weight: float
    most_sounds: int
    longest_text: int
    min_vector_length: float


@dataclass(frozen=True, kw_only=True)
class ResamplerConstants:
    """The windowed sinc of the streaming resampler.

    Attributes:
        half_width: Taps on either side, in input samples; also the delay.
        cutoff: Of the lower of the two Nyquist frequencies.
        kaiser_beta: Of the Kaiser window.
    """

    half_width: int
    cutoff: float
    kaiser_beta: float


@dataclass(frozen=True, kw_only=True)
class LatencyConstants:
    """Slack besides what hop and block size take (``dsp.latency``), and what the model may take of a hop.

    Attributes:
        hop_share: Of a hop's duration, that the model may take for a query of several sounds in real time.
        live_hop_factor: A live run allows this many times the slowest hop that was measured.
        live_oversleep_seconds: And so much more, for a thread that wakes late.
        plugin_extra_hops: The plug-in's default, in hops.
        page_extra_hops: The page's, in hops.
    """

    hop_share: float
    live_hop_factor: float
    live_oversleep_seconds: float
    plugin_extra_hops: int
    page_extra_hops: int


@dataclass(frozen=True, kw_only=True)
class PresenceConstants:
    """The presence meter; its curve belongs to the model.

    Attributes:
        smoothing_seconds: Time constant of the energies.
        floor_db: An input below is silence, in which nothing is present.
        window_seconds: Of target, for the audio encoder.
        threshold: From here on the sound counts as present.
        unmatched_seconds: After so long with sound, but nothing present, nothing matches the query.
    """

    smoothing_seconds: float
    floor_db: float
    window_seconds: float
    threshold: float
    unmatched_seconds: float


@dataclass(frozen=True, kw_only=True)
class OldBundles:
    """Numbers of the first models, for bundles that do not bring their own.

    Attributes:
        presence_both: Presence curve over share and similarity: constant, per dB, per unit of similarity.
        presence_share: Presence curve over the share alone: constant, per dB.
        snap_evidence: Weight of the other parts of a query against an example's own similarity.
        snap_own: Weight of an example's own vector against its label's.
    """

    presence_both: tuple[float, float, float]
    presence_share: tuple[float, float]
    snap_evidence: float
    snap_own: float


def _read() -> dict[str, dict[str, Any]]:
    """The sections of the file; lists as tuples, which nobody changes by accident."""
    data = json.loads(SOURCE.read_text(encoding="utf-8"))
    return {
        section: {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
        for section, values in data.items()
    }


_SECTIONS = _read()
FORMATS = Formats(**_SECTIONS["formats"])
MIXER = MixerConstants(**_SECTIONS["mixer"])
QUERY = QueryConstants(**_SECTIONS["query"])
RESAMPLER = ResamplerConstants(**_SECTIONS["resampler"])
LATENCY = LatencyConstants(**_SECTIONS["latency"])
PRESENCE = PresenceConstants(**_SECTIONS["presence"])
OLD_BUNDLES = OldBundles(**_SECTIONS["old_bundles"])
