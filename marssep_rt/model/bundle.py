"""A model bundle on disk: ``card.json``, ``separator.onnx`` and query encoders.

A bundle is a folder or a zip file NAME.marssep. Loading it executes nothing: it holds only JSON, ONNX and
tokenizer files. The card holds the SHA-256 of every file.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from marssep_rt.contract import FORMATS
from marssep_rt.errors import BundleError
from marssep_rt.utils.atomic_io import whole_folder, written_beside

FORMAT = FORMATS.bundle
DEFAULT = Path(__file__).parents[1] / "models" / "default"


@dataclass(frozen=True)
class Bundle:
    """A verified bundle: its card and its files' bytes on demand."""

    path: Path
    card: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.card["name"])

    @property
    def encoder(self) -> str:
        """Id of the encoder whose vectors the separator understands."""
        return str(self.card["encoder"])

    @property
    def query_dim(self) -> int:
        return int(self.card["query_dim"])

    def has(self, name: str) -> bool:
        return name in self.card["files"]

    def read(self, name: str) -> bytes:
        """A file's content, its hash checked; raises BundleError when it is missing or differs."""
        if not self.has(name):
            raise BundleError(f"the bundle {self.path} has no {name}")
        content = _read(self.path, name)
        if hashlib.sha256(content).hexdigest() != self.card["files"][name]:
            raise BundleError(
                f"{name} in the bundle {self.path} does not match its recorded hash; get the bundle again"
            )
        return content


def _read(path: Path, name: str) -> bytes:
    try:
        if path.is_dir():
            return (path / name).read_bytes()
        with zipfile.ZipFile(path) as archive:
            return archive.read(name)
    except (OSError, KeyError) as e:
        raise BundleError(f"the bundle {path} lacks {name}") from e
    except zipfile.BadZipFile as e:
        raise BundleError(f"{path} is neither a bundle folder nor a .marssep file") from e


def load(path: Path | str | None = None) -> Bundle:
    """Read and check a bundle's card (files are checked as they are read); None is the embedded default.

    Raises BundleError: no such path, no card, a newer format, or a card that is not one.
    """
    path = DEFAULT if path is None else Path(path)
    if not path.exists():
        raise BundleError(f"there is no model bundle at {path}")
    try:
        card = json.loads(_read(path, "card.json"))
    except ValueError as e:
        raise BundleError(f"card.json in {path} is not valid JSON") from e
    if not isinstance(card, dict) or not isinstance(card.get("format"), int):
        raise BundleError(f"card.json in {path} is not a marssep card")
    if card["format"] > FORMAT:
        raise BundleError(
            f"the bundle {path} has format {card['format']}, newer than this marssep understands ({FORMAT}); "
            "update marssep"
        )
    missing = [k for k in ("name", "encoder", "query_dim", "files") if k not in card]
    if missing:
        raise BundleError(f"card.json in {path} lacks {', '.join(missing)}")
    for name in card["files"]:
        if PurePosixPath(name).name != name:
            raise BundleError(f"card.json in {path} names a file outside the bundle: {name}")
    return Bundle(path, card)


def verify(bundle: Bundle) -> None:
    """Check every file's hash; raises BundleError at the first that is missing or differs."""
    for name in bundle.card["files"]:
        bundle.read(name)


def write(path: Path, card: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
    """Write a bundle atomically.

    Args:
        path: A folder, or a zip file if the name ends in ``.marssep``. An old bundle there is replaced.
        card: The card without format and hashes.
        files: Name -> content.

    Raises:
        BundleError: ``path`` exists and is not a bundle.
        OSError, MarssepError: The bundle cannot be written.
    """
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())}
    full = {"format": FORMAT, **card, "files": hashes}
    text = json.dumps(full, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    contents = {"card.json": text.encode(), **files}
    if path.suffix == ".marssep":
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_beside(path) as beside, zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in contents.items():
                archive.writestr(name, data)
        return
    if path.exists() and not (path / "card.json").exists():
        raise BundleError(f"{path} exists and is not a bundle; choose another place")
    with whole_folder(path, overwrite=True) as made:
        for name, data in contents.items():
            (made / name).write_bytes(data)
