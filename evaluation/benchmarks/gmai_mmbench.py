"""GMAI-MMBench (Chen et al. 2024, arXiv 2408.03361): the validation questions."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from itertools import takewhile
from typing import ClassVar, Final, Literal

from evaluation.benchmarks.benchmark import BenchmarkConfig
from evaluation.benchmarks.dataset_files import Published
from evaluation.benchmarks.item import Entry
from evaluation.benchmarks.published_values import gold_letter, modality_tag, tag
from evaluation.benchmarks.tables import Record, text_of

CHOICES: Final = "ABCDE"


class GmaiMmbench(BenchmarkConfig):
    """4,550 choice questions with their pictures in base64; the test split has no answers."""

    kind: Literal["gmai_mmbench"] = "gmai_mmbench"
    path: str = "OpenGVLab/GMAI-MMBench"

    FILES: ClassVar[tuple[str, ...]] = ("GMAI_mm_bench_VAL.tsv", "GMAI-MMBench_VAL.tsv")
    """The two names under which the one file was published."""
    HUB_FILES: ClassVar[tuple[str, ...]] = FILES
    COLUMNS: ClassVar = ("index", "image", "question", "A", "B", "answer", "modality")

    def own_name(self) -> str:
        """Return ``gmai_mmbench_val``."""
        return "gmai_mmbench_val"

    def files(self, published: Published) -> Sequence[str]:
        """Return the validation file: the first, where a folder has it under both names."""
        return super().files(published)[:1]

    def entry(self, record: Record) -> Entry:
        """Return the item of one record."""
        columns = (text_of(record.get(letter)).strip() for letter in CHOICES)
        options = list(takewhile(lambda text: text.casefold() not in ("", "nan"), columns))
        try:
            picture = base64.b64decode(text_of(record["image"]), validate=True)
        except binascii.Error:
            picture = b""
        extra = {"department": "department", "granularity": "perceptual granularity"}
        return Entry(
            item_id=record["index"],
            question=text_of(record["question"]),
            gold=gold_letter(text_of(record["answer"]), options),
            answer_type="choice",
            options=options,
            pictures=[picture],
            modality=modality_tag(record["modality"]),
            task_type=tag(record.get("clinical vqa task") or record.get("clinical VQA task")),
            extra={name: record.get(column) for name, column in extra.items()},
        )
