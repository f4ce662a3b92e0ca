"""Language-queried audio source separation (LASS) by the protocols of AudioSep and of DCASE 2024 Task 9.

SDR here is the plain one of the whole clip, SI-SDR is without removing means: both as these protocols define
them, which differ from ``metrics`` in exactly that. A bundle is asked as its users ask it.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

import marssep_rt
from marssep_rt.errors import QueryError
from marssep_rt.model.bundle import Bundle
from marssep_rt.query.encoders import text_encoder
from offline_training.data.corpus import CorpusError
from offline_training.data.lass_lists import ListedMixture
from offline_training.data.mono import read_mono
from offline_training.evaluation.bootstrap import interval

Audio = npt.NDArray[np.float32]
Reading = Literal["as written", "warned", "literal"]
Separate = Callable[[Audio, str, int], tuple[Audio, Reading]]  # (mixture, query, rate in Hz)

SMALLEST_POWER = 1e-10  # of the protocols' SDR
EPSILON = float(np.finfo(np.float32).eps)  # of the protocols' SI-SDR
PEAK = 0.9  # of DCASE's mixtures that would clip


@dataclass(frozen=True)
class Figures:
    """What a row gained, in dB.

    Attributes:
        id: What the list calls it.
        query: The text.
        asked: "as written"; "warned" where the runtime warned of the query, as of doubted words; "literal"
            where its grammar refused the sentence, so that it was embedded as one description.
        sdr: Plain SDR of the output.
        sdri: What that gains over the mixture.
        si_sdr: Scale-invariant SDR of the output.
        si_sdri: What that gains over the mixture.
    """

    id: str
    query: str
    asked: Reading
    sdr: float
    sdri: float
    si_sdr: float
    si_sdri: float


class UsersBundle:
    """A bundle as ``marssep_rt.separate`` plays it: its grammar, families, and limit of doubted words.

    Raises:
        QueryError: The bundle has no text encoder.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.path, self.text = bundle.path, text_encoder(bundle.path)

    def separate(self, mixture: Audio, query: str, rate: int) -> tuple[Audio, Reading]:
        """The output in time with a mixture [samples], and how its query was read.

        Raises:
            QueryError: The text cannot be embedded either, as when it is too long.
        """
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                found = marssep_rt.separate(mixture, query, sample_rate=rate, bundle=self.path)
            except QueryError:
                literal = self.text.embed(query)
                found = marssep_rt.separate(mixture, literal, sample_rate=rate, bundle=self.path)
                return found.audio, "literal"
        return found.audio, "warned" if said else "as written"


def sdr(estimate: Audio, target: Audio) -> float:
    """Plain SDR of signals [samples] in dB, with powers held from below."""
    powers = (np.mean(np.square(x, dtype=np.float64)) for x in (target, estimate - target))
    signal, error = (max(float(power), SMALLEST_POWER) for power in powers)
    return 10 * float(np.log10(signal / error))


def si_sdr(estimate: Audio, target: Audio) -> float:
    """Scale-invariant SDR of signals [samples] in dB; means are not removed."""
    wanted, found = target.astype(np.float64), estimate.astype(np.float64)
    projected = (wanted @ found + EPSILON) / (wanted @ wanted + EPSILON) * wanted
    error = found - projected
    return 10 * float(np.log10((projected @ projected + EPSILON) / (error @ error + EPSILON)))


def at_ratio(source: Audio, noise: Audio, snr_db: float) -> tuple[Audio, Audio]:
    """The mixture of a source and a noise [samples] at a power ratio, and its target.

    A mixture whose peak is above full scale is scaled to PEAK, and the target with it.

    Raises:
        CorpusError: The noise is silent.
    """
    power, noise_power = (float(np.mean(np.square(x, dtype=np.float64))) for x in (source, noise))
    if not noise_power:
        raise CorpusError("its noise is silent")
    mixture = source + noise * np.float32(np.sqrt(power / 10 ** (snr_db / 10) / noise_power))
    peak = float(np.abs(mixture).max())
    scale = np.float32(PEAK / peak if peak > 1 else 1)
    return mixture * scale, source * scale


def render(row: ListedMixture, rate: int) -> tuple[Audio, Audio]:
    """A row's mixture and target [samples] at a rate in Hz; of unequal files the longer one is cut.

    Raises:
        CorpusError: A file cannot be decoded, or the noise is silent.
    """
    target, other = (read_mono(path, rate) for path in (row.target, row.other))
    length = min(len(target), len(other))
    target, other = target[:length], other[:length]
    return (other, target) if row.snr_db is None else at_ratio(target, other, row.snr_db)


def figures(row: ListedMixture, rate: int, separate: Separate) -> Figures:
    """The figures of one row; raises CorpusError or QueryError where it cannot be measured."""
    mixture, target = render(row, rate)
    estimate, asked = separate(mixture, row.query, rate)
    after, before = ((sdr(x, target), si_sdr(x, target)) for x in (estimate, mixture))
    return Figures(row.id, row.query, asked, after[0], after[0] - before[0], after[1], after[1] - before[1])


def measure(
    rows: Sequence[ListedMixture],
    rate: int,
    separate: Separate,
    progress: Callable[[int], None] = lambda _: None,
) -> tuple[list[Figures], list[dict[str, str]]]:
    """Figures of rows whose files are there, and (id, why) of those that cannot be measured.

    Args:
        rows: The rows.
        rate: Of the protocol, in Hz.
        separate: The separator.
        progress: Called with the number of rows done.

    Raises:
        CorpusError: No row can be measured.
    """
    found: list[Figures] = []
    left_out: list[dict[str, str]] = []
    for done, row in enumerate(rows, 1):
        try:
            found.append(figures(row, rate, separate))
        except (CorpusError, QueryError) as e:
            left_out.append({"id": row.id, "why": str(e)})
        progress(done)
    if not found:
        raise CorpusError(
            f"none of the {len(rows)} mixtures can be measured; of the first, {left_out[0]['id']}: "
            f"{left_out[0]['why']}"
        )
    return found, left_out


def summarise(rows: Sequence[Figures]) -> dict[str, Any]:
    """Every figure with its mean and more, and how many queries were warned of or taken literally."""
    queries = [row.query for row in rows]
    return {
        "queries_warned": sum(row.asked == "warned" for row in rows),
        "queries_literal": sum(row.asked == "literal" for row in rows),
        **{
            f"{name}_db": summary(
                np.array([getattr(row, name) for row in rows]), queries, gain=name.endswith("i")
            )
            for name in ("sdr", "sdri", "si_sdr", "si_sdri")
        },
    }


def summary(values: npt.NDArray[np.float64], queries: Sequence[str], gain: bool) -> dict[str, Any]:
    """Mean with its 95 % interval, median, 5 % quantile; of a gain the share made worse.

    AudioSep's table has the mean of classes' means for MUSIC and of their medians for AudioSet: a class is a
    query there.

    Args:
        values: Of every row, in dB.
        queries: Of every row.
        gain: Whether the figure is one over the mixture.
    """
    of_query: dict[str, list[float]] = defaultdict(list)
    for query, value in zip(queries, values, strict=True):
        of_query[query].append(float(value))
    result = {
        "mean": float(values.mean()),
        "mean_95": [round(x, 3) for x in interval(values, np.mean)],
        "median": float(np.median(values)),
        "worst_5_percent": float(np.quantile(values, 0.05)),
        "mean_of_query_means": float(np.mean([np.mean(x) for x in of_query.values()])),
        "mean_of_query_medians": float(np.mean([np.median(x) for x in of_query.values()])),
        **({"made_worse": float((values < 0).mean())} if gain else {}),
    }
    return {name: round(x, 3) if isinstance(x, float) else x for name, x in result.items()}


def as_rows(rows: Sequence[Figures]) -> list[dict[str, Any]]:
    """Figures of every row as plain data."""
    return [
        {name: round(x, 4) if isinstance(x, float) else x for name, x in asdict(row).items()} for row in rows
    ]
