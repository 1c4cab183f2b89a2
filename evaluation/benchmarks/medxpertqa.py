"""MedXpertQA (Zuo et al. 2025, arXiv 2501.18362): the multimodal subset."""

from __future__ import annotations

from typing import ClassVar, Final, Literal

from evaluation.benchmarks.benchmark import BenchmarkConfig
from evaluation.benchmarks.item import Entry
from evaluation.benchmarks.published_values import gold_letter, tag
from evaluation.benchmarks.tables import Record, text_of

QUESTIONS: Final = "MM/test.jsonl"
LISTED: Final = "\nAnswer Choices:"
"""Where a question begins to repeat its options."""


class MedXpertQa(BenchmarkConfig):
    """2,000 questions of five options, most with one picture, some with several."""

    kind: Literal["medxpertqa_mm"] = "medxpertqa_mm"
    path: str = "TsinghuaC3I/MedXpertQA"

    FILES: ClassVar[tuple[str, ...]] = (QUESTIONS,)
    HUB_FILES: ClassVar[tuple[str, ...]] = (QUESTIONS, "images.zip")
    COLUMNS: ClassVar = ("id", "question", "options", "label", "images")

    def entry(self, record: Record) -> Entry:
        """Return the item of one record."""
        options = [text for _, text in sorted(record["options"].items())]
        return Entry(
            item_id=record["id"],
            question=text_of(record["question"]).partition(LISTED)[0],
            gold=gold_letter(text_of(record["label"]), options),
            answer_type="choice",
            options=options,
            pictures=[(f"images/{name}", f"MM/images/{name}") for name in record["images"] or ()],
            body_part=tag(record.get("body_system")),
            task_type=tag(record.get("medical_task")),
            extra={"question_type": record.get("question_type")},
        )
