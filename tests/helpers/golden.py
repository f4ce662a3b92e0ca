"""Golden vectors: inputs and outputs of the code that Python, C++ and JavaScript each have.

``python tests/helpers/golden.py`` writes ``tests/golden.json`` from the Python code. The tests of all three
languages read it.
"""

import json
import tempfile
from itertools import product
from math import ceil, floor
from pathlib import Path

import numpy as np

from marssep_rt.contract import FORMATS, LATENCY, MIXER, OLD_BUNDLES, RESAMPLER
from marssep_rt.dsp.latency import any_block_delay, bursty_delay, live_slack, synchronous_delay, worker_delay
from marssep_rt.dsp.mixer import Controls, strength_settings
from marssep_rt.dsp.presence import PresenceCurve, share_db
from marssep_rt.dsp.resampler import StreamResampler
from marssep_rt.errors import QueryError
from marssep_rt.query.query_file import read_query

FILE = Path(__file__).parents[1] / "golden.json"
ENCODER, DIM = "golden-1", 4
MODES = ("target", "residual", "bypass")


def mixer():
    """Coefficients of target and dry for mixer settings; ``limit_db`` null is no limit."""
    cases = [(1.0, None, 0.0), (0.0, None, 0.0), (0.5, 12.0, -6.0), (1.0, 0.0, 0.0), (0.25, 40.0, 40.0)]
    cases += [(1.0, MIXER.no_limit_db - 1, MIXER.gain_db_min)]
    cases += [
        (1.0, limit, 0.0) for limit in (MIXER.no_limit_db - 60, MIXER.no_limit_db, 2 * MIXER.no_limit_db)
    ]
    for mode, (wet, limit, gain) in product(MODES, cases):
        pair = Controls(mode == "residual", wet, limit, gain, mode == "bypass").coefficients()
        yield {"mode": mode, "wet": wet, "limit_db": limit, "gain_db": gain, "coefficients": rounded(pair, 9)}


def strength():
    """Mix and attenuation limit of strengths in percent."""
    for percent in (0, 12, 50, 99, 100):
        yield {"percent": percent, **strength_settings(percent)}


def resampler():
    """One block through the streaming resampler."""
    rng = np.random.default_rng(0)
    for source, target in ((44_100, 48_000), (48_000, 44_100), (96_000, 48_000), (16_000, 48_000)):
        x = rng.uniform(-1, 1, 120).round(4).astype(np.float32)
        y = StreamResampler(source, target, 1).process(x[None])[0]
        yield {"source": source, "target": target, "input": rounded(x, 4), "output": rounded(y, 7)}


def latency():
    """The runtime's closed forms, in samples."""
    for block, hop in ((64, 480), (256, 480), (480, 480), (1024, 480), (441, 480), (512, 256)):
        yield {
            "block": block,
            "hop": hop,
            "synchronous": synchronous_delay(block, hop),
            "any_block": any_block_delay(hop),
            "worker": worker_delay(block, hop),
            "bursty": bursty_delay(3 * block, block, hop),
            "live_slack": live_slack(0.006, block, 48_000),
        }


def plugin_latency():
    """The latency that the plug-in reports, in samples of the host."""
    for host, block, extra in product((48_000, 44_100, 88_200, 96_000), (64, 480, 1000), (0, 1)):
        graph = {"sample_rate": 48_000, "hop": 480, "latency": 480}
        total = plugin_delay(graph, host, block, extra)
        yield {"graph": graph, "host_rate": host, "block": block, "extra_hops": extra, "total": total}


def plugin_delay(graph, host, block, extra):
    """Conversion, blocks of any size, and the model's thread, each in whole samples of the host."""
    scale = host / graph["sample_rate"]
    hop = ceil(graph["hop"] * scale)
    worker = max(block, hop * (1 + extra))
    if host == graph["sample_rate"]:
        return graph["latency"] + any_block_delay(graph["hop"]) + worker
    width = RESAMPLER.half_width
    conversion = width + floor((width + graph["latency"]) * host / graph["sample_rate"])
    return conversion + ceil(any_block_delay(graph["hop"]) * host / graph["sample_rate"]) + 1 + worker


def page_latency():
    """What the page's audio thread adds to the graph's latency: a hop to collect, and the slack."""
    for hop in (480, 256):
        slack = LATENCY.page_extra_hops * hop
        yield {"hop": hop, "slack": slack, "total": hop + slack}


def presence():
    """Probability from energies and similarity; ``similarity`` null: no audio encoder."""
    curves = (
        PresenceCurve(OLD_BUNDLES.presence_both, OLD_BUNDLES.presence_share),
        PresenceCurve((0, 0.1, 5), (1, 0.2)),
    )
    for curve, (target, whole), similarity in product(
        curves, ((0.1, 1.0), (1.0, 1.0), (0.0, 1.0)), (None, 0.0, 0.6)
    ):
        share = share_db(target, whole)
        yield {
            "curve": {"both": list(curve.both), "share": list(curve.share)},
            "target_energy": target,
            "input_energy": whole,
            "similarity": similarity,
            "presence": rounded([curve.probability(share, similarity)], 9)[0],
        }


def query_files():
    """The text of query files, and their unit vectors for ENCODER and DIM; null: refused."""
    good = {"format": FORMATS.query, "encoder": ENCODER, "dim": DIM, "label": "dög", "vector": [0.5] * DIM}
    changes = [
        {},
        {"vector": [3.0, 0.0, -4.0, 0.0]},
        {"later": "key"},
        {"format": FORMATS.query + 1},
        {"format": "1"},
        {"encoder": "other-1"},
        {"dim": DIM + 1},
        {"dim": DIM - 1, "vector": [0.5] * (DIM - 1)},
        {"vector": [0.0] * DIM},
        {"vector": [1e-8] * DIM},
        {"vector": [1e-5] * DIM},
        {"vector": [float("nan")] * DIM},
        {"vector": ["x"] * DIM},
        {"vector": [[0.5] * DIM]},
        {"keep": [[1.0, 0.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0]], "drop": [[0.0, 0.0, 0.0, 1.0]]},
        {"keep": None, "drop": None},
        {"keep": [[0.5] * (DIM + 1)]},
        {"drop": [[0.5] * DIM, [0.5]]},
        {"drop": [[0.0] * DIM]},
        {"keep": "x"},
        {"format": FORMATS.query_of_sounds},
        {"limit_db": 12.0, "warnings": ["a word is doubted"]},
        {"limit_db": None},
        {"limit_db": 0},
        {"limit_db": -1.0},
        {"limit_db": "12"},
        {"limit_db": True},
        {"limit_db": float("nan")},
        {"remove": True},
        {"remove": True, "complement": True, "limit_db": 20},
        {"complement": True},
        {"remove": 1},
        {"complement": "yes"},
    ]
    texts = [json.dumps(good | change) for change in changes]
    texts += [json.dumps({k: v for k, v in good.items() if k != key}) for key in good]
    texts += ["", "nonsense", "[]", "null", json.dumps(good)[:-9]]
    for text in texts:
        yield {"text": text, **read_text(text)}


def read_text(text):
    """What a query file's text holds; no vector where it is refused."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.query"
        path.write_text(text, encoding="utf-8")
        try:
            query = read_query(path)
        except QueryError:
            return {"vector": None}
    if (query.encoder, len(query.vector)) != (ENCODER, DIM):
        return {"vector": None}
    flags = {"remove": query.remove, "complement": query.complement}
    return {"vector": rounded(query.vector, 7), "limit_db": query.limit_db, **flags}


def rounded(values, digits):
    return [round(float(value), digits) for value in values]


def computed():
    """All vectors, as Python computes them now."""
    makers = (mixer, strength, resampler, latency, plugin_latency, page_latency, presence, query_files)
    return {make.__name__: list(make()) for make in makers}


def stored():
    """The vectors in the repository."""
    return json.loads(FILE.read_text(encoding="utf-8"))


def main():
    parts = []
    for name, cases in computed().items():
        lines = ",\n".join("  " + json.dumps(case, ensure_ascii=False) for case in cases)
        parts.append(f' "{name}": [\n{lines}\n ]')
    FILE.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
