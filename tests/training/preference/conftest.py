"""Runs whose manifest has right and wrong replies to the questions of a selection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from medsift.manifest import append_tables
from medsift.manifest.schema import arrow_schema
from tests.training.conftest import asked, draw, write_run

RIGHT = ("yes", "no", "left", "right side, small pleural effusion.", "yes", "no")
WRONG = ("no, the left lung is clear.", "yes", "right side", "left", "heart", "liver heart")


def append_replies(run: Path, replies: Sequence[Mapping[str, Any]], name: str = "chosen") -> None:
    """Add replies to the manifest of a run as a set of rollouts."""
    lines = [
        {
            "rollouts": name,
            "row_id": f"s:f.jsonl:{one['sample_id'].removeprefix('id')}",
            "draw": draw,
            "blank": False,
            "options": [],
            "cut": False,
        }
        | one
        for draw, one in enumerate(replies)
    ]
    table = pa.Table.from_pylist(lines, schema=arrow_schema("rollouts"))
    append_tables(run / "manifest.duckdb", "one", {"rollouts": table})


def reply(index: int, prompt: str, text: str, *, correct: bool) -> dict[str, Any]:
    """A reply to a sample, by its number."""
    return {"sample_id": f"id{index}", "prompt": prompt, "reply": text, "correct": correct}


def question(index: int) -> str:
    """What is asked of a sample."""
    return f"is lung {index} clear?\nAnswer in a word."


def with_pairs(folder: Path, pictures: bool) -> Path:
    """A run of six questions with a right and a wrong reply each, and one without replies."""
    files = [draw(folder / f"{k}.png", k, 56 + 28 * k, 56) for k in range(2)] if pictures else []
    # Every other question shows a picture, and one shows two.
    shown = [files[: k % 2 + k // 5] for k in range(len(RIGHT))]
    lines = [asked(f"is lung {k} clear?", text, *shown[k]) for k, text in enumerate(RIGHT)]
    run = write_run(folder / "run", [*lines, asked("what is seen?", "nothing")])
    pairs = enumerate(zip(RIGHT, WRONG, strict=True))
    append_replies(
        run,
        [
            reply(index, "<image>" * len(shown[index]) + question(index), text, correct=good)
            for index, texts in pairs
            for text, good in zip(texts, (True, False), strict=True)
        ],
    )
    return run


@pytest.fixture(scope="session")
def replied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs of replies to questions of text alone."""
    return with_pairs(tmp_path_factory.mktemp("replied"), pictures=False)


@pytest.fixture(scope="session")
def replied_to_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs of replies to questions with no, one and two pictures."""
    return with_pairs(tmp_path_factory.mktemp("pictured_replies"), pictures=True)
