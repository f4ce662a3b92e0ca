"""A decoded corpus of synthesised clips and a query table of random vectors."""

import numpy as np
import pytest

from offline_training.data.corpus import Corpus, decode
from offline_training.data.query_table import QueryTable


@pytest.fixture(scope="session")
def corpus(clips, tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    assert list(decode(clips, folder))[-1] == (64, 64)
    return Corpus(folder)


@pytest.fixture(scope="session")
def table(corpus):
    rng = np.random.default_rng(0)
    labels = corpus.labels()
    vectors = {label: rng.standard_normal((3, 16)).astype(np.float32) for label in labels}
    vectors = {k: v / np.linalg.norm(v, axis=1, keepdims=True) for k, v in vectors.items()}
    return QueryTable({label: [label, f"{label} noise", f"a {label}"] for label in labels}, vectors, "test")
