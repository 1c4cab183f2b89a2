"""Options and answers: one list from A and one answer, whatever the format and the shape."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.ingest import IngestConfig, ingest
from curation.sources.answers import (
    A_PLACE,
    EQUAL_OPTIONS,
    NONE_OF_THEM,
    OTHER_LIST,
    TURNED,
    TWO_READINGS,
    choose,
)
from curation.sources.choices import read_options
from medsift.options import LETTERS, folded, lettered, split_options, without_letters
from tests.curation.sources.every_format import FORMATS, answered, asked, read

LISTED = "Which?\nA. liver\nB. spleen"
SHAPES = {
    "list": ["liver", "spleen"],
    "by letter": {"A": "liver", "B": "spleen"},
    "by small letter, turned": {"b": "spleen", "a": "liver"},
    "by number": {"1": "liver", "2": "spleen"},
    "by number from 0": {"0": "liver", "1": "spleen"},
    "by name": {"option_a": "liver", "option_b": "spleen"},
    "labelled": [{"label": "A", "text": "liver"}, {"label": "B", "text": "spleen"}],
    "keyed, turned": [{"key": "B", "value": "spleen"}, {"key": "A", "value": "liver"}],
    "lettered objects": [{"letter": "A", "content": "liver"}, {"letter": "B", "content": "spleen"}],
    "marked right": [
        {"text": "liver", "is_correct": True},
        {"text": "spleen", "is_correct": False},
    ],
    "two lists": {"text": ["liver", "spleen"], "label": ["A", "B"]},
    "own letters": ["A. liver", "B. spleen"],
    "own letters in brackets": ["(A) liver", "(B) spleen"],
    "own letters with colons": [" A:liver ", " B:spleen"],
    "own letters, bracket": [" A) liver", " B) spleen"],
    "own letters, turned": ["B. spleen", "A. liver"],
    "letters twice": {"A": "A. liver", "B": "B. spleen"},
    "own numbers": ["1. liver", "2) spleen"],
    "empty at the end": ["liver", "spleen", "", None],
    "empty by letter": {"A": "liver", "B": "spleen", "C": None, "D": ""},
    "json": '["liver", "spleen"]',
    "json by letter": '{"A": "liver", "B": "spleen"}',
    "printed": "['liver', 'spleen']",
    "printed by letter": "{'A': 'liver', 'B': 'spleen'}",
    "printed by numpy": "['liver' 'spleen']",
    "printed by pandas": "{'text': array(['liver', 'spleen'], dtype=object),"
    " 'label': array(['A', 'B'], dtype=object)}",
    "lines": "liver\nspleen",
    "lettered lines": "A. liver\nB. spleen",
    "lettered line": "(A) liver (B) spleen",
    "semicolons": "liver; spleen",
    "bars": "liver | spleen",
}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("shape", SHAPES)
def test_options_in_every_shape_are_one_lettered_list(shape, kind, tmp_path):
    items = [{"question": "Which?", "answer": "spleen", "options": SHAPES[shape]}]
    (row,) = read(tmp_path, kind, items)
    assert row["error"] is None, row["detail"]
    assert asked(row) == LISTED
    assert answered(row) == "spleen"
    assert json.loads(row["extra"])["options"] == ["liver", "spleen"]
    assert row["notes"] == []


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    "names",
    [
        ("option_a", "option_b", "option_c"),
        ("A", "B", "C"),
        ("Choice A", "Choice B", "Choice C"),
        ("opa", "opb", "opc"),
        ("optionA", "optionB", "optionC"),
        ("option1", "option2", "option3"),
        ("choice_0", "choice_1", "choice_2"),
    ],
)
def test_options_in_columns_of_their_own_are_one_lettered_list(names, kind, tmp_path):
    values = dict(zip(names, (" A: liver", "B: spleen", None), strict=True))
    items = [{"question": "Which?", "answer": "spleen", **values}]
    items.append(items[0] | {names[2]: "C: kidney"})
    two, three = read(tmp_path, kind, items)
    assert asked(two) == LISTED
    assert asked(three) == LISTED + "\nC. kidney"


@pytest.mark.parametrize("kind", FORMATS)
def test_a_column_that_only_sounds_like_an_option_is_none(kind, tmp_path):
    items = [{"question": "Which?", "answer": "x", "A": "liver", "opt": "y", "option_b": "z"}]
    (row,) = read(tmp_path, kind, items)
    assert asked(row) == "Which?"


def test_numbered_options_stand_in_the_order_of_their_numbers():
    options = {str(number): f"organ {number}" for number in range(12, 0, -1)}
    found = read_options(options)
    assert [option.text for option in found] == [f"organ {number}" for number in range(1, 13)]
    choice = choose("Which?", "10", options)
    assert (choice.answer, choice.notes) == ("J", [TURNED])
    assert "J. organ 10" in choice.question


@pytest.mark.parametrize(
    ("answer", "options", "found", "notes"),
    [
        ("B", ["x", "y"], "B", []),
        ("b", ["x", "y"], "B", []),
        ("(B)", ["x", "y"], "B", []),
        ("Y.", ["x", "y"], "Y.", []),
        ("B. y", ["x", "y"], "B. y", []),
        ("B. x", ["x", "y"], "B. x", [NONE_OF_THEM]),
        ("2", {"1": "x", "2": "y"}, "B", [TURNED]),
        ("2.0", {"1": "x", "2": "y"}, "B", [TURNED]),
        ("1", {"0": "x", "1": "y"}, "B", [TURNED]),
        ("left", {"left": "L", "right": "R"}, "A", [TURNED]),
        ("option_b", {"option_a": "x", "option_b": "y"}, "B", [TURNED]),
        ("opb", {"opa": "x", "opb": "y"}, "B", [TURNED]),
        ("Choice-2", {"1": "x", "2": "y"}, "B", [TURNED]),
        ("C", {"A": "x", "B": None, "C": "z"}, "B", [TURNED]),
        ("C", ["x", None, "z"], "B", [TURNED]),
        ("z", ["x", None, "z"], "z", []),
        ("A, C", ["x", "y", "z"], "A, C", []),
        ("AC", ["x", "y", "z"], "AC", []),
        ("A and C", {"A": "x", "B": "", "C": "z"}, "A, B", [TURNED]),
        ("AD", ["x", "y", "z"], "AD", [NONE_OF_THEM]),
        ("E", ["x", "y"], "E", [NONE_OF_THEM]),
        ("kidney", ["x", "y"], "kidney", [NONE_OF_THEM]),
        ("1", ["x", "y"], "1", [A_PLACE]),
        ("2", ["1", "2", "3"], "2", []),
        ("A", ["x", "X"], "A", [EQUAL_OPTIONS]),
        ("A", ["O", "A", "B"], "A", [TWO_READINGS]),
        ("A", ["A", "B", "AB"], "A", []),
        ("ER-", ["ER+", "ER-"], "ER-", []),
        ("-1", {"1": "x", "2": "y"}, "-1", [NONE_OF_THEM]),
        (None, ["x", "y"], None, []),
    ],
)
def test_an_answer_is_a_letter_a_text_or_flagged(answer, options, found, notes):
    choice = choose("Which?", answer, options)
    assert (choice.answer, choice.notes) == (found, notes)


@pytest.mark.parametrize(
    ("answer", "start", "found", "notes"),
    [
        ("1", 0, "B", [TURNED]),
        ("1", 1, "A", [TURNED]),
        ("0", 0, "A", [TURNED]),
        ("0", 1, "0", [NONE_OF_THEM]),
        ("2", 0, "2", [NONE_OF_THEM]),
        ("1.0", 0, "B", [TURNED]),
        ("y", 0, "y", []),
        ("B", 0, "B", []),
    ],
)
def test_a_place_counts_from_where_the_recipe_says(answer, start, found, notes):
    choice = choose("Which?", answer, ["x", "y"], start)
    assert (choice.answer, choice.notes) == (found, notes)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_place_is_the_same_letter_in_every_format(kind, tmp_path):
    items = [{"question": "Which?", "answer": at, "choices": ["liver", "spleen"]} for at in (0, 1)]
    rows = read(tmp_path, kind, items, answer_index=0)
    assert [answered(row) for row in rows] == ["A", "B"]
    assert all(TURNED in row["notes"] for row in rows)
    rows = read(tmp_path / "plain", kind, items)
    assert [answered(row) for row in rows] == ["0", "1"]
    assert all(A_PLACE in row["notes"] for row in rows)


@pytest.mark.parametrize(
    ("stem", "listed"),
    [
        ("Is this a CT or an MRI?", False),
        ("How many of the 1234 cells?", False),
        ("Which?\n1. CT\n2. MRI", False),
        ("Vitamin A. deficiency?", False),
        ("Which?\nA. CT\nB. MRI", True),
        ("Which? (A) ct (B) mri", True),
        ("Which? A) CT, B) MRI", True),
        ("Which?\na) CT\nb) MRI", True),
        ("哪个？A、CT B、MRI", True),
    ],
)
def test_options_are_listed_unless_the_question_lists_them_with_letters(stem, listed):
    choice = choose(stem, "MRI", ["CT", "MRI"])
    assert choice.question == (stem if listed else f"{stem}\nA. CT\nB. MRI")


def test_a_question_that_lists_other_options_is_flagged():
    assert choose("Which?\nA. p\nB. q", "B", ["x", "y"]).notes == [OTHER_LIST]


@pytest.mark.parametrize(
    "options", ["neither", 5, [[1, 2, 3]], [{"a": 1, "b": 2}], ["x"] * 27, {"A": "x", "a": "y"}]
)
def test_options_of_no_known_shape_fail_their_row_alone(options, tmp_path):
    good = {"question": "Which?", "answer": "x", "options": ["x", "y"]}
    rows = read(tmp_path, "jsonl", [good, good | {"options": options}, good])
    assert [row["error"] for row in rows] == [None, "malformed_messages", None]


@pytest.mark.parametrize(
    "options",
    [["A. fumigatus", "E. coli"], ["1.5 cm", "2.5 cm"], ["A", "B"], ["Hepatitis A", "Hepatitis B"]],
)
def test_what_only_looks_like_a_letter_stays(options):
    assert without_letters(options) == options


WORDS = st.text("abcdefgh xyz+-<>", min_size=1, max_size=12).map(str.strip).filter(bool)


@given(st.lists(WORDS, min_size=2, max_size=12, unique_by=folded))
def test_listing_and_splitting_are_each_others_opposite(options):
    listed = lettered(options)
    stem, found = split_options(f"Which one is it?\n{listed}")
    if all(split_options(option)[1] == [] for option in options):
        assert (stem, found) == ("Which one is it?", [text.strip(" ,;") for text in options])
    assert without_letters(listed.split("\n")) == options


@given(st.lists(WORDS, min_size=2, max_size=12, unique_by=folded), st.randoms(), st.data())
def test_the_right_option_stays_right_however_the_options_are_written(options, random, data):
    right = data.draw(st.integers(0, len(options) - 1))
    letters = list(LETTERS[: len(options)])
    pairs = list(zip(letters, options, strict=True))
    random.shuffle(pairs)
    for cell in (options, dict(pairs), json.dumps(dict(pairs)), [list(pair) for pair in pairs]):
        choice = choose("Which?", letters[right], cell)
        if TWO_READINGS not in choice.notes:
            assert choice.options[LETTERS.index(choice.answer)] == options[right]


def test_small_letters_in_a_question_make_a_choice(tmp_path):
    items = [{"question": "Which?\na) CT\nb) MR", "answer": "b"}]
    (row,) = read(tmp_path, "jsonl", items)
    import pyarrow as pa

    from medsift import records

    table = pa.Table.from_pylist([row], schema=records.ROWS)
    (sample,) = ingest(table, IngestConfig()).samples.to_pylist()
    assert sample["answer_type"] == "choice"
