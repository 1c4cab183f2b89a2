"""OmniMedVQA (Hu et al. 2024, arXiv 2402.09181): the open-access part."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from string import ascii_uppercase as LETTERS
from typing import ClassVar, Final, Literal

from evaluation.benchmarks.benchmark import BenchmarkConfig
from evaluation.benchmarks.dataset_files import Published
from evaluation.benchmarks.item import Entry
from evaluation.benchmarks.published_values import gold_letter, modality_tag, tag
from evaluation.benchmarks.tables import Record, find_files, text_of

QUESTIONS: Final = "QA_information/Open-access/*.json"
TOP: Final = "OmniMedVQA"


class OmniMedVqa(BenchmarkConfig):
    """About 89,000 choice questions of 42 data sets; restricted ones come without pictures."""

    kind: Literal["omni_med_vqa"] = "omni_med_vqa"
    path: str = "foreverbeliever/OmniMedVQA"

    HUB_FILES: ClassVar[tuple[str, ...]] = ("OmniMedVQA.zip",)
    COLUMNS: ClassVar = (
        *("question_id", "question_type", "question", "gt_answer", "image_path", "option_A"),
    )

    def files(self, published: Published) -> Sequence[str]:
        """Return one file a data set, with or without the archive's top folder."""
        return published.names(QUESTIONS) or find_files(published, f"{TOP}/{QUESTIONS}", QUESTIONS)

    def entry(self, record: Record) -> Entry:
        """Return the item of one record."""
        columns = (record.get(f"option_{letter}") for letter in LETTERS)
        options = [str(option).strip() for option in takewhile(lambda text: text, columns)]
        return Entry(
            # In one file the column has another name.
            modality=modality_tag(record.get("modality_type") or record.get("modality")),
            item_id=text_of(record["question_id"]),
            question=text_of(record["question"]),
            gold=gold_letter(text_of(record["gt_answer"]), options),
            answer_type="choice",
            options=options,
            pictures=[(record["image_path"], f"{TOP}/{record['image_path']}")],
            task_type=tag(record["question_type"]),
            extra={"dataset": record.get("dataset")},
        )
