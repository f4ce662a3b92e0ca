"""A file says how well the query matched: in the report, and after its name."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile

from marssep_rt.batch.report import settings_key
from marssep_rt.dsp.mixer import Controls
from marssep_rt.live.devices.demo_signals import demo_parts
from marssep_rt.query.types import Query
from signals import RATE

COMMAND = Path(sys.executable).parent / "marssep-file"


def test_presence_and_level_are_printed_and_reported(tmp_path):
    soundfile.write(tmp_path / "siren.wav", demo_parts(4.0)["siren"], RATE)
    found = {}
    for query in ("siren", "rain"):
        arguments = [
            tmp_path / "siren.wav",
            "--query",
            query,
            "--report",
            tmp_path / "r.jsonl",
            "--overwrite",
        ]
        done = subprocess.run([COMMAND, *arguments], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        found[query] = json.loads((tmp_path / "r.jsonl").read_text().splitlines()[-1])
        assert found[query]["query"] == query
        assert f"{query}: " in done.stderr
        assert "the input" in done.stderr
        assert found[query]["mode"] == "target"
    (tmp_path / "siren.marssep.wav").unlink()
    command = [COMMAND, tmp_path / "siren.wav", "--query", "no siren", "--report", tmp_path / "r.jsonl"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "siren: there to remove (0." in done.stderr, done.stderr
    assert json.loads((tmp_path / "r.jsonl").read_text().splitlines()[-1])["mode"] == "residual"
    there, absent = found.values()
    assert there["presence"] > absent["presence"]
    assert there["output_level_db"] > absent["output_level_db"]


def test_settings_differ_where_sounds_differ_and_stay_where_they_do_not(bundle, vector):
    other = np.roll(vector, 1)
    queries = [
        Query(vector, bundle.encoder, "a"),
        Query(vector, bundle.encoder, "the same, called otherwise"),
        Query(vector, bundle.encoder, "a", keep=np.stack([vector, other])),
        Query(vector, bundle.encoder, "a", drop=other[None]),
    ]
    keys = [settings_key(bundle, query, Controls(), "wav", False) for query in queries]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3
