"""PMC-VQA (Zhang et al. 2023, arXiv 2305.10415): two test sets that have little in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Literal

from evaluation.benchmarks.benchmark import BenchmarkConfig
from evaluation.benchmarks.dataset_files import Published
from evaluation.benchmarks.item import Entry
from evaluation.benchmarks.published_values import gold_letter
from evaluation.benchmarks.tables import Record, find_files, read_records, text_of
from medsift.options import without_letter

CHOICES: Final = "ABCD"
FOLDERS: Final = {"test_clean": ("images", "figures"), "test_2": ("figures", "images_2", "images")}
"""Where the pictures of either set lie, unpacked or in images.zip and images_2.zip."""
GOLD: Final = {"test_clean": "Answer_label", "test_2": "Answer"}


class PmcVqa(BenchmarkConfig):
    """``test_clean``: 2,000 questions checked by hand. ``test_2``: 33,430 unchecked ones.

    They share 6 questions and models score 6 to 9 points apart on them, so that they are two
    benchmarks and the set must be named.
    """

    kind: Literal["pmc_vqa"] = "pmc_vqa"
    path: str = "RadGenome/PMC-VQA"
    test: Literal["test_clean", "test_2"]
    """Test set: 2,000 questions checked by hand, or 33,430 unchecked ones."""

    def hub_files(self) -> tuple[str, ...]:
        """Return the questions and the one archive that holds their pictures."""
        return f"{self.test}.csv", "images.zip" if self.test == "test_clean" else "images_2.zip"

    def own_name(self) -> str:
        """Return ``pmc_vqa_test_clean`` or ``pmc_vqa_test_2``."""
        return f"pmc_vqa_{self.test}"

    def files(self, published: Published) -> Sequence[str]:
        """Return the file of the set."""
        return find_files(published, f"{self.test}.csv")

    def entries(self, published: Published, file: str) -> Iterator[Entry]:
        """Yield the questions."""
        columns = ("Figure_path", "Question", *(f"Choice {letter}" for letter in CHOICES))
        return map(self.entry, read_records(published, file, (*columns, GOLD[self.test])))

    def entry(self, record: Record) -> Entry:
        """Return the item of one record."""
        given = {letter: text_of(record[f"Choice {letter}"]) for letter in CHOICES}
        options = [without_letter(text, letter) for letter, text in given.items()]
        return Entry(
            item_id=record["index"] if self.test == "test_2" and "index" in record else None,
            question=text_of(record["Question"]),
            gold=gold_letter(text_of(record[GOLD[self.test]]), options),
            answer_type="choice",
            options=options,
            pictures=[tuple(f"{at}/{record['Figure_path']}" for at in FOLDERS[self.test])],
        )
