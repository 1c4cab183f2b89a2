"""PathVQA (He et al. 2020, arXiv 2003.10286): the hub's tables with their pictures inside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Literal

from evaluation.benchmarks.benchmark import BenchmarkConfig
from evaluation.benchmarks.dataset_files import Published
from evaluation.benchmarks.item import Entry
from evaluation.benchmarks.tables import find_files, read_records
from evaluation.benchmarks.vqa_rad import from_table

TABLE: Final = "data/test-*.parquet"


class PathVqa(BenchmarkConfig):
    """The test split: 6,719 questions; yes/no questions are closed, the others open."""

    kind: Literal["path_vqa"] = "path_vqa"
    path: str = "flaviagiammarino/path-vqa"

    def own_name(self) -> str:
        """``path_vqa``."""
        return "path_vqa"

    def hub_files(self) -> tuple[str, ...]:
        """What is fetched when `path` is a hub name."""
        return (TABLE,)

    def files(self, published: Published) -> Sequence[str]:
        """The test tables."""
        return find_files(published, TABLE)

    def entries(self, published: Published, file: str) -> Iterator[Entry]:
        """The questions of one table."""
        for record in read_records(published, file, ("image", "question", "answer")):
            yield from_table(record, modality="pathology")
