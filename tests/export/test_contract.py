"""The files that C++ and JavaScript share with Python are what the generator writes."""

import json
from dataclasses import asdict

import marssep_rt.contract as contract
from export.contract import FILES


def test_the_committed_files_are_what_the_generator_writes():
    """After a change of contract.json or query/grammar.py: python -m export.contract."""
    assert len(FILES) == 4
    for path, text in FILES.items():
        assert path.read_text(encoding="utf-8") == text(), path


def test_python_has_every_constant_of_the_file():
    data = json.loads(contract.SOURCE.read_text(encoding="utf-8"))
    for section, values in data.items():
        loaded = asdict(getattr(contract, section.upper()))
        assert {k: list(v) if isinstance(v, tuple) else v for k, v in loaded.items()} == values
        assert {k: type(v) for k, v in values.items() if not isinstance(v, list)} == {
            k: type(v) for k, v in loaded.items() if not isinstance(v, tuple)
        }
