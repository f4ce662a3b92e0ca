"""Two processes train as one does on the same batch: the real commands, launched by torchrun over gloo on the
CPU.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from offline_training.data.mixtures import MixtureConfig, MixtureDataset, joined
from offline_training.encoders.audio_image import EncoderShape
from offline_training.encoders.builtin import build_encoders, describe
from offline_training.utils import checkpoint_io
from offline_training.utils.distributed import Processes
from offline_training.utils.run import RunError

BIN = Path(sys.executable).parent
COMMON = """bf16 = false
[separator.unet]
channels = [4, 4, 4, 4, 4, 4, 4]
dilations = [1]
components = 4
query_hidden = 8
[train]
steps = 3
workers = 0
log_every = 1
validate_every = 3
decay_steps = 1
warmup_steps = 1
lr = 3e-3
shards = 2
frozen_norms = true
[mixtures]
seconds = 0.5
queries = 3
[validation]
mixtures = 4
seconds = 1.0
"""


def launch(count, *args, folder):
    one = [str(BIN / "marssep-train"), *map(str, args)]
    launcher = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc_per_node",
        str(count),
        "--rdzv_backend",
        "c10d",
    ]
    many = [*launcher, "--rdzv_endpoint", "localhost:0", "--", *one]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        one if count == 1 else many, cwd=folder, capture_output=True, text=True, timeout=300, env=environment
    )
    return done


def losses(folder):
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    steps = [entry for entry in lines if "loss" in entry]
    for entry in steps:
        entry.pop("steps_per_second")
    return steps


@pytest.fixture
def files(corpus, table, tmp_path):
    table.save(tmp_path / "q.npz")
    torch.manual_seed(1)
    encoders = build_encoders(EncoderShape(widths=(4, 8, 8), dim=16), EncoderShape(widths=(4, 8, 8), dim=16))
    torch.save(
        {"kind": "encoders", "describe": json.dumps(describe(encoders)), "weights": encoders.state_dict()},
        tmp_path / "t.pt",
    )
    return ("--corpus", corpus.folder, "--queries", "q.npz")


def same(tmp_path, least_steps=3):
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(one) == len(two) >= least_steps  # one log, not two
    for a, b in zip(one, two, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            assert b[name] == pytest.approx(a[name], abs=2e-3, rel=2e-3), name
    weights = [checkpoint_io.load(tmp_path / name / "last.pt")["model"] for name in ("one", "two")]
    x, y = (torch.cat([v.flatten() for v in w.values() if v.is_floating_point()]) for w in weights)
    # single weights with next to no gradient may go either way (Adam takes its sign): together they move a
    # twentieth of their length here
    assert (x - y).norm() < 1e-3 * x.norm()


def test_supervision_is_the_same(files, tmp_path):
    (tmp_path / "s.toml").write_text('kind = "supervise"\n' + COMMON)
    for count, name in ((1, "one"), (2, "two")):
        done = launch(count, "supervise", *files, "--recipe", "s.toml", "-o", name, folder=tmp_path)
        assert done.returncode == 0, done.stderr[-2000:]
    same(tmp_path)


@pytest.mark.parametrize("group", [1, 2])
def test_reinforcement_is_the_same(files, tmp_path, group):
    (tmp_path / "s.toml").write_text('kind = "supervise"\n' + COMMON)
    assert launch(1, "supervise", *files, "--recipe", "s.toml", "-o", "base", folder=tmp_path).returncode == 0
    (tmp_path / "r.toml").write_text(
        'kind = "reinforce"\nanchor = "mean"\n' + COMMON + f"[reinforce]\ngroup = {group}\n"
    )
    for count, name in ((1, "one"), (2, "two")):
        done = launch(
            count,
            "reinforce",
            *files,
            "--recipe",
            "r.toml",
            "--start",
            "base/best.pt",
            "--encoders",
            "t.pt",
            "-o",
            name,
            folder=tmp_path,
        )
        assert done.returncode == 0, done.stderr[-2000:]
    same(tmp_path)


def test_norms_that_cannot_be_synchronised_are_refused(files, tmp_path):
    (tmp_path / "s.toml").write_text('kind = "supervise"\n' + COMMON.replace("frozen_norms = true\n", ""))
    done = launch(2, "supervise", *files, "--recipe", "s.toml", "-o", "two", folder=tmp_path)
    assert done.returncode != 0
    assert "frozen_norms" in " ".join(done.stderr.split())


def test_shards_are_dealt_evenly():
    alone = Processes()
    assert alone.own(3) == (0, 1, 2)
    assert alone.main
    alone.count, alone.rank = 2, 1
    assert alone.own(4) == (2, 3)
    with pytest.raises(RunError, match="3 shards cannot be dealt to 2"):
        alone.own(3)


def test_alone_nothing_is_exchanged():
    alone = Processes()
    assert alone.mean({"a": 2.0}) == {"a": 2.0}
    assert alone.any(True)
    assert not alone.any(False)
    rows = torch.arange(3)
    assert alone.gather(rows) is rows


def test_joined_batches_keep_their_mixtures_apart(corpus, table):
    config = MixtureConfig(seconds=0.3, queries=4)
    whole = MixtureDataset(corpus, table, config, 10, 1, own=(0, 1))[3]
    parts = [MixtureDataset(corpus, table, config, 10, 1, own=(k,))[3] for k in (0, 1)]
    assert torch.equal(whole["targets"], torch.cat([p["targets"] for p in parts]))
    for i in range(8):
        part = parts[i // 4]
        assert torch.equal(
            whole["mixtures"][whole["mixture_of"][i]], part["mixtures"][part["mixture_of"][i % 4]]
        )
    one = MixtureDataset(corpus, table, config, 10, 1)[3]
    assert joined([one]) is one
    assert torch.equal(one["mixtures"], parts[0]["mixtures"])
    assert not torch.equal(one["mixtures"][0], parts[1]["mixtures"][0])
