"""What a training draws from: recordings, a query table, and images."""

from __future__ import annotations

from dataclasses import dataclass

from offline_training.data.corpus import Corpus
from offline_training.data.images import ImageBank
from offline_training.data.query_table import QueryTable


@dataclass(frozen=True)
class TrainingData:
    """What is trained and validated on.

    Attributes:
        corpus: The recordings.
        table: What is queried with, and the text of every label.
        bank: Labelled images, if any; only alignments use them.
    """

    corpus: Corpus
    table: QueryTable
    bank: ImageBank | None = None

    @property
    def labels(self) -> list[str]:
        """The labels in the table's order, by which they are numbered."""
        return list(self.table.phrases)
