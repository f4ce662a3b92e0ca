"""The report of ``marssep file``: one line of JSON per file, by which a later run skips finished files.

A line has ``source``, ``content`` (SHA-256 of the file), ``settings`` (SHA-256 of everything else that the
output depends on), ``status`` (done, failed, skipped), ``outputs``, and if known ``seconds`` (of audio),
``took`` (seconds of work), ``nan_samples``, ``notes`` (what was lost, mended or clipped), ``query`` (the
sounds in words), ``mode`` (target or residual), ``presence`` (0..1, see ``dsp.match``), ``output_level_db``
(energy of the output relative to the input) and ``error``.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from marssep_rt.audio_io.streams import is_stream, opened_for_writing
from marssep_rt.batch.plan import Job
from marssep_rt.batch.separate import Outcome
from marssep_rt.dsp.mixer import Controls
from marssep_rt.errors import UsageError
from marssep_rt.model.bundle import Bundle
from marssep_rt.query.types import Query


def settings_key(bundle: Bundle, query: Query, controls: Controls, kind: str, residual: bool) -> str:
    """Equal for runs that would write the same for the same file."""
    sounds = b"".join(x.tobytes() for x in (query.vector, query.keep, query.drop) if x is not None)
    # everything that says how a sound narrows: files are heard before they are separated
    sounds += b"".join(narrowing.key for narrowing in query.narrowings if narrowing is not None)
    sounds += b"" if query.second_look is None else query.second_look.key
    said = {
        "separator": bundle.card["files"]["separator.onnx"],
        "controls": asdict(controls.limited(query.limit_db)),
        "format": kind,
        "residual": residual,
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode() + sounds).hexdigest()


def content_key(path: Path) -> str:
    """SHA-256 of a file; "" where it cannot be read."""
    if is_stream(path):
        return ""  # reading it would take its sound away
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


class Report:
    """The report. A file is read at the start and then appended to, so that a killed run loses no line.

    Args:
        path: The file, or ``-`` for standard output, or a fifo or device; None is no report.
        settings: The key of the run's settings, see ``settings_key``.
        query: The query in words.

    Raises:
        UsageError: The file cannot be read or written, or is not a report.
    """

    def __init__(self, path: Path | None, settings: str, query: str = "") -> None:
        """Raises UsageError where the file cannot be read, written, or is no report."""
        self.path, self.settings, self.query = path, settings, query
        self.done: dict[tuple[str, str], list[str]] = {}  # (source, content) -> outputs, of these settings
        self.contents: dict[Path, str] = {}
        self.stream: BinaryIO | None = None
        if path is None:
            return
        try:
            if is_stream(path):
                self.stream = opened_for_writing(path)
                return
            text = path.read_text(encoding="utf-8") if path.exists() else ""
            for number, line in enumerate(text.splitlines(keepends=True), 1):
                if line.endswith("\n"):  # else the run was killed while it wrote this, the last one
                    self._read(line, number)
            path.open("a", encoding="utf-8").close()
            if not text.endswith("\n") and text:
                os.truncate(path, len(text[: text.rfind("\n") + 1].encode()))
        except (OSError, UnicodeDecodeError) as e:
            raise UsageError(
                f"cannot use the report {path}: {getattr(e, 'strerror', None) or 'it is no text'}"
            ) from e

    def _read(self, line: str, number: int) -> None:
        try:
            entry = json.loads(line)
            if entry["status"] == "done" and entry["settings"] == self.settings:
                self.done[entry["source"], entry["content"]] = entry["outputs"]
        except (ValueError, KeyError, TypeError) as e:
            raise UsageError(
                f"{self.path} is no report of marssep file (line {number}); name another file"
            ) from e

    def is_done(self, job: Job) -> bool:
        """Whether a file of this content was finished with these settings, and its outputs still exist."""
        if self.path is None or self.stream is not None or is_stream(job.source) or is_stream(job.output):
            return False
        outputs = self.done.get((str(job.source.absolute()), self._content(job.source)))
        wanted = [str(p.absolute()) for p in (job.output, job.residual) if p]
        return outputs == wanted and all(Path(p).exists() for p in wanted)

    def _content(self, source: Path) -> str:
        if source not in self.contents:
            self.contents[source] = content_key(source)
        return self.contents[source]

    def write(
        self,
        job: Job,
        status: str,
        outcome: Outcome | None = None,
        took: float | None = None,
        error: str | None = None,
    ) -> None:
        """A line, where there is a report at all."""
        if self.path is None:
            return
        entry: dict[str, Any] = {
            "source": str(job.source.absolute()),
            "content": self._content(job.source),
            "settings": self.settings,
            "status": status,
            "outputs": [str(p.absolute()) for p in (job.output, job.residual) if p],
        }
        if outcome is not None:
            entry |= {"seconds": round(outcome.seconds, 3), "nan_samples": outcome.nan_samples}
            if outcome.notes:
                entry["notes"] = list(outcome.notes)
        if outcome is not None and outcome.match is not None:
            match = outcome.match
            entry |= {"query": self.query, "mode": "residual" if match.removed else "target"}
            entry["presence"] = round(match.presence, 3)
            entry["output_level_db"] = round(match.output_level_db, 1)
        if took is not None:
            entry["took"] = round(took, 3)
        if error is not None:
            entry["error"] = error
        self._append(json.dumps(entry))

    def _append(self, line: str) -> None:
        if self.stream is not None:
            self.stream.write(f"{line}\n".encode())
            self.stream.flush()
            return
        assert self.path is not None
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
