"""Phantoms: a split of a set that `medsift phantoms` drew, without the rows it spoiled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal

from pydantic import Field

from evaluation.benchmarks.benchmark import BenchmarkConfig
from evaluation.benchmarks.dataset_files import Published
from evaluation.benchmarks.item import Entry
from evaluation.benchmarks.published_values import gold_letter
from evaluation.benchmarks.tables import Record, find_files, read_records
from medsift.options import split_options

QUESTIONS: Final = "samples.jsonl"
TRUTH: Final = "truth.parquet"
COLUMNS: Final = ("id", "image", "question", "answer", "answer_type", "split", "patient_id")
TAGS: Final = ("patient_id", "modality", "body_part", "task_type")


class Phantoms(BenchmarkConfig):
    """Questions that the drawn pictures decide; rows with a planted defect are left out."""

    kind: Literal["phantoms"] = "phantoms"
    split: str = "test"
    """Split of the phantoms to ask about."""
    answer_types: tuple[Literal["closed", "choice", "open"], ...] | None = Field(None, min_length=1)
    """Kinds of answer that are asked for; all when not given."""
    modality_known: bool = True
    """Whether items say their modality. Where they do not, as in VQA-RAD, the variant
    `swapped_image` shows pictures of any modality."""

    def own_name(self) -> str:
        """Return ``phantoms``, with the split's name when it is not test."""
        return "phantoms" if self.split == "test" else f"phantoms_{self.split}"

    def files(self, published: Published) -> Sequence[str]:
        """Return the file of the questions; without the truth no row is known to be sound."""
        find_files(published, TRUTH)
        return find_files(published, QUESTIONS)

    def entries(self, published: Published, file: str) -> Iterator[Entry]:
        """Yield the sound rows of the split whose kind of answer is asked for."""
        truth = read_records(published, TRUTH, ("row_index",))
        spoiled = {line["row_index"] for line in truth}
        for index, record in enumerate(read_records(published, file, COLUMNS)):
            asked = self.answer_types is None or record["answer_type"] in self.answer_types
            if asked and record["split"] == self.split and index not in spoiled:
                yield self.entry(record)

    def entry(self, record: Record) -> Entry:
        """Return the item of one record."""
        question, options, gold = record["question"], list[str](), record["answer"]
        if record["answer_type"] == "choice":
            question, options = split_options(question)
            gold = gold_letter(gold, options)
        tags: dict[str, Any] = {name: record.get(name) for name in TAGS}
        if not self.modality_known:
            tags["modality"] = None
        return Entry(
            item_id=record["id"],
            question=question,
            gold=gold,
            answer_type=record["answer_type"],
            options=options,
            pictures=[(f"images/{record['image']}",)],
            **tags,
        )
