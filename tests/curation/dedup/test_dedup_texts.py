"""Text-only samples: one survivor a wording, whatever the number of its copies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from curation import records
from curation.dedup import DedupConfig, DedupResult, deduplicate
from curation.neighbors.shingles import canonical, jaccard, shingles_of
from curation.vectors import ContentVectors

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
)  # none is protected


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
    }


def run(lines: list[dict[str, Any]]) -> DedupResult:
    samples = pa.Table.from_pylist(lines, schema=records.SAMPLES)
    texts = {records.text_id(turn["content"]) for row in lines for turn in row["messages"]}
    vectors = ContentVectors(sorted(texts), np.tile(np.eye(1, 4, dtype="f4"), (len(texts), 1)))
    none = ContentVectors([], np.zeros((0, 4), np.float32))
    images = records.empty(records.IMAGES)
    return deduplicate(samples, images, none, vectors, DedupConfig())


def survivors(lines: list[dict[str, Any]]) -> set[str]:
    """Row after row, best first: it stays unless one that stayed says nearly the same."""
    config = DedupConfig()
    kept: list[tuple[str, frozenset[str]]] = []
    for row in sorted(lines, key=lambda row: (row["sample_id"], row["row_id"])):
        told = canonical(f"{QUESTION}\n{row['answer']}")
        words = shingles_of(told, config.text.shingle)
        if not any(jaccard(words, other) >= config.text.jaccard for _, other in kept):
            kept.append((row["row_id"], words))
    return {row for row, _ in kept}


def wordings(seed: int) -> list[str]:
    """Reports of a few words that share most of them, each in several spellings."""
    random = np.random.default_rng(seed)
    base = [WORDS[place] for place in random.integers(0, len(WORDS), 14)]
    found = []
    for _ in range(12):
        told = list(base)
        for place in random.integers(0, len(told), random.integers(0, 4)):
            told[place] = WORDS[int(random.integers(len(WORDS)))]
        text = " ".join(told)
        found += [text, text.upper(), f"{text}."][: int(random.integers(1, 4))]
    return found


@pytest.mark.parametrize("seed", range(8))
def test_the_survivors_are_those_of_a_comparison_with_every_earlier_row(seed: int) -> None:
    lines = [line(row, answer) for row, answer in enumerate(wordings(seed))]
    result = run(lines)
    assert set(result.kept["row_id"].to_pylist()) == survivors(lines)
    kept = set(result.kept["row_id"].to_pylist())
    assert {entry["witness"] for entry in result.decisions.to_pylist()} <= kept


def test_a_wording_that_thousands_share_costs_no_more_than_its_rows() -> None:
    text = " ".join(WORDS)
    spelled = [text.replace("sana", f"sana{',' * row}") for row in range(7_000)]
    result = run([line(row, answer) for row, answer in enumerate(spelled)])
    assert result.kept.num_rows == 1
    assert set(result.decisions["reason"].to_pylist()) == {"near_text"}
