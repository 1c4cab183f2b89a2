"""SLAKE (Liu et al. 2021, arXiv 2102.09542): the test questions of one language."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import ClassVar, Literal

from evaluation.benchmarks.benchmark import BenchmarkConfig
from evaluation.benchmarks.dataset_files import Published
from evaluation.benchmarks.item import Box, Entry
from evaluation.benchmarks.published_values import modality_tag, tag
from evaluation.benchmarks.tables import Record, read_records, text_of
from medsift.errors import InputError
from medsift.text import normalise_question


class Slake(BenchmarkConfig):
    """English: 1,061 test questions. Chinese ones are on the same pictures.

    The regions of an English question are those in `detection.json` whose label the question or
    its gold names; the labels are English.
    """

    kind: Literal["slake"] = "slake"
    path: str = "BoKelvin/SLAKE"
    language: Literal["en", "zh"] = "en"
    """Language of the questions: English or Chinese."""

    FILES: ClassVar[tuple[str, ...]] = ("test.json",)
    HUB_FILES: ClassVar[tuple[str, ...]] = ("test.json", "imgs.zip")

    def own_name(self) -> str:
        """Return ``slake_en`` or ``slake_zh``."""
        return f"slake_{self.language}"

    def entries(self, published: Published, file: str) -> Iterator[Entry]:
        """Yield the questions in the language of the settings."""
        needed = ("qid", "img_name", "question", "answer", "answer_type", "q_lang")
        for record in read_records(published, file, (*needed, "modality", "location")):
            if record["q_lang"] == self.language:
                yield _entry(record, published)


def _entry(record: Record, published: Published) -> Entry:
    said = f"{record['question']} {record['answer']}"
    return Entry(
        item_id=str(record["qid"]),
        question=text_of(record["question"]),
        gold=text_of(record["answer"]),
        answer_type=text_of(record["answer_type"]).strip().lower(),
        pictures=[(f"imgs/{record['img_name']}",)],
        modality=modality_tag(record["modality"]),
        body_part=tag(record["location"]),
        task_type=tag(record.get("content_type")),
        language=record["q_lang"],
        boxes=_regions(published, f"imgs/{record['img_name']}", said),
        extra={"base_type": record.get("base_type"), "triple": record.get("triple")},
    )


def _regions(published: Published, picture: str, said: str) -> list[Box]:
    """Return the boxes of a picture whose labels are named in question or gold."""
    name = str(PurePosixPath(picture).with_name("detection.json"))
    if not published.has(name):
        return []
    words = _words(said)
    try:
        return [
            (float(x), float(y), float(x + width), float(y + height))
            for region in json.loads(published.read(name).decode("utf-8-sig"))
            for label, (x, y, width, height) in region.items()
            if _words(label) <= words
        ]
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{name} of {published.source!r} holds no boxes: {error}", code="benchmark_unreadable"
        ) from error


def _words(text: str) -> set[str]:
    """Return words without a plural's s."""
    return {word.removesuffix("s") for word in normalise_question(text).split()}
