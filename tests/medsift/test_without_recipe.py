"""Tables without a recipe: the rows of `ms.deduplicate` are those that a run of them keeps."""

from __future__ import annotations

import io
import json
import random
from itertools import chain

import pandas as pd
import pyarrow as pa
import pytest
from datasets import Dataset, Image
from PIL import Image as Picture

import medsift as ms
from curation.table_rows import TableRows
from tests.expect import raises_code

COLUMNS = {"question": "question", "answer": "answer", "image": "image"}
TEXTS = [
    {"question": "Is there a fracture?", "answer": "yes"},
    {"question": "Is there a fracture?", "answer": "yes"},
    {"question": "What organ is shown?", "answer": "the liver"},
]
QA = {"question": "question", "answer": "answer"}


@pytest.fixture(scope="module")
def deduplicate(planted, vectors):
    """Deduplicate rows of the planted set, with the vectors of other tests."""

    def call(table, **more):
        return ms.deduplicate(
            table, **{**COLUMNS, "image_root": planted.images, "cache": vectors, **more}
        )

    return call


@pytest.fixture(scope="module")
def result(deduplicate, rows):
    return deduplicate(rows)


def numbers(rows) -> list[int]:
    return [row["number"] for row in rows]


def contents(rows, planted) -> set:
    """Kept rows by what they say and show: of equal rows, either may stay."""
    return {
        (row["question"], row["answer"], (planted.images / row["image"]).read_bytes())
        for row in rows
    }


def test_every_row_is_kept_dropped_or_failed_once(result, rows):
    fates = [numbers(result.kept), numbers(result.dropped), numbers(result.failed)]
    assert all(fates)
    assert sorted(chain(*fates)) == list(range(len(rows)))
    assert len(result) == len(rows)


def test_the_rows_are_those_that_a_run_keeps(result, settings, tmp_path, rows):
    # The same names, so that the ids are the same and with them every tie.
    file = tmp_path / "rows.parquet"
    pa.parquet.write_table(
        pa.table(
            {
                "question": [row["question"] for row in rows],
                "answer": [row["answer"] for row in rows],
                "images": [row["image"] for row in rows],
            }
        ),
        file,
    )
    source = {**settings["sources"][0], "name": "table", "path": str(file), "columns": {}}
    run = ms.curate(
        {**settings, "name": "table", "strata": [], "sources": [source]},
        tmp_path / "run",
        ray=False,
    )
    for table, mine in ((run.kept, result.kept), (run.failed, result.failed)):
        ids = table["row_id"].to_pylist()
        assert sorted(int(row.rpartition(":")[2]) for row in ids) == sorted(numbers(mine))
    theirs = {
        int(row["row_id"].rpartition(":")[2]): (row["reason"], row["witness"], row["value"])
        for row in run.dropped.to_pylist()
    }
    mine = {
        row["number"]: (
            row["reason"],
            None if row["witness"] is None else f"table:rows.parquet:{row['witness']}",
            row["value"],
        )
        for row in result.dropped
    }
    assert mine == theirs


def test_the_order_of_rows_does_not_matter(deduplicate, result, rows, planted):
    shuffled = list(rows)
    random.Random(7).shuffle(shuffled)
    again = deduplicate(shuffled)
    assert sorted(numbers(again.failed)) == sorted(numbers(result.failed))
    assert len(again.kept) == len(result.kept)
    assert contents(again.kept, planted) == contents(result.kept, planted)


def test_a_dropped_row_names_a_kept_row_as_its_witness(result):
    kept = set(numbers(result.kept))
    copies = [row for row in result.dropped if row["witness"] is not None]
    assert copies
    assert {row["witness"] for row in copies} <= kept
    for row in copies:
        words = result.why(row["number"])
        assert row["reason"] in words
        assert f"row {row['witness']}" in words
    assert result.why(next(iter(kept))).endswith("kept")
    failed = result.failed[0]
    assert failed["reason"] in result.why(failed["number"])
    with raises_code("row_unknown", row=len(result)):
        result.why(len(result))


def test_groups_name_the_kept_row(result):
    kept = set(numbers(result.kept))
    assert set(result.groups["kept"].to_pylist()) <= kept
    dropped = {row["number"]: row["witness"] for row in result.dropped if row["witness"]}
    groups = {line["row"]: line["kept"] for line in result.groups.to_pylist()}
    assert dropped.items() <= groups.items()
    assert result.conflicts.num_rows
    assert "<script" not in result._repr_html_()


@pytest.fixture(scope="module")
def readable(result, rows):
    """Rows whose picture is read, some of them repeated."""
    failed = set(numbers(result.failed))
    return [row for row in rows if row["number"] not in failed][:40]


@pytest.mark.parametrize("kind", ["bytes", "mapping", "picture", "list"])
def test_pictures_come_as_paths_bytes_or_objects(kind, deduplicate, readable, planted):
    paths = [planted.images / row["image"] for row in readable]
    values = {
        "bytes": [path.read_bytes() for path in paths],
        "mapping": [{"bytes": path.read_bytes(), "path": None} for path in paths],
        "picture": [Picture.open(path) for path in paths],
        "list": [[str(path)] for path in paths],
    }[kind]
    table = [{**row, "image": value} for row, value in zip(readable, values, strict=True)]
    one, other = deduplicate(table), deduplicate(readable)
    assert numbers(one.kept) == numbers(other.kept)
    assert [row["reason"] for row in one.dropped] == [row["reason"] for row in other.dropped]


@pytest.mark.parametrize("kind", ["arrow", "pandas", "datasets", "list"])
def test_rows_come_back_as_the_kind_of_table_that_was_given(kind):
    table = {
        "arrow": lambda: pa.Table.from_pylist(TEXTS),
        "pandas": lambda: pd.DataFrame(TEXTS, index=[10, 20, 30]),
        "datasets": lambda: Dataset.from_list(TEXTS),
        "list": lambda: list(TEXTS),
    }[kind]()
    result = ms.deduplicate(table, **QA)
    assert [len(part) for part in (result.kept, result.dropped, result.failed)] == [2, 1, 0]
    assert type(result.kept) is type(result.failed) is type(table)
    if kind == "pandas":
        assert sorted([*result.kept.index, *result.dropped.index]) == [10, 20, 30]
        assert list(result.failed.columns) == ["question", "answer", "reason", "detail"]
    if kind in ("arrow", "datasets"):
        names = ["question", "answer", "reason", "witness", "value", "threshold"]
        assert result.dropped.column_names == names


def test_a_dataset_of_pictures_is_read_as_it_is_stored(readable, planted):
    stored = (planted.images / readable[0]["image"]).read_bytes()
    dataset = Dataset.from_dict({"image": [{"bytes": stored, "path": None}]})
    column = TableRows(dataset.cast_column("image", Image())).column("image")
    assert column[0]["bytes"] == stored


def test_conversations_of_a_table_are_deduplicated():
    chats = [
        [
            {"role": "user", "content": row["question"]},
            {"role": "assistant", "content": row["answer"]},
        ]
        for row in TEXTS
    ]
    table = pa.table({"chat": chats})
    for form in (table, table.to_pandas()):
        assert len(ms.deduplicate(form, messages="chat").kept) == 2


@pytest.mark.parametrize(
    "table",
    [[], pa.table({"question": pa.array([], pa.string()), "answer": pa.array([], pa.string())})],
)
def test_a_table_without_rows_has_no_duplicates(table):
    result = ms.deduplicate(table, **QA)
    assert len(result) == len(result.kept) == len(result.dropped) == result.groups.num_rows == 0
    assert "0 rows" in repr(result)
    with raises_code("table_empty"):
        ms.select(table, 1, **QA)


def test_nulls_fail_or_are_dropped_with_a_reason():
    table = pd.DataFrame(
        {
            "question": [None, "Is it?", float("nan"), pd.NA, "Is it?"],
            "answer": ["a", None, "b", "c", "yes"],
        }
    )
    result = ms.deduplicate(table, **QA)
    assert list(result.kept.index) == [4]
    assert sorted([*result.dropped.index, *result.failed.index]) == [0, 1, 2, 3]
    assert result.failed["reason"].notna().all()
    assert result.dropped["reason"].notna().all()


def test_a_column_of_the_user_is_never_replaced():
    table = [{**row, "reason": "mine", "weight": 7} for row in TEXTS]
    [row] = ms.deduplicate(table, **QA).dropped
    assert (row["reason"], row["medsift_reason"]) == ("mine", "exact_copy")
    [chosen] = ms.select(table, 1, **QA).selected
    assert chosen["weight"] == 7
    assert chosen["medsift_weight"] > 0


def test_columns_need_no_text_as_their_name():
    table = pd.DataFrame([[row["question"], row["answer"]] for row in TEXTS])
    assert len(ms.deduplicate(table, question="0", answer="1").kept) == 2


def test_mistakes_have_codes():
    with raises_code("column_unknown", column="q") as caught:
        ms.deduplicate(TEXTS, question="q", answer="answer")
    assert "question, answer" in str(caught.value)
    with raises_code("column_missing"):
        ms.deduplicate(TEXTS, question="question")
    with raises_code("column_repeated", columns=["a"]):
        ms.deduplicate(pd.DataFrame([[1, 2]], columns=["a", "a"]), **QA)
    with raises_code("column_mixed", column="question"):
        ms.deduplicate([{"question": 1, "answer": "a"}, {"question": "b", "answer": "a"}], **QA)
    with raises_code("table_invalid"):
        ms.deduplicate("rows.csv", **QA)
    with raises_code("tag_unknown", tags=["colour"]):
        ms.deduplicate(TEXTS, **QA, tags={"colour": "answer"})
    with raises_code("setting_reserved", settings=["sources"]):
        ms.deduplicate(TEXTS, **QA, settings={"sources": []})
    with raises_code("recipe_invalid") as caught:
        ms.deduplicate(TEXTS, **QA, settings={"dedupe": {}})
    assert caught.value.values["paths"] == ["dedupe"]
    with raises_code("recipe_invalid"):
        ms.select(TEXTS, "some", **QA)
    with pytest.raises(ms.UsageError):
        ms.select(TEXTS, 50, **QA)


def test_a_picture_that_is_missing_fails_with_its_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    [row] = ms.deduplicate([{**TEXTS[0], "image": "absent.png"}], **COLUMNS).failed
    assert row["reason"] == "image_missing"
    assert str(tmp_path / "absent.png") in row["detail"]


def test_relative_paths_are_those_of_the_current_folder(tmp_path, monkeypatch):
    Picture.effect_noise((64, 64), 60).convert("RGB").save(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    table = [
        {**TEXTS[0], "image": "a.png"},
        {**TEXTS[2], "image": {"bytes": None, "path": "a.png"}},
    ]
    for column in ({**TEXTS[0], "image": "a.png"}, table[1]):
        assert len(ms.deduplicate([column], **COLUMNS).kept) == 1


@pytest.fixture(scope="module")
def selected(rows, planted, vectors):
    return ms.select(
        rows,
        "20%",
        **COLUMNS,
        image_root=planted.images,
        cache=vectors,
        tags={"modality": "modality"},
    )


def test_a_selection_has_its_budget_weights_and_coverage(selected, rows):
    kept = set(numbers(selected.kept))
    chosen = numbers(selected.selected)
    assert set(chosen) <= kept
    assert len(set(chosen)) == len(chosen) == len(selected.order) == len(selected.weights)
    assert abs(len(chosen) - 0.2 * len(kept)) <= 1
    assert 0 < selected.coverage <= 1
    assert [row["weight"] for row in selected.selected] == list(selected.weights)
    assert len(kept) <= sum(selected.weights) <= len(rows)
    assert f"{len(chosen)} selected" in repr(selected)


def test_a_method_may_have_settings(rows, planted, vectors):
    kind = {"kind": "random"}
    result = ms.select(
        rows,
        5,
        **COLUMNS,
        image_root=planted.images,
        cache=vectors,
        method=kind,
        settings={"seed": 3},
    )
    assert len(result.selected) == 5


def test_a_cache_keeps_the_vectors(tmp_path):
    Picture.effect_noise((64, 64), 60).convert("RGB").save(buffer := io.BytesIO(), "PNG")
    table = [{**TEXTS[0], "image": buffer.getvalue()}]
    ms.deduplicate(table, **COLUMNS, cache=tmp_path)
    before = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert before
    ms.deduplicate(json.loads(json.dumps(TEXTS)), **QA, cache=tmp_path)
    assert set(before) <= {path for path in tmp_path.rglob("*") if path.is_file()}
