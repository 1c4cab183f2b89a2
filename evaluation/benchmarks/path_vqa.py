"""PathVQA (He et al. 2020, arXiv 2003.10286): the hub's tables with their pictures inside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final, Literal

from evaluation.benchmarks.benchmark import BenchmarkConfig
from evaluation.benchmarks.dataset_files import Published
from evaluation.benchmarks.item import Entry
from evaluation.benchmarks.tables import read_records
from evaluation.benchmarks.vqa_rad import from_table

TABLE: Final = "data/test-*.parquet"


class PathVqa(BenchmarkConfig):
    """The test split: 6,719 questions; yes/no questions are closed, the others open."""

    kind: Literal["path_vqa"] = "path_vqa"
    path: str = "flaviagiammarino/path-vqa"

    FILES: ClassVar[tuple[str, ...]] = (TABLE,)
    HUB_FILES: ClassVar[tuple[str, ...]] = (TABLE,)

    def entries(self, published: Published, file: str) -> Iterator[Entry]:
        """Yield the questions of one table."""
        for record in read_records(published, file, ("image", "question", "answer")):
            yield from_table(record, modality="pathology")
