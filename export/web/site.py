"""``marssep export web``: a static site with the page, the bundle's graphs and onnxruntime-web."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnxruntime

from export.web.required_inputs import with_required_inputs
from marssep_rt.dsp.presence import PresenceCurve
from marssep_rt.errors import MarssepError, UsageError
from marssep_rt.model.bundle import Bundle
from marssep_rt.model.providers import open_session
from marssep_rt.model.stream import MIXING, GraphInfo
from marssep_rt.query.vocabulary import Vocabulary
from marssep_rt.query.words import Words
from marssep_rt.utils.atomic_io import whole_folder

PAGE = Path(__file__).parent / "page"
# package of the npm registry -> its files that the page loads
PACKAGES = {
    "onnxruntime-web@1.23.2": ("dist/ort.wasm.bundle.min.mjs", "dist/ort-wasm-simd-threaded.wasm"),
    "@huggingface/tokenizers@0.2.0": ("dist/tokenizers.min.mjs",),
}


def fetch(package: str, folder: Path) -> Path:
    """Download a package of the npm registry and unpack it in ``folder``; raises MarssepError."""
    npm = shutil.which("npm")
    if npm is None:
        raise UsageError(
            "the page's libraries come from npm, and there is no npm; "
            "install it (Debian, Ubuntu: apt install npm)"
        )
    done = subprocess.run([npm, "pack", "--silent", package], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise MarssepError(
            f"npm cannot fetch {package}: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}"
        )
    archive = folder / done.stdout.strip().splitlines()[-1]
    with tarfile.open(archive) as packed:
        packed.extractall(folder / archive.stem, filter="data")
    return folder / archive.stem / "package"


def page_card(bundle: Bundle, known: Vocabulary | None) -> dict[str, Any]:
    """The page's own card.

    A text is out of vocabulary if its cosine similarity to the nearest of ``sounds`` is below
    ``text_threshold``. It is doubted if that to the nearest of the first ``asked`` is below ``doubt.cosine``.
    """
    session, _ = open_session(bundle.read("separator.onnx"), "cpu")
    info = GraphInfo.of(session)
    tokenizer = json.loads(bundle.read("tokenizer.json"))
    return {
        "name": bundle.name,
        "licence": bundle.card["licence"],
        "sample_rate": info.sample_rate,
        "hop": info.hop,
        "latency": info.latency,
        "query_dim": info.query_dim,
        "encoder": info.encoder,
        "states": info.states,
        "presence": PresenceCurve.of(info.presence).share,
        "sounds": known.labels if known else [],
        "asked": known.asked if known else None,
        "words": asdict(Words.of(bundle)),
        "doubt": asdict(known.doubt) if known and known.doubt else None,
        "text_threshold": known.thresholds.get("text", -1.0) if known else -1.0,
        "text_length": int((tokenizer.get("truncation") or {"max_length": 64})["max_length"]),
    }


def export_web(bundle: Bundle, output: Path, overwrite: bool = False) -> None:
    """Write the site atomically.

    Args:
        bundle: The model.
        output: The folder.
        overwrite: Whether an existing folder is replaced.

    Raises:
        UsageError: The bundle has no text encoder, or the folder exists.
        MarssepError: Libraries cannot be downloaded, or files cannot be written.
    """
    if not bundle.has("text.onnx"):
        raise UsageError(f"the bundle {bundle.name} has no text encoder, so a page would take no words")
    with whole_folder(output, overwrite) as site, tempfile.TemporaryDirectory() as place:
        shutil.copytree(PAGE, site, dirs_exist_ok=True)
        for folder in ("model", "vendor"):
            (site / folder).mkdir()
        separator = with_required_inputs(bundle.read("separator.onnx"), MIXING)
        (site / "model" / "separator.onnx").write_bytes(separator)
        for name in ("text.onnx", "tokenizer.json"):
            (site / "model" / name).write_bytes(bundle.read(name))
        known = Vocabulary.of(bundle)
        (site / "model" / "card.json").write_text(
            json.dumps(page_card(bundle, known)) + "\n", encoding="utf-8"
        )
        (site / "model" / "sounds.f32").write_bytes(known.vectors.astype("<f4").tobytes() if known else b"")
        for package, files in PACKAGES.items():
            root = fetch(package, Path(place))
            for file in files:
                shutil.copy(root / file, site / "vendor")
            described = json.loads((root / "package.json").read_text(encoding="utf-8"))
            name = described["name"].replace("@", "").replace("/", "-")
            text = f"{described['name']} {described['version']}, licence {described['license']}, "
            text += f"{described.get('homepage', '')}\n"
            # onnxruntime-web comes without its licence's text; the Python package is of the same project
            own = (
                Path(onnxruntime.__file__).parent / "LICENSE"
                if name == "onnxruntime-web"
                else root / "LICENSE"
            )
            text += "\n" + own.read_text(encoding="utf-8") if own.is_file() else ""
            (site / "vendor" / f"{name}.LICENSE.txt").write_text(text, encoding="utf-8")
