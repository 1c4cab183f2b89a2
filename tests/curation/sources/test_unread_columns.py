"""Columns that nothing reads are named, and those that look like pictures marked so."""

from __future__ import annotations

import base64
import io
import json

import pytest

from tests.curation.sources.every_format import FORMATS, reader_of, write


def png():
    from PIL import Image

    stream = io.BytesIO()
    Image.new("L", (8, 8), 9).save(stream, "PNG")
    return stream.getvalue()


BASE = {"question": "q", "answer": "a"}


def unread(folder, kind, items, **settings):
    reader = reader_of(kind, write(folder, kind, items), **settings)
    return [str(column) for column in reader.unread()]


@pytest.mark.parametrize("kind", FORMATS)
def test_columns_that_no_target_is_made_of_are_named(kind, tmp_path):
    items = [BASE | {"image_path": "a.png", "Age": 40, "modality": "ct"}] * 3
    assert unread(tmp_path, kind, items) == ["Age", "image_path (looks like pictures)"]
    taken = unread(tmp_path, kind, items, columns={"images": "image_path", "age": "Age"})
    assert taken == []


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    "value",
    [
        *("x/1.JPG", ["a.dcm", "b.dcm"], base64.b64encode(png()).decode(), {"path": "a.png"}),
        *("data:image/png;base64,AAAA", "https://host/a.webp?size=1", "['a.png', 'b.png']"),
    ],
)
def test_a_column_looks_like_pictures_by_its_values(value, kind, tmp_path):
    items = [BASE | {"scan": None}, BASE | {"scan": value}]
    assert unread(tmp_path, kind, items) == ["scan (looks like pictures)"]


@pytest.mark.parametrize("kind", FORMATS)
def test_what_is_read_beside_the_targets_is_not_named(kind, tmp_path):
    items = [BASE | {"option_a": "x", "option_b": "y", "history": [["q", "a"]], "videos": None}]
    assert unread(tmp_path, kind, items) == []
    items = [BASE | {"history": "65 years, cough", "system": "chest", "option_c": "x"}]
    assert unread(tmp_path / "text", kind, items) == ["history", "option_c", "system"]


@pytest.mark.parametrize("kind", FORMATS)
def test_what_stands_beside_a_conversation_is_read_or_named(kind, tmp_path):
    chat = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    items = [{"messages": chat, "system": "s", "tools": "[]", "history": [["q", "a"]]}]
    assert unread(tmp_path, kind, items) == ["history", "tools"]


def test_a_column_that_only_later_files_have_is_named(tmp_path):
    for place, extra in enumerate(({}, {"late": 1}, {"late": 2, "later": "b.png"})):
        (tmp_path / f"{place}.jsonl").write_text(json.dumps(BASE | extra) + "\n")
    found = [str(column) for column in reader_of("jsonl", str(tmp_path)).unread()]
    assert found == ["late", "later (looks like pictures)"]


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    ("values", "words"),
    [
        (["train", "test"], ["test", "train"]),
        (["Train", None, "VAL"], ["Train", "VAL"]),
        (["training", "training"], ["training"]),
        (["train", "liver"], []),
        ([1, 2], []),
        ([["train"], ["test"]], []),
    ],
)
def test_a_column_looks_like_splits_by_its_values(values, words, kind, tmp_path):
    items = [BASE | {"phase": value} for value in values]
    [column] = reader_of(kind, write(tmp_path, kind, items)).unread()
    assert list(column.splits) == words


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("flags", [[0, 1], [True, False], ["no", "yes"]])
def test_a_flag_named_after_a_split_looks_like_one(flags, kind, tmp_path):
    items = [BASE | {"is_test": flag, "is_tested": flag, "stress": flag} for flag in flags]
    found = {
        item.column: item.splits for item in reader_of(kind, write(tmp_path, kind, items)).unread()
    }
    assert found == {"is_test": ("test",), "is_tested": (), "stress": ()}
