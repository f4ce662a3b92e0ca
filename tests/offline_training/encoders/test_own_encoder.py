"""An encoder of one's own: the example of the documentation, from the recordings to a query file."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from marssep_rt.query.query_file import read_query
from offline_training.alignment.data import query_table
from offline_training.encoders import EncoderError, open_encoder
from signals import RATE, tone

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "mean_spectrum.py"
BIN = Path(sys.executable).parent / "marssep-train"


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labels")
    rng = np.random.default_rng(0)
    for label, make in (("rain", lambda: 0.3 * rng.standard_normal(RATE)), ("siren", lambda: tone(900, 1.0))):
        (folder / label).mkdir()
        for i in range(2):
            soundfile.write(folder / label / f"{i}.wav", make(), RATE)
    return folder


def test_the_example_is_short_and_an_encoder(recordings):
    assert len([line for line in EXAMPLE.read_text().splitlines() if line.strip()]) <= 40
    encoder = open_encoder(f"{EXAMPLE}:MeanSpectrum", str(recordings))
    heard, said = encoder.embed_audio([tone(900, 2.0)])[0], encoder.embed_text(["the sound of siren", "rain"])
    assert heard.shape == (encoder.dim,)
    assert heard.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(said, axis=1), 1, atol=1e-5)
    assert heard @ said[0] > heard @ said[1] + 0.2


@pytest.mark.slow
def test_a_query_table_and_a_query_file_by_it(recordings, corpus, tmp_path):
    name = f"{EXAMPLE}:MeanSpectrum"
    table = query_table(
        open_encoder(name, str(recordings)), {"rain": ["rain"], "siren": ["siren"]}, corpus, None, augmented=1
    )
    assert (table.encoder, table.dim, set(table.audio)) == ("mean-spectrum-1", 64, {"rain", "siren"})
    command = [str(BIN), "query", "--encoder", name, "--weights", str(recordings)]
    out = tmp_path / "rain.query"
    done = subprocess.run(
        [*command, "--audio", str(recordings / "rain" / "0.wav"), "-o", str(out)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert read_query(out).encoder == "mean-spectrum-1"


def test_an_encoder_without_all_parts(tmp_path):
    (tmp_path / "half.py").write_text(
        "class Half:\n    def __init__(self, weights, device): self.id = 'half'\n"
    )
    with pytest.raises(EncoderError, match="lacks dim, licence, modalities, embed_text"):
        open_encoder(f"{tmp_path / 'half.py'}:Half")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none", "or your own: FILE.py:CLASS"),
        ("none.py:Encoder", "there is no file none.py"),
        ("no_such_module:Encoder", "cannot be imported"),
        (f"{EXAMPLE}:Other", "has no class 'Other'"),
        ("collections:Counter", "not made from"),
    ],
)
def test_what_is_no_encoder_is_said_in_a_sentence(name, words):
    with pytest.raises(EncoderError, match=words):
        open_encoder(name)
