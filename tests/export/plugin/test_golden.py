"""The plug-in's C++ against the golden vectors that Python wrote; its target level against the formula."""

import numpy as np
import pytest

from daw_tools import FLOATS, golden
from golden import DIM, ENCODER, MODES, stored
from marssep_rt.contract import MIXER

VECTORS = stored()


def floats(array):
    return array.ctypes.data_as(FLOATS)


def test_the_mixer():
    pair = np.zeros(2, np.float32)
    for case in VECTORS["mixer"]:
        limit = MIXER.no_limit_db if case["limit_db"] is None else case["limit_db"]
        golden().golden_mixer(case["wet"], limit, case["gain_db"], MODES.index(case["mode"]), floats(pair))
        np.testing.assert_allclose(pair, case["coefficients"], rtol=1e-5, atol=1e-6, err_msg=str(case))


def test_the_resampler():
    for case in VECTORS["resampler"]:
        x, y = np.array(case["input"], np.float32), np.zeros(1000, np.float32)
        count = golden().golden_resample(case["source"], case["target"], floats(x), len(x), floats(y))
        assert count == len(case["output"])
        np.testing.assert_allclose(y[:count], case["output"], atol=2e-6)


def test_the_latency():
    for case in VECTORS["plugin_latency"]:
        graph = (case["graph"][key] for key in ("sample_rate", "hop", "latency"))
        total = golden().golden_latency(*graph, case["host_rate"], case["block"], case["extra_hops"])
        assert total == case["total"], case


@pytest.mark.parametrize("case", VECTORS["query_files"], ids=lambda case: case["text"][:60])
def test_a_query_file(case, tmp_path):
    path, vector, more = tmp_path / "x.query", np.zeros(DIM, np.float32), np.zeros(3, np.float32)
    path.write_text(case["text"], encoding="utf-8")
    given = str(path).encode(), ENCODER.encode(), DIM
    refused = golden().golden_query(*given, floats(vector), floats(more))
    assert bool(refused) == (case["vector"] is None)
    if case["vector"]:
        np.testing.assert_allclose(vector, case["vector"], atol=1e-6)
        limit = MIXER.no_limit_db if case["limit_db"] is None else case["limit_db"]
        assert more.tolist() == [limit, case["remove"], case["complement"]]
