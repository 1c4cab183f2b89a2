"""VQA-RAD (Lau et al. 2018): the test questions of the public file, or of the hub's copy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Final, Literal

from evaluation.benchmarks.benchmark import BenchmarkConfig
from evaluation.benchmarks.dataset_files import Published
from evaluation.benchmarks.item import Entry
from evaluation.benchmarks.published_values import closed_or_open
from evaluation.benchmarks.tables import Record, bytes_of, find_files, read_records, text_of

PUBLIC: Final = ("VQA_RAD*.json", "vqa_rad*.json", "vqa_rad*.jsonl")
TABLE: Final = "data/test-*.parquet"
TABLE_COLUMNS: Final = ("image", "question", "answer")
FOLDERS: Final = ("VQA_RAD Image Folder", "VQA_RAD_Image_Folder", "images")
MODALITIES: Final = {"chest": "xray", "abd": "ct"}
"""By organ, as the authors chose them; heads are CT or MR."""
MISSPELT: Final = {"PRSE": "PRES", "ATRIB": "ATTRIB"}


class VqaRad(BenchmarkConfig):
    """451 questions on 203 pictures; in the hub's copy without types, organs and regions.

    The public file's slips are corrected: spaces after answer types, tabs, misspelt question types.
    """

    kind: Literal["vqa_rad"] = "vqa_rad"
    path: str = "flaviagiammarino/vqa-rad"

    HUB_FILES: ClassVar[tuple[str, ...]] = (TABLE,)

    def files(self, published: Published) -> Sequence[str]:
        """Return the public file where it exists, else the hub's tables."""
        return published.names(*PUBLIC) or find_files(published, TABLE, PUBLIC[0])

    def entries(self, published: Published, file: str) -> Iterator[Entry]:
        """Yield the test questions."""
        if file.endswith(".parquet"):
            for record in read_records(published, file, TABLE_COLUMNS):
                yield from_table(record, modality=None)
            return
        needed = ("qid", "phrase_type", "image_name", "image_organ", "question", "question_type")
        for record in read_records(published, file, (*needed, "answer", "answer_type")):
            if str(record["phrase_type"]).startswith("test"):
                yield _public(record)


def from_table(record: Record, modality: str | None) -> Entry:
    """Return a record of picture, question and answer as an item."""
    gold = text_of(record["answer"])
    return Entry(
        item_id=None,
        question=text_of(record["question"]),
        gold=gold,
        answer_type=closed_or_open(gold),
        pictures=[bytes_of(record["image"])],
        modality=modality,
    )


def _public(record: Record) -> Entry:
    organ = text_of(record["image_organ"]).strip().lower()
    box = record.get("bbox")
    # Question types in one spelling and order: "POS, PRSE" is "POS+PRES".
    kinds = (kind.strip() for kind in text_of(record["question_type"]).upper().split(","))
    return Entry(
        item_id=str(record["qid"]),
        question=text_of(record["question"]),
        gold=text_of(record["answer"]),
        answer_type=text_of(record["answer_type"]).strip().lower(),
        pictures=[tuple(f"{folder}/{record['image_name']}" for folder in FOLDERS)],
        modality=MODALITIES.get(organ),
        body_part=organ or None,
        task_type="+".join(sorted(MISSPELT.get(kind, kind) for kind in kinds)) or None,
        boxes=[(box[0], box[1], box[2], box[3])] if box else [],
        extra={"case": record.get("image_case_url"), "phrase_type": record["phrase_type"]},
    )
