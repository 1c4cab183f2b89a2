"""MMMU (Yue et al. 2024, arXiv 2311.16502): the subjects of Health & Medicine."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from typing import Final, Literal

from evaluation.benchmarks.benchmark import BenchmarkConfig
from evaluation.benchmarks.dataset_files import Published
from evaluation.benchmarks.item import Entry, Unusable
from evaluation.benchmarks.published_values import gold_letter, modality_tag, tag
from evaluation.benchmarks.tables import Record, bytes_of, find_files, read_records, text_of
from medsift.errors import InputError

SUBJECTS: Final = (
    *("Basic_Medical_Science", "Clinical_Medicine", "Diagnostics_and_Laboratory_Medicine"),
    *("Pharmacy", "Public_Health"),
)
PICTURES: Final = tuple(f"image_{number}" for number in range(1, 8))
MARK: Final = re.compile(r"<image (\d)>")


class MmmuMedicine(BenchmarkConfig):
    """150 validation questions; the test split is published without answers.

    Questions and options say where each picture stands: ``<image 1>``. A question that
    names a picture without bringing it lacks an image.
    """

    kind: Literal["mmmu_medicine"] = "mmmu_medicine"
    path: str = "MMMU/MMMU"
    split: Literal["validation", "dev"] = "validation"
    """Split to ask about; the test split is published without answers."""

    def hub_files(self) -> tuple[str, ...]:
        """Return the patterns of the five subjects' tables."""
        return tuple(f"{subject}/{self.split}-*.parquet" for subject in SUBJECTS)

    def own_name(self) -> str:
        """Return ``mmmu_medicine``, with the split's name when it is not validation."""
        return "mmmu_medicine" if self.split == "validation" else f"mmmu_medicine_{self.split}"

    def files(self, published: Published) -> Sequence[str]:
        """Return the tables of all five subjects; a copy that lacks one is refused."""
        return [name for pattern in self.hub_files() for name in find_files(published, pattern)]

    def entries(self, published: Published, file: str) -> Iterator[Entry | Unusable]:
        """Yield the questions of one subject."""
        needed = ("id", "question", "options", "answer", "question_type", "image_1")
        for record in read_records(published, file, needed):
            yield _entry(record, file.split("/")[0])


def _entry(record: Record, subject: str) -> Entry | Unusable:
    options, golds = _listed(record["options"]), _listed(record["answer"])
    is_choice = record["question_type"] == "multiple-choice"
    gold = gold_letter(golds[0], options) if is_choice and golds else next(iter(golds), None)
    if gold == "?":
        return Unusable("no gold is published")
    question = text_of(record["question"])
    marks = {int(number) for text in (question, *options) for number in MARK.findall(text)}
    given = {number: record.get(name) for number, name in enumerate(PICTURES, 1)}
    shown = sorted(marks | {number for number, picture in given.items() if picture})
    return Entry(
        item_id=record["id"],
        question=question,
        gold=gold,
        answer_type="choice" if is_choice else "open",
        options=options if is_choice else (),
        pictures=[bytes_of(given.get(number)) for number in shown],
        modality="+".join(filter(None, map(modality_tag, _listed(record.get("img_type"))))) or None,
        task_type=tag(subject),
        extra={"subfield": record.get("subfield"), "alternatives": golds[1:]},
    )


def _listed(published: str | None) -> list[str]:
    """Return the texts of a list that is written as Python writes it; of a plain text, the text."""
    text = (published or "").strip()
    if not text.startswith("["):
        return [text] if text else []
    try:
        return [str(one) for one in ast.literal_eval(text)]
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise InputError(
            f"{text[:60]!r} is no list of texts: {error}", code="benchmark_unreadable"
        ) from error
