"""The real files with their real defects: every row has a fate."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from curation.ingest import IngestConfig, ingest
from curation.sources.table import TableReader
from medsift.images.blob_store import BlobStore

TASK_TYPE = """
list_aggregate(
  list_sort(list_transform(
    string_split(upper(question_type), ','),
    lambda kind: CASE trim(kind) WHEN 'PRSE' THEN 'PRES' WHEN 'ATRIB' THEN 'ATTRIB'
                 ELSE trim(kind) END
  )), 'string_agg', '+')
"""
VQA_RAD = {
    "images": "image_name",
    "answer_type": "answer_type",
    "split": "CASE WHEN phrase_type LIKE 'test%' THEN 'test' ELSE 'train' END",
    "body_part": "image_organ",
    "task_type": TASK_TYPE,
    "study_id": "image_case_url",
    "language": "'en'",
    "license": "'CC0-1.0'",
    "qid": "qid",
    "phrase_type": "phrase_type",
}


def rows_of(reader, folder):
    blobs = BlobStore(Path(folder) / "blobs")
    return pa.concat_tables(
        table for shard in reader.shards() for table in reader.read(shard, blobs)
    )


def radiology(folder, **settings):
    return TableReader(
        name="vqa_rad",
        path=str(folder / "vqa_rad.jsonl"),
        image_root=str(folder / "images"),
        **{"columns": VQA_RAD} | settings,
    )


@pytest.fixture(scope="module")
def radiology_rows(vqa_rad, tmp_path_factory):
    return rows_of(radiology(vqa_rad), tmp_path_factory.mktemp("rad"))


def test_every_row_of_vqa_rad_becomes_a_sample(radiology_rows):
    result = ingest(radiology_rows, IngestConfig())
    assert result.rows_in == radiology_rows.num_rows == 2248
    assert result.samples.num_rows == 2248
    assert len(set(radiology_rows["row_id"].to_pylist())) == radiology_rows.num_rows
    samples = result.samples.to_pylist()
    assert Counter(item["split"] for item in samples) == {"train": 1797, "test": 451}
    assert Counter(item["answer_type"] for item in samples) == {"closed": 1299, "open": 949}
    assert {item["body_part"] for item in samples} == {"chest", "abd", "head"}
    assert len({item["refs"][0] for item in samples}) == 314
    assert all(Path(item["refs"][0]).is_file() for item in samples)
    kinds = {item["task_type"] for item in samples}
    assert not kinds & {"PRSE", "ATRIB", "Other", "POS, PRES", "PRES+POS"}
    assert "POS+PRES" in kinds


def test_each_defect_of_vqa_rad_carries_a_note(radiology_rows):
    samples = ingest(radiology_rows, IngestConfig()).samples.to_pylist()
    by_note: dict[str, list[str]] = {}
    for item in samples:
        for note in item["notes"]:
            by_note.setdefault(note, []).append(json.loads(item["extra"])["qid"])
    integers = by_note["answer: integer read as text"]
    assert sorted(integers) == ["1511", "1568", "1683", "2234", "2235"]
    assert sorted(by_note["answer_type: 'CLOSED ' trimmed"]) == ["2156", "2157"]
    tabs = {*by_note.get("question: tabs replaced", ()), *by_note.get("answer: tabs replaced", ())}
    assert "168" in tabs
    assert len(tabs) == 10
    assert len(by_note["answer_type: closed, but the answer is not yes or no"]) == 106
    assert {json.loads(item["extra"])["qid"] for item in samples} >= {"0", "1", "2234"}


def test_small_shards_change_nothing(vqa_rad, radiology_rows, tmp_path):
    assert rows_of(radiology(vqa_rad, shard_bytes=200_000), tmp_path).equals(radiology_rows)


def test_the_published_split_reads_whole(vqa_rad, tmp_path):
    columns = {"images": "image_name", "split": "'train'"}
    counts = {"trainset": 3064, "testset": 451}
    for name, count in counts.items():
        reader = TableReader(
            name=name,
            path=str(vqa_rad / "splits_mevf" / f"{name}.jsonl"),
            image_root=str(vqa_rad / "images"),
            columns=columns,
        )
        result = ingest(rows_of(reader, tmp_path), IngestConfig())
        assert (result.rows_in, result.samples.num_rows) == (count, count)


@pytest.mark.nightly
def test_medquad_streams_from_gzip(medical_text, tmp_path):
    columns = {"task_type": "qtype", "language": "'en'", "collection": "collection", "id": "id"}
    path = str(medical_text / "medquad_answered.jsonl.gz")
    reader = TableReader(name="medquad", path=path, columns=columns)
    rows = rows_of(reader, tmp_path)
    result = ingest(rows, IngestConfig())
    assert result.rows_in == 16407 == result.samples.num_rows + result.decisions.num_rows
    assert result.samples.num_rows == 16407
    assert len(set(rows["row_id"].to_pylist())) == rows.num_rows
    assert set(result.samples["refs"].to_pylist()[0]) == set()


def test_pubmedqa_maps_other_names(medical_text, tmp_path):
    columns = {
        "question": "QUESTION",
        "answer": "final_decision",
        "answer_type": "CASE WHEN final_decision = 'maybe' THEN 'open' ELSE 'closed' END",
        "language": "'en'",
        "pmid": "pmid",
    }
    path = str(medical_text / "pubmedqa_pqal.jsonl")
    samples = ingest(
        rows_of(TableReader(name="pubmedqa", path=path, columns=columns), tmp_path), IngestConfig()
    ).samples
    assert Counter(samples["answer"].to_pylist()) == {"yes": 552, "no": 338, "maybe": 110}
