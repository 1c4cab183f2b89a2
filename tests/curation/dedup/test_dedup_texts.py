"""Text-only samples: one survivor a wording, whatever the number of its copies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from curation.dedup import DedupConfig, DedupResult, deduplicate
from curation.meaning import alike, read_meaning
from curation.neighbors.shingles import canonical, jaccard, shingles_of
from medsift import records
from medsift.storage.vectors import ContentVectors

QUESTION = "What does the report say?"
WORDS = (
    "sana",
    "moti",
    "keru",
    "bolan",
    "pira",
    "dufe",
    "lozi",
    "haru",
    "veno",
    "gami",
)  # without a meaning that a list knows
FUNCTION_WORDS = ("the", "is", "there", "an", "this")


def line(row: int, answer: str) -> dict[str, Any]:
    messages = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": answer}]
    return {
        "sample_id": records.sample_id([], messages),
        "row_id": f"{row:06d}",
        "source": "s",
        "question": QUESTION,
        "answer": answer,
        "messages": messages,
        "images": [],
        "language": "en",
    }


def run(lines: list[dict[str, Any]], config: DedupConfig | None = None) -> DedupResult:
    samples = pa.Table.from_pylist(lines, schema=records.SAMPLES)
    texts = {records.text_id(turn["content"]) for row in lines for turn in row["messages"]}
    vectors = ContentVectors(sorted(texts), np.tile(np.eye(1, 4, dtype="f4"), (len(texts), 1)))
    none = ContentVectors([], np.zeros((0, 4), np.float32))
    images = records.IMAGES.empty_table()
    return deduplicate(samples, images, none, vectors, config or DedupConfig())


def survivors(lines: list[dict[str, Any]]) -> set[str]:
    """Row after row, best first: it stays unless one that stayed says the same."""
    config = DedupConfig()
    kept: list[tuple[str, str]] = []
    for row in sorted(lines, key=lambda row: (row["sample_id"], row["row_id"])):
        if not any(near(row["answer"], other, config) for _, other in kept):
            kept.append((row["row_id"], row["answer"]))
    return {row for row, _ in kept}


def near(one: str, other: str, config: DedupConfig) -> bool:
    shingles = [
        shingles_of(canonical(f"{QUESTION}\n{answer}"), config.text.shingle_words)
        for answer in (one, other)
    ]
    same = alike(read_meaning(one, "en"), read_meaning(other, "en"))
    return same and jaccard(*shingles) >= config.text.jaccard


def wordings(seed: int) -> list[str]:
    """Reports of the same few words with other function words, some with another word as well."""
    random = np.random.default_rng(seed)
    base = [WORDS[place] for place in random.integers(0, len(WORDS), 14)]
    texts: list[str] = []
    for _ in range(12):
        words = list(base)
        for place in random.integers(0, len(words), random.integers(0, 3)):
            words.insert(place, FUNCTION_WORDS[int(random.integers(len(FUNCTION_WORDS)))])
        if random.random() < 0.3:
            words[int(random.integers(len(words)))] = WORDS[int(random.integers(len(WORDS)))]
        text = " ".join(words)
        texts += [text, text.upper(), f"{text}."][: int(random.integers(1, 4))]
    return texts


@pytest.mark.parametrize("seed", range(8))
def test_the_survivors_are_those_of_a_comparison_with_every_earlier_row(seed: int) -> None:
    lines = [line(row, answer) for row, answer in enumerate(wordings(seed))]
    result = run(lines)
    assert set(result.kept["row_id"].to_pylist()) == survivors(lines)
    kept = set(result.kept["row_id"].to_pylist())
    assert {entry["witness"] for entry in result.decisions.to_pylist()} <= kept
    assert 2 < len(kept) < len(lines)


@pytest.mark.nightly
def test_a_wording_that_thousands_share_costs_no_more_than_its_rows() -> None:
    text = " ".join(WORDS)
    spelled = [text.replace("sana", f"sana{',' * row}") for row in range(7_000)]
    result = run([line(row, answer) for row, answer in enumerate(spelled)])
    assert result.kept.num_rows == 1
    assert set(result.decisions["reason"].to_pylist()) == {"near_text"}


@pytest.mark.nightly
def test_thousands_of_reports_that_differ_in_a_number_all_stay_without_a_comparison() -> None:
    report = " ".join(WORDS * 4)
    lines = [line(row, f"{report} measures {row} mm") for row in range(3_000)]
    config = DedupConfig(text={"max_pairs": 1})
    assert run(lines, config).kept.num_rows == len(lines)
