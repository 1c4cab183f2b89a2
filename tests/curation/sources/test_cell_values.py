"""Cells of another shape than their target: one rule, whatever the format."""

from __future__ import annotations

import io
import tarfile
import unicodedata
from pathlib import Path

import pytest

from curation.sources.webdataset import WebDatasetReader
from medsift.images.references import resolve
from tests.curation.sources.every_format import FORMATS, answered, read, rows_of

PAIR = {"question": "q", "answer": "a"}
CHAT = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
TYPED = [kind for kind in FORMATS if kind != "csv"]


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (["left", "right"], '["left", "right"]'),
        ({"side": "left"}, '{"side": "left"}'),
        (3, "3"),
        (2.5, "2.5"),
        (True, "true"),
        ("NaN", "NaN"),
    ],
)
def test_an_answer_that_is_no_text_becomes_the_same_text_everywhere(answer, text, kind, tmp_path):
    (row,) = read(tmp_path, kind, [PAIR | {"answer": answer}])
    assert (row["error"], answered(row)) == (None, text)
    noted = not isinstance(answer, str) and kind != "csv"
    assert bool(row["notes"]) == noted


@pytest.mark.parametrize("kind", ["jsonl", "json", "parquet", "hf", "tar"])
@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_no_answer(number, kind, tmp_path):
    rows = read(tmp_path, kind, [PAIR | {"answer": number}, PAIR | {"answer": 1.5}])
    assert [answered(row) for row in rows] == [None, "1.5"]


@pytest.mark.parametrize("kind", ["parquet", "hf"])
def test_bytes_are_the_text_they_hold_or_fail(kind, tmp_path):
    items = [PAIR | {"answer": "肺".encode()}, PAIR | {"answer": b"\xff\xfe"}]
    rows = read(tmp_path, kind, items)
    assert [(row["error"], answered(row)) for row in rows] == [(None, "肺"), ("not_utf8", None)]


@pytest.mark.parametrize("kind", FORMATS)
def test_a_system_text_beside_a_conversation_is_its_first_turn(kind, tmp_path):
    own = [{"role": "system", "content": "own"}, *CHAT]
    items = [{"messages": CHAT, "system": "s"}, {"messages": own, "system": "s"}]
    one, two = read(tmp_path, kind, items)
    assert one["messages"] == [{"role": "system", "content": "s"}, *CHAT]
    assert two["messages"] == own
    assert (len(one["notes"]), len(two["notes"])) == (0, 1)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_history_of_pairs_is_earlier_turns_and_a_text_is_none(kind, tmp_path):
    (row,) = read(tmp_path, kind, [PAIR | {"history": [["q0", "a0"], ["q1", "a1"]]}])
    assert [turn["content"] for turn in row["messages"]] == ["q0", "a0", "q1", "a1", "q", "a"]
    (row,) = read(tmp_path / "text", kind, [PAIR | {"history": "65 years, cough"}])
    assert [turn["content"] for turn in row["messages"]] == ["q", "a"]


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("flag", [{"loss": False}, {"weight": 0}, {"train": False}])
def test_a_turn_that_is_not_to_be_learned_fails_its_row(flag, kind, tmp_path):
    learned = {key: type(value)(1) for key, value in flag.items()}
    draft = [CHAT[0], CHAT[1] | flag, CHAT[0], CHAT[1] | learned]
    rows = read(tmp_path, kind, [{"messages": draft}, {"messages": [CHAT[0] | flag, CHAT[1]]}])
    assert [row["error"] for row in rows] == ["turn_not_learned", None]


@pytest.mark.parametrize("kind", FORMATS)
def test_keys_of_a_turn_that_are_not_read_are_noted(kind, tmp_path):
    chat = [CHAT[0], CHAT[1] | {"reasoning_content": "think", "tool_calls": None}]
    (row,) = read(tmp_path, kind, [{"messages": chat}])
    assert row["notes"] == ["messages: not read: reasoning_content"]


def test_a_name_is_looked_for_in_both_unicode_forms_and_with_slashes(tmp_path):
    composed, apart = (unicodedata.normalize(form, "bild_ü.png") for form in ("NFC", "NFD"))
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / apart).write_bytes(b"x")
    (tmp_path / "images" / "a.png").write_bytes(b"x")
    root = tmp_path.resolve()
    assert resolve(f"images/{composed}", str(tmp_path)) == str(root / "images" / apart)
    assert resolve("images\\a.png", str(tmp_path)) == str(root / "images" / "a.png")
    assert resolve("images\\gone.png", str(tmp_path)) == str(root / "images\\gone.png")
    (tmp_path / "images\\a.png").write_bytes(b"y")
    assert resolve("images\\a.png", str(tmp_path)) == str(root / "images\\a.png")


def tar(path, members):
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return str(path)


@pytest.mark.parametrize(
    ("named", "shown", "notes"),
    [
        ('"k.0.png"', [b"zero"], 0),
        ('"d/k.1.png"', [b"one"], 0),
        ('["k.1.png", "k.0.png"]', [b"one", b"zero"], 0),
        ('"train/old/name.png"', [b"zero", b"one"], 1),
        ('"s3://bucket/secret.png"', [b"zero", b"one"], 1),
        ("null", [b"zero", b"one"], 0),
    ],
)
def test_a_record_that_names_its_own_members_means_them(named, shown, notes, tmp_path):
    fields = f'{{"question": "q", "answer": "a", "image": {named}}}'.encode()
    members = {"d/k.0.png": b"zero", "d/k.1.png": b"one", "d/k.json": fields}
    reader = WebDatasetReader(name="w", path=tar(tmp_path / "a.tar", members))
    (row,) = rows_of(reader, tmp_path)
    assert row["error"] is None, row["detail"]
    assert [Path(ref).read_bytes() for ref in row["images"]] == shown
    assert len(row["notes"]) == notes


@pytest.mark.parametrize("url", ["s3://b/secret.png", "gs://x/y.png", "hdfs://h/x.png", "a.png"])
def test_a_record_without_pictures_of_its_own_reaches_for_none_elsewhere(url, tmp_path):
    fields = f'{{"question": "q", "answer": "a", "images": ["{url}"]}}'.encode()
    reader = WebDatasetReader(name="w", path=tar(tmp_path / "a.tar", {"k.json": fields}))
    (row,) = rows_of(reader, tmp_path)
    assert row["error"] == "reference_escapes"
