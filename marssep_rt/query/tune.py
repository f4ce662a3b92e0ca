"""A query made of recordings, tuned: the vector with which the separator best takes them out of backgrounds.

Without gradients: CMA-ES over few directions of the query space. The directions lead to the recordings, to
the nearest sounds of the vocabulary and along what the backgrounds differ in. Recordings, or parts of one,
that the search does not use decide in the end whether the tuned vector or the plain one is kept.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from threading import local

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from marssep_rt.arrays import Array
from marssep_rt.errors import QueryError
from marssep_rt.model.bundle import Bundle
from marssep_rt.model.providers import open_graph
from marssep_rt.model.stream import GraphInfo, GraphStream
from marssep_rt.query.audio_input import read_windows
from marssep_rt.query.backgrounds import synthesised
from marssep_rt.query.build import build_query
from marssep_rt.query.encoders import AudioEncoder, audio_encoder
from marssep_rt.query.types import Query, QueryRequest
from marssep_rt.query.vocabulary import Vocabulary
from marssep_rt.utils.cma_es import CmaEs
from marssep_rt.utils.vectors import unit_vector

RATE = 48_000
MOST_RECORDINGS = 5
LEVEL_DBFS = -25.0
OWN_SHARE = 0.75  # of the mixtures have a background of the user's, if there are any
GAIN_RANGE_DB = (-10.0, 15.0)  # one mixture that cannot be won, or is nothing but target, does not decide
EMBEDDED_BACKGROUNDS = 24
STEP_HOPS = 10  # of a run of the graph: what it needs then stays in the processor's cache, a quarter faster
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TuneOptions:
    """How a query is tuned.

    Attributes:
        generations: Of the search, at most.
        candidates: Vectors that are tried in a generation.
        mixtures: Mixtures on which each candidate of a generation is tried.
        check_mixtures: Mixtures that decide what is kept.
        seconds: Length of a mixture, a multiple of 0.1.
        snr_db: Signal-to-noise ratios lie between minus this and this.
        nearest: Directions to sounds of the vocabulary.
        background_axes: Directions along which backgrounds differ.
        step: The first step, as a length beside the unit vector.
        least_cosine: The tuned vector stays this near to the plain one.
        seed: Of everything random.
        threads: Threads; None takes as many as there are cores.
    """

    generations: int = 8
    candidates: int = 10
    mixtures: int = 16
    check_mixtures: int = 32
    seconds: float = 1.0
    snr_db: float = 5.0
    nearest: int = 4
    background_axes: int = 3
    step: float = 0.4
    least_cosine: float = 0.75
    seed: int = 0
    threads: int | None = None


@dataclass(frozen=True)
class Tuned:
    """What tuning came to.

    Attributes:
        query: The tuned query, or the plain one.
        vector: What the search found, kept or not, unit vector [D].
        kept: Whether the query is the tuned one.
        plain_db: Mean SI-SDR improvement of the plain query on the mixtures that decide, in dB.
        tuned_db: The same of what the search found.
        generations: How many ran.
        stopped: Whether the search was interrupted.
    """

    query: Query
    vector: Array
    kept: bool
    plain_db: float
    tuned_db: float
    generations: int
    stopped: bool = False


@dataclass(frozen=True)
class Mixture:
    """A mixture and the target in it, float32 [samples]."""

    audio: Array
    target: Array


Report = Callable[[int, int, float], None]


class Judge:
    """Scores vectors by what the separator does with them, in several threads."""

    def __init__(self, session: ort.InferenceSession, pool: ThreadPoolExecutor) -> None:
        self.session, self.pool, self.info = session, pool, GraphInfo.of(session)
        self.own = local()

    def _stream(self, streams: int) -> GraphStream:
        """A fresh stream of this thread's."""
        kept: dict[int, GraphStream] = self.own.__dict__.setdefault("streams", {})
        if streams not in kept:
            kept[streams] = GraphStream(self.session, "cpu", 1, streams, STEP_HOPS)
        kept[streams].reset()
        return kept[streams]

    def _gains(self, mixture: Mixture, vectors: Array) -> Floats:
        stream = self._stream(len(vectors))
        stream.query[...] = vectors
        size = STEP_HOPS * self.info.hop
        blocks = []
        for at in range(0, len(mixture.audio) - size + 1, size):
            stream.audio[:, 0] = mixture.audio[at : at + size]
            stream.run()
            blocks.append(stream.target[:, 0].copy())
        found = np.concatenate(blocks, axis=1)[:, self.info.latency :]
        target = mixture.target[: found.shape[1]]
        before = mixture.audio[None, : found.shape[1]]
        gains = [measure(found, target) - measure(before, target) for measure in (sdr, si_sdr)]
        return np.clip(np.stack(gains, axis=-1), *GAIN_RANGE_DB)

    def gains(self, mixtures: Sequence[Mixture], vectors: Array) -> Floats:
        """SDR and SI-SDR improvements in dB within ``GAIN_RANGE_DB``, [mixtures, vectors, 2]."""
        return np.stack(list(self.pool.map(lambda mixture: self._gains(mixture, vectors), mixtures)))


def sdr(estimates: Array, target: Array) -> Floats:
    """Signal-to-distortion ratio in dB of estimates [B, samples] to a target [samples], [B].

    It steers the search, not SI-SDR: silence has 0 dB here, but any SI-SDR at all. Both decide.
    """
    wanted = float(np.square(target, dtype=np.float64).sum()) + 1e-9
    return np.asarray(10 * np.log10(wanted / (np.square(estimates - target, dtype=np.float64).sum(1) + 1e-9)))


def si_sdr(estimates: Array, target: Array) -> Floats:
    """Scale-invariant SDR in dB of estimates [B, samples] to a target [samples], [B]."""
    wanted = target.astype(np.float64)
    scale = estimates @ wanted / (wanted @ wanted + 1e-9)
    part = np.square(scale) * (wanted @ wanted)
    rest = np.square(estimates - scale[:, None] * wanted).sum(1)
    return np.asarray(10 * np.log10((part + 1e-9) / (rest + 1e-9)))


def split_recordings(recordings: Sequence[Sequence[Array]]) -> tuple[list[Array], list[Array]]:
    """Sounds to search with, and sounds to decide with, that have no second in common.

    Of several recordings every third one, at least one, decides; of one recording its last third.

    Args:
        recordings: The windows of every recording.

    Returns:
        Two lists of mono sounds, float32 [samples].
    """
    whole = [np.concatenate(list(windows)) for windows in recordings]
    if len(whole) == 1:
        at = len(whole[0]) * 2 // 3
        return [whole[0][:at]], [whole[0][at:]]
    deciding = max(1, len(whole) // 3)
    return whole[:-deciding], whole[-deciding:]


def excerpt(sound: Array, samples: int, rng: np.random.Generator) -> Array:
    """A random stretch of ``samples``, at least half as loud as the loudest; a short sound is padded."""
    if len(sound) <= samples:
        out = np.zeros(samples, np.float32)
        at = int(rng.integers(0, samples - len(sound) + 1))
        out[at : at + len(sound)] = sound
        return out
    starts = np.unique(np.append(np.arange(0, len(sound) - samples, RATE // 8), len(sound) - samples))
    energy = np.concatenate([[0.0], np.cumsum(np.square(sound, dtype=np.float64))])
    level = np.sqrt(energy[starts + samples] - energy[starts])
    at = int(rng.choice(starts[level >= 0.5 * level.max()]))
    return sound[at : at + samples]


def rms(sound: Array) -> np.float32:
    """The root mean square of a sound, never 0."""
    return np.float32(max(float(np.sqrt(np.mean(np.square(sound, dtype=np.float64)))), 1e-6))


def draw_background(own: Sequence[Sequence[Array]], samples: int, rng: np.random.Generator) -> Array:
    """A background, float32 [samples]: of the user's recordings, or synthesised."""
    if own and rng.random() < OWN_SHARE:
        windows = own[int(rng.integers(len(own)))]
        return excerpt(windows[int(rng.integers(len(windows)))], samples, rng)
    return synthesised(samples, rng)


def draw_mixtures(
    sounds: Sequence[Array],
    own: Sequence[Sequence[Array]],
    count: int,
    options: TuneOptions,
    rng: np.random.Generator,
) -> list[Mixture]:
    """Mixtures of the sounds, in turn, with random backgrounds at evenly spread ratios."""
    samples = round(options.seconds * RATE)
    ratios = rng.permutation(np.linspace(-options.snr_db, options.snr_db, count))
    made = []
    for i, snr_db in enumerate(ratios):
        target = excerpt(sounds[i % len(sounds)], samples, rng)
        background = draw_background(own, samples, rng)
        target, background = target / rms(target), background / rms(background)
        mixture = target + background * np.float32(10 ** (-snr_db / 20))
        gain = np.float32(10 ** (LEVEL_DBFS / 20)) / rms(mixture)
        made.append(Mixture(mixture * gain, target * gain))
    return made


@dataclass(frozen=True)
class Subspace:
    """Where the search moves: ``start`` [D] and orthonormal ``axes`` [K, D]."""

    start: Array
    axes: Array
    least_cosine: float = 0.0

    def vectors(self, points: Floats) -> Array:
        """Unit vectors [N, D] of points [N, K]; those too far from the start are drawn back to the border."""
        moved = np.atleast_2d(points) @ self.axes.astype(np.float64)
        found = self.start + moved
        found /= np.linalg.norm(found, axis=1, keepdims=True)
        cosine = found @ self.start
        aside = found - cosine[:, None] * self.start
        aside /= np.maximum(np.linalg.norm(aside, axis=1, keepdims=True), 1e-9)
        border = self.least_cosine * self.start + np.sqrt(1 - self.least_cosine**2) * aside
        return np.asarray(np.where((cosine < self.least_cosine)[:, None], border, found), np.float32)

    def point(self, vector: Array) -> Floats:
        """The point of a vector, as far as it lies in the subspace, [K]."""
        scale = max(float(vector @ self.start), self.least_cosine, 0.1)
        return np.asarray(self.axes @ (vector / scale - self.start), np.float64)


def orthonormal(directions: Sequence[Array], start: Array) -> Array:
    """Orthonormal axes [K, D] of the directions, without what lies along the start or along earlier ones."""
    axes: list[Array] = [start]
    for direction in directions:
        rest = np.asarray(direction, np.float64)
        length = float(np.linalg.norm(rest))
        for axis in axes * 2:  # twice, against rounding
            rest = rest - (rest @ axis) * axis
        if np.linalg.norm(rest) > 0.05 * max(length, 1e-6):
            axes.append(np.asarray(rest / np.linalg.norm(rest), np.float32))
    return np.stack(axes[1:]) if len(axes) > 1 else np.zeros((0, len(start)), np.float32)


def near_sounds(bundle: Bundle, vector: Array, count: int) -> list[Array]:
    """The vectors of the nearest sounds of the vocabulary, nearest first; none without a vocabulary."""
    known = Vocabulary.of(bundle)
    if known is None:
        return []
    return [unit_vector(known.vectors[i]) for i in np.argsort(-(known.vectors @ vector))[:count]]


def directions(
    bundle: Bundle,
    plain: Query,
    recordings: Sequence[Array],
    backgrounds: Sequence[Array],
    options: TuneOptions,
) -> list[Array]:
    """Directions of the search: to each recording, to near sounds of the vocabulary, along the backgrounds.

    Args:
        bundle: The bundle.
        plain: Where the search begins.
        recordings: Unit vectors of the recordings.
        backgrounds: Unit vectors of backgrounds.
        options: How many of each.

    Returns:
        Vectors [D], most promising first.
    """
    found = [vector - plain.vector for vector in recordings]
    found += [vector - plain.vector for vector in near_sounds(bundle, plain.vector, options.nearest)]
    if len(backgrounds) > 1:
        matrix = np.stack(backgrounds)
        mean = matrix.mean(axis=0)
        found.append(mean)  # away from what all of them have
        found += list(np.linalg.svd(matrix - mean, full_matrices=False)[2][: options.background_axes])
    return found


@dataclass
class _Search:
    """The search with what it needs: a judge, sounds and backgrounds to search with and to decide with."""

    judge: Judge
    space: Subspace
    options: TuneOptions
    sounds: tuple[list[Array], list[Array]]
    backgrounds: tuple[Sequence[Sequence[Array]], Sequence[Sequence[Array]]]
    generations: int = 0

    def mixtures(self, part: int, count: int, turn: int) -> list[Mixture]:
        """Mixtures to search with (part 0) or to decide with (part 1)."""
        rng = np.random.default_rng((self.options.seed, part, turn))
        return draw_mixtures(self.sounds[part], self.backgrounds[part], count, self.options, rng)

    def start(self, first: Sequence[Array]) -> Floats:
        """The point of the best of ``first``, if it is clearly better than the start, else 0."""
        points = np.stack([np.zeros(len(self.space.axes)), *(self.space.point(v) for v in first)])
        gains = self.judge.gains(self.mixtures(0, 2 * self.options.mixtures, 0), self.space.vectors(points))
        best = int(gains[..., 0].mean(axis=0).argmax())
        return points[best if clearly_better(gains[:, best], gains[:, 0]) else 0]

    def run(self, first: Sequence[Array], report: Report) -> Iterator[Floats]:
        """The centre of the search at the start and after every generation."""
        options = self.options
        centre = self.start(first)
        yield centre
        rng = np.random.default_rng((options.seed, 2))
        search = CmaEs(centre, options.step / np.sqrt(len(centre)), options.candidates, rng)
        for turn in range(1, options.generations + 1):
            asked = search.ask()
            gains = self.judge.gains(self.mixtures(0, options.mixtures, turn), self.space.vectors(asked))
            search.tell(gains[..., 0].mean(axis=0))
            self.generations = turn
            report(turn, options.generations, float(gains[..., 0].mean()))
            yield search.mean


def clearly_better(gains: Floats, others: Floats) -> bool:
    """Whether paired gains [mixtures, 2] are better in both figures by more than a standard error."""
    better = gains - others
    return bool((better.mean(axis=0) > better.std(axis=0, ddof=1) / len(better) ** 0.5).all())


def tune(
    bundle: Bundle,
    request: QueryRequest,
    backgrounds: Sequence[Sequence[Array]] = (),
    options: TuneOptions | None = None,
    report: Report = lambda *_: None,
) -> Tuned:
    """Tune the query of a request on its recordings.

    Ctrl-C ends the search early; what it has found so far is then decided on. Before that it is an interrupt.

    Args:
        bundle: The bundle whose separator is asked.
        request: One to five audio files, and other parts of the query if there are any.
        backgrounds: Windows of the user's own backgrounds, see ``backgrounds.read_folder``.
        options: Settings; None is the defaults.
        report: Called with (generation, generations, mean gain in dB).

    Returns:
        The tuned query if it is better on what the search did not hear, else the plain one.

    Raises:
        QueryError: There is no recording, there are more than five, or one cannot be used; or the request
            names several sounds.
    """
    options = options or TuneOptions()
    count = len(request.audios)
    if not 1 <= count <= MOST_RECORDINGS:
        raise QueryError(f"tuning takes one to {MOST_RECORDINGS} recordings (--audio), not {count}")
    plain = build_query(bundle, request)
    if (sounds := len(plain.kept) + len(plain.dropped)) > 1:
        raise QueryError(
            f"tuning is for one sound, and this query names {sounds}; add the others, or --not, where the "
            "tuned query is used"
        )
    encoder = audio_encoder(bundle.path)
    recordings = [read_windows(path, encoder.sample_rate, encoder.hop) for path in request.audios]
    heard = [encoder.embed_windows(windows) for windows in recordings]
    session, _ = open_graph(bundle, "cpu")
    embedded = _embedded_backgrounds(encoder, backgrounds, options)
    axes = orthonormal(directions(bundle, plain, heard, embedded, options), plain.vector)
    space = Subspace(plain.vector, axes, options.least_cosine)
    threads = options.threads or cores()
    with ThreadPoolExecutor(threads) as pool:
        parts = (backgrounds[::2], backgrounds[1::2] or backgrounds)
        search = _Search(Judge(session, pool), space, options, split_recordings(recordings), parts)
        starts = [unit_vector(np.mean(heard, axis=0)), *near_sounds(bundle, plain.vector, 2)]
        return _decided(search, plain, starts, report)


def _decided(search: _Search, plain: Query, starts: Sequence[Array], report: Report) -> Tuned:
    """Run the search to its end or to Ctrl-C, and keep the better of tuned and plain."""
    centres: list[Floats] = []
    stopped = False
    try:
        for centre in search.run(starts, report):
            centres.append(centre)
    except KeyboardInterrupt:
        if not centres:
            raise
        stopped = True
    first, last = centres[0], centres[-1]
    tried = [last, (first + last) / 2, *([first] if first.any() else [])]
    points = np.stack([np.zeros_like(first), *tried])
    vectors = search.space.vectors(points)
    gains = search.judge.gains(search.mixtures(1, search.options.check_mixtures, 0), vectors)
    best = 1 + int(gains[:, 1:].mean(axis=(0, 2)).argmax())
    kept = clearly_better(gains[:, best], gains[:, 0])
    vector = unit_vector(vectors[best])
    # what the plain one was warned of, the tuned one was measured on
    query = replace(plain, vector=vector, label=f"{plain.label}, tuned", warnings=()) if kept else plain
    before, after = (float(x) for x in gains[:, [0, best], 1].mean(axis=0))
    return Tuned(query, vector, kept, before, after, search.generations, stopped)


def _embedded_backgrounds(
    encoder: AudioEncoder, own: Sequence[Sequence[Array]], options: TuneOptions
) -> list[Array]:
    """Unit vectors of some backgrounds."""
    rng = np.random.default_rng((options.seed, 3))
    samples = round(options.seconds * RATE)
    drawn = [draw_background(own, samples, rng) for _ in range(EMBEDDED_BACKGROUNDS)]
    return [encoder.embed_windows([background]) for background in drawn]


def cores() -> int:
    """The cores that this process may use."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count() or 1
