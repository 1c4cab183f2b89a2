"""GMAI-MMBench (Chen et al. 2024, arXiv 2408.03361): the validation questions."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import ClassVar, Final, Literal

from evaluation.benchmarks.benchmark import BenchmarkConfig
from evaluation.benchmarks.choices import gold_letter
from evaluation.benchmarks.dataset_files import Published
from evaluation.benchmarks.item import Entry, Unusable
from evaluation.benchmarks.tables import Record, read_records, text_of
from evaluation.benchmarks.tags import modality_tag, tag

CHOICES: Final = "ABCDE"


class GmaiMmbench(BenchmarkConfig):
    """4,550 choice questions with their pictures in base64; the test split has no answers."""

    kind: Literal["gmai_mmbench"] = "gmai_mmbench"
    path: str = "OpenGVLab/GMAI-MMBench"

    FILES: ClassVar[tuple[str, ...]] = ("GMAI_mm_bench_VAL.tsv", "GMAI-MMBench_VAL.tsv")
    """The two names under which the one file was published."""
    HUB_FILES: ClassVar[tuple[str, ...]] = FILES

    def own_name(self) -> str:
        """Return ``gmai_mmbench_val``."""
        return "gmai_mmbench_val"

    def files(self, published: Published) -> Sequence[str]:
        """Return the validation file: the first, where a folder has it under both names."""
        return super().files(published)[:1]

    def entries(self, published: Published, file: str) -> Iterator[Entry | Unusable]:
        """Yield the questions."""
        needed = ("index", "image", "question", "A", "B", "answer", "modality")
        for record in read_records(published, file, needed):
            yield _entry(record)


def _entry(record: Record) -> Entry | Unusable:
    columns = (text_of(record.get(letter)).strip() for letter in CHOICES)
    options = list(takewhile(lambda text: text.casefold() not in ("", "nan"), columns))
    gold = gold_letter(text_of(record["answer"]), options)
    if gold is None:
        return Unusable("its gold is none of the options")
    return Entry(
        item_id=record["index"],
        question=text_of(record["question"]),
        gold=gold,
        answer_type="choice",
        options=options,
        pictures=[_picture(text_of(record["image"]))],
        modality=modality_tag(record["modality"]),
        task_type=tag(record.get("clinical vqa task") or record.get("clinical VQA task")),
        extra={
            "department": record.get("department"),
            "granularity": record.get("perceptual granularity"),
        },
    )


def _picture(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True) or None
    except binascii.Error:
        return None
