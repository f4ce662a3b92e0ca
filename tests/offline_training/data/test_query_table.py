"""A table is the same after it was written and read, and reading it takes every array once."""

from collections import Counter

import numpy as np

from offline_training.data.query_table import Examples, QueryTable
from offline_training.utils.vectors import unit

RNG = np.random.default_rng(0)


def vectors(count):
    return unit(RNG.standard_normal((count, 8))).astype(np.float32)


def full_table():
    phrases = {label: [label, f"a {label}", f"the {label}"] for label in ("dog", "cat", "siren")}
    examples = {
        "dog": Examples(vectors(3), ("train", "rough", "val"), ("a", "a", "b")),
        "siren": Examples(vectors(1), ("train",), ("c",)),
    }
    return QueryTable(
        phrases,
        {label: vectors(3) for label in phrases},
        "test-1",
        examples,
        {"cat": Examples(vectors(2), ("train", "val"), ("x.jpg", "y.jpg"))},
        {"animal": ("dog", "cat"), "alarm": ("siren",)},
        {"animal": vectors(2), "alarm": vectors(1)},
        {"horn": vectors(1)[0]},
    )


def test_a_table_survives_its_file(tmp_path):
    made = full_table()
    made.save(tmp_path / "t.npz")
    again = QueryTable.load(tmp_path / "t.npz")
    assert (again.phrases, again.encoder, again.families) == (made.phrases, made.encoder, made.families)
    for name in ("vectors", "family_vectors", "classes"):
        found, expected = getattr(again, name), getattr(made, name)
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            np.testing.assert_array_equal(found[key], value)
    for name in ("audio", "image"):
        found, expected = getattr(again, name), getattr(made, name)
        assert found.keys() == expected.keys()
        for label, examples in expected.items():
            np.testing.assert_array_equal(found[label].vectors, examples.vectors)
            assert (found[label].splits, found[label].groups) == (examples.splits, examples.groups)


def test_every_array_is_read_once(tmp_path, monkeypatch):
    """With thousands of phrases, reading them for each phrase again takes a minute."""
    full_table().save(tmp_path / "t.npz")
    reads = Counter()
    read = np.lib.npyio.NpzFile.__getitem__

    def counted(file, name):
        reads[name] += 1
        return read(file, name)

    monkeypatch.setattr(np.lib.npyio.NpzFile, "__getitem__", counted)
    QueryTable.load(tmp_path / "t.npz")
    assert reads
    assert set(reads.values()) == {1}
