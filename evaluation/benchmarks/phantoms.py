"""Phantoms: a split of a set that `medsift phantoms` drew, without the rows it spoiled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Literal

from evaluation.benchmarks.benchmark import BenchmarkConfig
from evaluation.benchmarks.choices import gold_letter
from evaluation.benchmarks.dataset_files import Published
from evaluation.benchmarks.item import Entry, Unusable
from evaluation.benchmarks.tables import Record, find_files, read_records
from medsift.options import split_options

QUESTIONS: Final = "samples.jsonl"
TRUTH: Final = "truth.parquet"
COLUMNS: Final = ("id", "image", "question", "answer", "answer_type", "split", "patient_id")


class Phantoms(BenchmarkConfig):
    """Questions that the drawn pictures decide; rows with a planted defect are left out."""

    kind: Literal["phantoms"] = "phantoms"
    split: str = "test"
    """Split of the phantoms to ask about."""

    def own_name(self) -> str:
        """Return ``phantoms``, with the split's name when it is not test."""
        return "phantoms" if self.split == "test" else f"phantoms_{self.split}"

    def files(self, published: Published) -> Sequence[str]:
        """Return the file of the questions; without the truth no row is known to be sound."""
        find_files(published, TRUTH)
        return find_files(published, QUESTIONS)

    def entries(self, published: Published, file: str) -> Iterator[Entry | Unusable]:
        """Yield the sound rows of the split."""
        truth = read_records(published, TRUTH, ("row_index",))
        spoiled = {line["row_index"] for line in truth}
        for index, record in enumerate(read_records(published, file, COLUMNS)):
            if record["split"] == self.split and index not in spoiled:
                yield _entry(record)


def _entry(record: Record) -> Entry | Unusable:
    question, options = record["question"], list[str]()
    gold: str | None = record["answer"]
    if record["answer_type"] == "choice":
        question, options = split_options(question)
        gold = gold_letter(record["answer"], options)
    if gold is None:
        return Unusable("its gold is none of the options")
    return Entry(
        item_id=record["id"],
        question=question,
        gold=gold,
        answer_type=record["answer_type"],
        options=options,
        pictures=[(f"images/{record['image']}",)],
        patient_id=record["patient_id"],
        modality=record.get("modality"),
        body_part=record.get("body_part"),
        task_type=record.get("task_type"),
    )
