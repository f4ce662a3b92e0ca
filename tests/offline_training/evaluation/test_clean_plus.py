"""The field's lists and its -clean+ protocol, on a tiny folder of that shape."""

import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from coloured import Coloured
from marssep_rt.model import bundle as bundles
from offline_training.data.corpus import CorpusError, read_manifest
from offline_training.data.query_table import omni
from offline_training.data.vggsound import Listed, read_list, there, write_manifests
from offline_training.evaluation.bss_eval import bss_eval
from offline_training.evaluation.clean_plus import (
    RATE,
    SAMPLES,
    Queries,
    excerpt,
    figures,
    measure,
    partners,
    scores,
    summarise,
)
from offline_training.models.registry import build, describe
from offline_training.utils.checkpoint_io import save
from offline_training.utils.vectors import unit
from signals import tone

BIN = Path(sys.executable).parent
TINY = {"unet": {"channels": [4] * 7, "dilations": [1], "components": 4, "query_hidden": 8, "query_dim": 16}}


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    """Ten-second clips of two labels with frames, and lists of targets and interferers."""
    root = tmp_path_factory.mktemp("field")
    rng = np.random.default_rng(0)
    rows = []
    for i, label in enumerate(["dog barking", "acoustic_guitar", "dog barking", "rain"]):
        audio, frames = f"data/audio/{i}/clip{i}.wav", f"data/preprocessed/{i}/clip{i}"
        (root / audio).parent.mkdir(parents=True)
        (root / frames).mkdir(parents=True)
        sound = tone(300 * (i + 1), 10.0, RATE) + 0.02 * rng.standard_normal(10 * RATE)
        soundfile.write(root / audio, sound.astype(np.float32), RATE)
        for n in range(1, 11):
            Image.fromarray(rng.integers(0, 255, (32, 32, 3), np.uint8)).save(root / frames / f"{n:06d}.jpg")
        rows.append(f"{audio},{frames},10,{label}")
    (root / "targets.csv").write_text("\n".join(rows[:2]) + "\n")
    (root / "others.csv").write_text(
        "\n".join([*rows[2:], "data/audio/gone.wav,data/preprocessed/gone,10,rain"]) + "\n"
    )
    return root


class Seeing(Coloured):
    modalities = ("text", "audio", "image")

    def embed_image(self, images):
        rows = np.stack([np.asarray(x, np.float32).mean((0, 1)).repeat(6)[:16] for x in images])
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_lists_become_manifests_of_what_is_there(field, tmp_path):
    counts = write_manifests({"train": field / "targets.csv", "test": field / "others.csv"}, field, tmp_path)
    assert counts == {"train": (2, 2), "test": (2, 3)}
    sounds = read_manifest(tmp_path / "manifest.csv")
    assert [(r["label"], r["split"], r["group"]) for r in sounds] == [
        ("dog barking", "train", "clip0"),
        ("acoustic guitar", "train", "clip1"),
        ("dog barking", "test", "clip2"),
        ("rain", "test", "clip3"),
    ]
    images = read_manifest(tmp_path / "images.csv", groups_per_label=True)
    assert [Path(r["path"]).name for r in images[:3]] == ["000004.jpg", "000005.jpg", "000006.jpg"]
    write_manifests({"train": field / "targets.csv", "test": field / "targets.csv"}, field, tmp_path)
    with pytest.raises(CorpusError, match="two splits"):
        read_manifest(tmp_path / "manifest.csv")


def test_bad_lists(field, tmp_path):
    (tmp_path / "l.csv").write_text("a.wav,f,10,dog\na.wav,f,10\n\nb.wav,f,ten,dog\nc.wav,,3,cat\n")
    with pytest.raises(
        CorpusError, match=r"3 malformed rows: line 2: .*; line 4: the number of frames is 'ten'; line 5"
    ):
        read_list(tmp_path / "l.csv", field)
    (tmp_path / "e.csv").write_text("\n")
    for path, words in ((tmp_path / "none.csv", "cannot read"), (tmp_path / "e.csv", "no rows")):
        with pytest.raises(CorpusError, match=words):
            read_list(path, field)
    with pytest.raises(CorpusError, match=r"none of the 2 sounds.*--root"):
        there(read_list(field / "targets.csv", tmp_path), "targets.csv")


def test_partners_are_the_fields_own():
    """random.seed(index), then random.randint over the other list."""
    rows = [Listed(Path(f"{i}.wav"), Path("f"), 10, "x") for i in range(50)]
    expected = []
    for i in range(20):
        random.seed(i)
        expected.append(rows[random.randint(0, 49)])
    assert partners(rows[:20], rows) == expected


def test_excerpts_lie_around_the_middle_frame_and_fill_up():
    ramp = np.linspace(-1, 1, 10 * RATE, dtype=np.float32)
    middle = excerpt(ramp, int(4.5 * RATE))
    assert middle.shape == (SAMPLES,)
    assert middle[SAMPLES // 2] == ramp[int(4.5 * RATE)]
    assert middle[-1] == 0  # 2 x 32,767 samples in an array of 65,535
    early = excerpt(ramp, 100)
    assert np.all(early[: SAMPLES // 2 - 100] == 0)
    assert early[SAMPLES // 2 - 100] == ramp[0]
    assert np.count_nonzero(excerpt(np.ones(1000, np.float32), 20_000)) > 50_000
    assert excerpt(np.full(SAMPLES, 3.0, np.float32), 32_767).max() == 1.0


def test_bss_eval_by_hand():
    """White sources: an estimate with a tenth of the other source has SDR and SIR of 20 dB and next to no
    artefacts.
    """
    a, b = np.random.default_rng(0).standard_normal((2, RATE)).astype(np.float32)
    sdr, sir, sar = bss_eval(np.stack([a, b]), np.stack([a + 0.1 * b, b + 0.1 * a]))
    assert sdr == pytest.approx(20, abs=0.3)
    assert sir == pytest.approx(20, abs=0.5)
    assert sar > 60


class Fixed(torch.nn.Module):
    """Stands for a separator whose mask lets a share of everything through."""

    def __init__(self, share):
        super().__init__()
        self.inner = build(TINY).eval()
        self.share, self.config, self.latency = share, self.inner.config, self.inner.latency

    def spectra(self, *args):
        return self.inner.spectra(*args)

    def logits(self, spectra, query, memory, other=None):
        return torch.full_like(spectra.band_power, float(np.log(self.share / (1 - self.share))))

    def apply_mask(self, *args):
        return self.inner.apply_mask(*args)


def test_a_mask_that_changes_nothing_improves_nothing(field):
    sources = np.stack([excerpt(tone(300, 5.0, RATE), 40_000), excerpt(tone(900, 5.0, RATE), 40_000)]) / 2
    found = figures(Fixed(0.999999), sources.astype(np.float32), np.ones(16, np.float32) / 4, "cpu")
    assert found["si_sdri"] == pytest.approx(0, abs=0.01)
    np.testing.assert_allclose(
        found["estimate"][2000:-2000], sources.sum(0)[2000 : len(found["estimate"]) - 2000], atol=1e-3
    )


def test_queries_of_every_kind(field):
    rows = read_list(field / "targets.csv", field)
    others = there(read_list(field / "others.csv", field), "others")
    queries = Queries(Seeing(), others)
    text, audio, image = (queries.of(rows[0], k) for k in ("text", "audio", "image"))
    np.testing.assert_allclose(queries.of(rows[0], "omni"), unit(2 * text + 2 * image + audio), atol=1e-6)
    assert queries.of(rows[1], "audio") is None  # no other guitar
    np.testing.assert_allclose(
        queries.of(rows[1], "omni"),
        omni({"text": queries.of(rows[1], "text"), "image": queries.of(rows[1], "image")}),
        atol=1e-6,
    )


def test_mean_and_standard_error(field):
    rows = [{"label": "x", "sdr": 1.0}, {"label": "y", "sdr": 3.0}]
    assert summarise(rows) == {"targets": 2, "sdr": {"mean": 2.0, "sem": 1.0}}


def test_scores_of_an_estimate_that_is_the_target():
    target = excerpt(tone(500, 5.0, RATE), 40_000)
    found = scores(Seeing(), target, target, "dog")
    assert found["clap_audio"] == pytest.approx(100, abs=1e-3)
    assert abs(found["clap_text"]) <= 100


def test_measured_rows_and_what_cannot_be_asked(field):
    rows, others = (
        read_list(field / "targets.csv", field),
        there(read_list(field / "others.csv", field), "others"),
    )
    model = build(TINY).eval()
    found = measure(model, Queries(Seeing(), others), rows, others, "omni", Seeing())
    assert [r["target"] for r in found] == ["clip0", "clip1"]
    assert {"sdr", "sir", "sar", "si_sdri", "clap_text", "clap_audio"} <= set(found[0])
    assert "estimate" not in found[0]
    with pytest.raises(CorpusError, match="no target can be asked for by audio"):
        measure(model, Queries(Seeing(), []), rows[1:], others, "audio")


def test_the_commands(field, tmp_path):
    def run(*args):
        done = subprocess.run(
            [BIN / "marssep-train", *map(str, args)], capture_output=True, text=True, timeout=300
        )
        assert "Traceback" not in done.stderr
        return done

    lists = ("--targets", field / "targets.csv", "--others", field / "others.csv", "--root", field)
    done = run(
        "field-lists",
        "--train",
        field / "targets.csv",
        "--test",
        field / "others.csv",
        "--root",
        field,
        "-o",
        tmp_path / "m",
    )
    assert done.returncode == 0, done.stderr
    assert "train 2 of 2, test 2 of 3" in " ".join((done.stdout + done.stderr).split())
    model = build({"unet": {**TINY["unet"], "query_dim": 384}})
    save(
        tmp_path / "tiny.pt",
        {"separator": describe(model), "weights": model.state_dict(), "encoder": bundles.load(None).encoder},
    )
    done = run("clean-plus", tmp_path / "tiny.pt", *lists, "-o", tmp_path / "r.json")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "r.json").read_text())
    assert found["targets"] == 2
    assert found["rows"][0]["partner"] in ("clip2", "clip3")
    save(
        tmp_path / "other.pt",
        {"separator": describe(model), "weights": model.state_dict(), "encoder": "imagebind"},
    )
    for args, words in (
        ((tmp_path / "other.pt", *lists), "trained on encoder imagebind"),
        ((tmp_path / "tiny.pt", *lists, "--query", "smell"), "text"),
    ):
        done = run("clean-plus", *args, "-o", tmp_path / "s.json")
        assert done.returncode == 2
        assert words in done.stderr
    assert not (tmp_path / "s.json").exists()
