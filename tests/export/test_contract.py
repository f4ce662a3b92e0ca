"""The contract's files for C++ and JavaScript are what the generator writes."""

import json
from dataclasses import asdict

import marssep_rt.contract as contract
from export.contract import HEADER, MODULE, cpp, javascript


def test_the_committed_files_are_what_the_generator_writes():
    """After a change of contract.json: python -m export.contract."""
    assert HEADER.read_text(encoding="utf-8") == cpp()
    assert MODULE.read_text(encoding="utf-8") == javascript()


def test_python_has_every_constant_of_the_file():
    data = json.loads(contract.SOURCE.read_text(encoding="utf-8"))
    for section, values in data.items():
        loaded = asdict(getattr(contract, section.upper()))
        assert {k: list(v) if isinstance(v, tuple) else v for k, v in loaded.items()} == values
        assert {k: type(v) for k, v in values.items() if not isinstance(v, list)} == {
            k: type(v) for k, v in loaded.items() if not isinstance(v, tuple)
        }
