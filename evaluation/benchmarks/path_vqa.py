"""PathVQA (He et al. 2020, arXiv 2003.10286): the hub's tables with their pictures inside."""

from __future__ import annotations

from typing import ClassVar, Literal

from evaluation.benchmarks.benchmark import BenchmarkConfig
from evaluation.benchmarks.item import Entry
from evaluation.benchmarks.tables import Record
from evaluation.benchmarks.vqa_rad import TABLE, TABLE_COLUMNS, from_table


class PathVqa(BenchmarkConfig):
    """The test split: 6,719 questions; yes/no questions are closed, the others open."""

    kind: Literal["path_vqa"] = "path_vqa"
    path: str = "flaviagiammarino/path-vqa"

    FILES: ClassVar = (TABLE,)
    HUB_FILES: ClassVar = (TABLE,)
    COLUMNS: ClassVar = TABLE_COLUMNS

    def entry(self, record: Record) -> Entry:
        """Return the item of one record."""
        return from_table(record, modality="pathology")
