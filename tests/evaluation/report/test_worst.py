"""The worst items: which they are, and what is said of each."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from evaluation.report import write_evaluation_page
from evaluation.report.worst import MAX_ITEMS, read_worst
from medsift.manifest import open_manifest, read

CLOSED = {"answer_type": "closed", "gold": "yes", "reply": "no"}
OPEN = {"answer_type": "open", "gold": "left lung"}
CHOICE = {"answer_type": "choice", "options": ["axial", "coronal", "sagittal"], "gold": "B"}


@pytest.fixture
def shown(tmp_path: Path, write_evaluations: Any, summarise_rows: Any) -> Any:
    """The worst items of predictions given as rows."""

    def of(rows: list[dict[str, Any]]) -> Any:
        manifest = write_evaluations(tmp_path / "manifest.duckdb", [summarise_rows(rows)])
        with closing(open_manifest(manifest)) as connection:
            found = read_worst(connection, "run-1", ["e1"])
        return found.get(("e1", "vqa"))

    return of


def test_surest_wrong_answers_come_first_then_unparsed_then_few_shared_words(shown: Any) -> None:
    found = shown(
        [
            OPEN | {"item_id": "f1 half", "reply": "the right lung"},
            OPEN | {"item_id": "f1 none", "reply": "spleen"},
            CLOSED | {"item_id": "unparsed b", "reply": "perhaps"},
            CLOSED | {"item_id": "unparsed a", "reply": None, "error": "timed out"},
            CLOSED | {"item_id": "sure", "probabilities": [0.1, 0.9]},
            CLOSED | {"item_id": "less sure", "probabilities": [0.4, 0.6]},
            CLOSED | {"item_id": "tie b", "probabilities": [0.2, 0.8]},
            CLOSED | {"item_id": "tie a", "probabilities": [0.2, 0.8]},
            CLOSED | {"item_id": "right", "reply": "yes", "probabilities": [0.1, 0.9]},
            CLOSED | {"item_id": "variant", "variant": "blank", "probabilities": [0, 1.0]},
            CLOSED | {"item_id": "variant", "reply": "yes"},
        ]
    )
    assert [item.item_id for item in found.items] == [
        "sure",
        "tie a",
        "tie b",
        "less sure",
        "unparsed a",
        "unparsed b",
        "f1 none",
        "f1 half",
    ]
    assert found.found == 8
    assert [item.status for item in found.items[3:6]] == ["wrong", "no reply", "unparsed"]
    assert found.items[4].error.text == "timed out"
    assert found.items[5].said is None


def test_sureness_is_of_the_answer_that_was_given(shown: Any) -> None:
    """A reply that contradicts the probabilities is not a sure one."""
    found = shown(
        [
            CHOICE | {"item_id": "a", "reply": "A", "probabilities": [0.1, 0.8, 0.1]},
            CHOICE | {"item_id": "b", "reply": "C", "probabilities": [0.3, 0.3, 0.4]},
            {**CLOSED, "item_id": "c", "options": ["No", "Yes"], "probabilities": [0.7, 0.3]},
        ]
    )
    assert [(item.item_id, item.said, item.right) for item in found.items] == [
        ("c", 0.7, 0.3),
        ("b", 0.4, 0.3),
        ("a", 0.1, 0.8),
    ]


def test_options_name_the_right_one_and_the_one_said(shown: Any) -> None:
    [item] = shown([CHOICE | {"item_id": "a", "reply": "(C) sagittal"}]).items
    assert [(one.letter, one.right, one.said) for one in item.options] == [
        ("A", False, False),
        ("B", True, False),
        ("C", False, True),
    ]


def test_long_reply_is_cut_with_its_length_named(shown: Any) -> None:
    [item] = shown([OPEN | {"item_id": "a", "reply": "word " * 20_000}]).items
    assert item.reply.text == "word " * 120
    assert item.reply.length == 100_000


def test_at_most_so_many_items_a_model_benchmarks_taking_turns(
    tmp_path: Path, write_evaluations: Any, summarise_rows: Any
) -> None:
    rows = [
        CLOSED | {"item_id": f"{at:03d}", "benchmark": name, "probabilities": [0.0, 1.0]}
        for name, count in (("many", 90), ("few", 5), ("vqa", 60))
        for at in range(count)
    ]
    manifest = write_evaluations(tmp_path / "manifest.duckdb", [summarise_rows(rows)])
    with closing(open_manifest(manifest)) as connection:
        found = read_worst(connection, "run-1", ["e1"])
    assert {key[1]: (len(one.items), one.found) for key, one in found.items()} == {
        "few": (5, 5),
        "many": (10, 90),
        "vqa": (9, 60),
    }
    assert sum(len(one.items) for one in found.values()) == MAX_ITEMS


def test_order_on_real_scores_is_that_of_a_plain_sort(full_manifest: Path) -> None:
    lines = read(
        full_manifest,
        "SELECT * FROM predictions WHERE variant = 'original' AND evaluation_id = 'guesser-1' "
        "AND benchmark = 'vqa' AND (score < 1 OR parse_status = 'unparsed')",
    ).to_pylist()
    with closing(open_manifest(full_manifest)) as connection:
        found = read_worst(connection, "run-1", ["guesser-1"])["guesser-1", "vqa"]
    assert all(item.rule for item in found.items)
    ordered = sorted(
        lines,
        key=lambda one: (
            one["parse_status"] != "unparsed",
            0 if one["parse_status"] == "unparsed" else one["token_f1"] or 0,
            one["item_id"],
        ),
    )
    assert [one.item_id for one in found.items] == [
        one["item_id"] for one in ordered[: len(found.items)]
    ]
    assert found.found == len(lines)


def test_page_shows_pictures_and_says_where_one_is_gone(
    full_manifest: Path, tmp_path: Path, read_page: Any
) -> None:
    page = read_page(write_evaluation_page(full_manifest, tmp_path / "page.html"))
    pictures = [given["src"] for tag, given in page.elements if tag == "img"]
    assert pictures
    assert all(str(source).startswith("data:image/jpeg;base64,") for source in pictures)
    words = page.words("worst")
    assert "picture: file not found" in words
    assert "… the first 600 of 105,000 characters" in words
