"""A source that is proposed from the data reads them; what is not found is said."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pydantic import TypeAdapter

from curation.propose_recipe import propose_recipe
from curation.recipe import Recipe
from curation.sources import SourceConfig
from curation.sources.propose_source import NAMES, propose_source
from medsift import recipe_yaml
from medsift.images.blob_store import BlobStore
from tests.expect import raises_code

ROWS = [{"question": f"What is in picture {n}?", "answer": f"organ {n}"} for n in range(3)]


def pictures(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("L", (40, 40)).save(folder / name)


def write(path: Path, rows: list[dict]) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, list(rows[0]))
            table.writeheader()
            table.writerows(rows)
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def samples(settings: dict, folder: Path) -> list[dict]:
    source = TypeAdapter(SourceConfig).validate_python(settings)
    source.check()
    blobs = BlobStore(str(folder / "blobs"))
    return [
        row for shard in source.shards() for t in source.read(shard, blobs) for row in t.to_pylist()
    ]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
@pytest.mark.parametrize(
    ("question", "answer", "image"),
    [
        ("question", "answer", "image"),
        ("Query", "Response", "img_path"),
        ("prompt", "caption", "file_name"),
        ("instruction", "output", "figure"),
    ],
)
def test_columns_of_usual_names_are_read(tmp_path, suffix, question, answer, image):
    pictures(tmp_path / "pics", ["0.png", "1.png", "2.png"])
    rows = [
        {question: row["question"], answer: row["answer"], image: f"{n}.png", "order": n}
        for n, row in enumerate(ROWS)
    ]
    proposal = propose_source(write(tmp_path / f"data{suffix}", rows), "mine")
    assert proposal.settings["image_root"] == str(tmp_path / "pics")
    assert {one.target: one.column for one in proposal.found} == {
        "question": question,
        "answer": answer,
        "images": image,
    }
    assert proposal.unread == ("order",)
    assert set(proposal.missing) >= {"modality", "license", "split"}
    read = samples(proposal.settings, tmp_path)
    assert [row["error"] for row in read] == [None] * 3
    assert [len(row["images"]) for row in read] == [1] * 3


@pytest.mark.parametrize("name", ["end", "image path", 'a "quoted" name', "名前"])
def test_a_name_that_sql_would_not_read_is_quoted(tmp_path, monkeypatch, name):
    monkeypatch.setitem(NAMES, "modality", (name,))
    rows = [row | {name: "ct"} for row in ROWS]
    proposal = propose_source(write(tmp_path / "data.jsonl", rows), "mine")
    [found] = [one for one in proposal.found if one.target == "modality"]
    assert found.column == name
    assert [row["modality"] for row in samples(proposal.settings, tmp_path)] == ["ct"] * 3


def test_a_column_of_the_right_name_and_the_wrong_values_is_not_taken(tmp_path):
    rows = [row | {"image": n, "fold": n, "path": "", "label": None} for n, row in enumerate(ROWS)]
    proposal = propose_source(write(tmp_path / "data.jsonl", rows), "mine")
    assert {one.target for one in proposal.found} == {"question", "answer"}
    assert {"images", "split"} <= set(proposal.missing)


def test_files_of_another_kind_in_a_folder_are_left_out_and_named(tmp_path):
    write(tmp_path / "a_settings.jsonl", [{"version": 1}])
    data = write(tmp_path / "data.jsonl", ROWS)
    proposal = propose_source(tmp_path, "mine")
    assert proposal.settings["path"] == str(data)
    assert proposal.others == ("a_settings.jsonl",)
    # Files of equal columns are one source.
    (tmp_path / "a_settings.jsonl").unlink()
    write(tmp_path / "more.jsonl", ROWS)
    assert propose_source(tmp_path, "mine").settings["path"] == str(tmp_path)


def test_conversations_pictures_and_tars_have_their_readers(tmp_path):
    turns = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "This."}]
    rows = [{"id": "1", "image": "0.png", "conversations": turns}]
    pictures(tmp_path, ["0.png"])
    proposal = propose_source(write(tmp_path / "llava.jsonl", rows), "mine")
    assert proposal.settings["reader"] == "messages"
    assert [row["error"] for row in samples(proposal.settings, tmp_path)] == [None]
    pictures(tmp_path / "folder" / "ct", ["0.png"])
    (tmp_path / "folder" / "ct" / "0.txt").write_text("A caption.", encoding="utf-8")
    folder = propose_source(tmp_path / "folder", "mine")
    assert folder.settings["reader"] == "image_folder"
    assert [row["error"] for row in samples(folder.settings, tmp_path)] == [None]


def test_nothing_to_read_is_one_line(tmp_path):
    with raises_code("source_missing"):
        propose_source(tmp_path / "none", "mine")
    (tmp_path / "empty").mkdir()
    with raises_code("source_empty"):
        propose_source(tmp_path / "empty", "mine")
    (tmp_path / "empty" / "data.jsonl").touch()
    with raises_code("source_empty"):
        propose_source(tmp_path / "empty", "mine")


def test_the_recipe_is_one_whatever_the_values_and_names_contain(tmp_path):
    odd = "line\u2028break \x85 # : {} \x1b[31m " + "x" * 200
    rows = [row | {"modality": odd, "a: # b\u2028": odd} for row in ROWS]
    path = write(tmp_path / "my data (1).jsonl", rows)
    proposed = propose_recipe(path)
    recipe = recipe_yaml.parse(Recipe, proposed.text)
    assert recipe.name == "my_data_1"
    assert recipe.strata == ("modality", "answer_type")
    assert len(proposed.text.splitlines()) < 40
