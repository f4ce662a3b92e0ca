"""The entry points of installations from before the sub-packages; new ones use ``marssep_rt.cli.entry``."""

from __future__ import annotations

from marssep_rt.cli.entry import file, live, query

__all__ = ["file", "live", "query"]
