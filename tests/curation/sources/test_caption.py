from __future__ import annotations

import csv
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from curation.ingest import IngestConfig, ingest
from curation.sources import SourceConfig
from curation.sources.caption import FORMS, CaptionReader
from medsift.images.blob_store import BlobStore
from medsift.leakage_groups import components
from tests.expect import raises_code

PAIRS = [
    {"image": "1.png", "text": "Axial CT of the head.", "article": "PMC1", "figure": "1"},
    {"image": "2.png", "text": "Röntgenbild des Thorax.", "article": "PMC1", "figure": "2"},
    {"image": "3.png", "text": "胸部X线片显示右肺结节。", "article": "PMC2", "figure": "1"},
    {"image": "4.png", "text": " ", "article": "PMC3", "figure": "1"},
    {"image": "5.png", "text": "Axial  CT of\nthe head. ", "article": "PMC4", "figure": "1"},
]
TAGGED = [{**pair, "panel": "A", "licence": "CC BY 4.0", "modality": "CT"} for pair in PAIRS]


def as_csv(items):
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(items[0]))
    writer.writeheader()
    writer.writerows(items)
    return text.getvalue().encode()


def as_parquet(items):
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(items), sink)
    return sink.getvalue()


WRITERS = {
    "pairs.jsonl": lambda items: b"".join(json.dumps(item).encode() + b"\n" for item in items),
    "pairs.csv": as_csv,
    "pairs.parquet": as_parquet,
}


def read(folder, items, name="pairs.jsonl", **settings):
    (folder / name).write_bytes(WRITERS[name](items))
    reader = CaptionReader(name="p", path=str(folder / name), **settings)
    blobs = BlobStore(folder / "blobs")
    parts = [table for shard in reader.shards() for table in reader.read(shard, blobs)]
    return ingest(pa.concat_tables(parts), IngestConfig())


@pytest.mark.parametrize("name", WRITERS)
def test_a_row_of_any_format_is_one_request_and_the_caption(tmp_path, name):
    result = read(tmp_path, TAGGED, name)
    samples = result.samples.to_pylist()
    assert [sample["answer"] for sample in samples] == [
        pair["text"].strip() for pair in TAGGED if pair["text"].strip()
    ]
    assert {sample["question"] for sample in samples} <= set(FORMS)
    assert all(len(sample["messages"]) == 2 for sample in samples)
    assert {sample["task_type"] for sample in samples} == {"caption"}
    assert {sample["license"] for sample in samples} == {"CC BY 4.0"}
    assert {sample["modality"] for sample in samples} == {"ct"}
    assert [json.loads(sample["extra"]) for sample in samples] == [
        {name: pair[name] for name in ("article", "figure", "panel")}
        for pair in TAGGED
        if pair["text"].strip()
    ]


def test_an_empty_caption_is_one_line_of_the_ledger_and_other_languages_stay(tmp_path):
    result = read(tmp_path, PAIRS)
    [fate] = result.decisions.to_pylist()
    assert (fate["row_id"], fate["reason"]) == ("p:pairs.jsonl:3", "blank_answer")
    assert result.samples["answer"].to_pylist()[2] == PAIRS[2]["text"]
    assert result.samples["license"].null_count == result.samples.num_rows


def test_equal_captions_have_one_request_whatever_their_spaces(tmp_path):
    questions = read(tmp_path, PAIRS).samples["question"].to_pylist()
    assert questions[0] == questions[-1]


@settings(deadline=None, max_examples=20)
@given(st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=8))
def test_every_caption_gets_a_request_of_the_list(tmp_path_factory, texts):
    pairs = [{"image": "1.png", "text": text} for text in texts]
    folder = tmp_path_factory.mktemp("pairs")
    rows = read(folder, pairs)
    assert set(rows.samples["question"].to_pylist()) <= set(FORMS)
    assert rows.samples.num_rows + rows.decisions.num_rows == len(texts)


def test_no_split_cuts_an_article(tmp_path):
    samples = read(tmp_path, PAIRS).samples
    ids = [[f"image {row}"] for row in range(samples.num_rows)]
    samples = samples.set_column(samples.schema.get_field_index("images"), "images", [ids])
    groups = pa.table({"image_id": [one[0] for one in ids], "group_id": [one[0] for one in ids]})
    label = components(samples, groups, "case").tolist()
    articles = samples["study_id"].to_pylist()
    assert articles == ["PMC1", "PMC1", "PMC2", "PMC4"]
    assert [label[0] == other for other in label] == [True, True, False, False]


def test_columns_map_the_text_the_article_and_either_spelling_of_the_licence(tmp_path):
    pairs = [{"file": "1.png", "legend": "A CT.", "pmcid": 7, "terms": "CC0"}]
    columns = {"image": "file", "text": "legend", "article": "pmcid", "licence": "terms"}
    [sample] = read(tmp_path, pairs, columns=columns).samples.to_pylist()
    assert (sample["answer"], sample["study_id"], sample["license"]) == ("A CT.", "7", "CC0")
    assert json.loads(sample["extra"])["article"] == "7"


def test_a_source_without_the_caption_or_with_questions_of_its_own_is_refused(tmp_path):
    with raises_code("source_column_unknown"):
        read(tmp_path, [{"image": "1.png", "title": "A CT."}])
    with raises_code("target_missing"):
        read(tmp_path, [{"text": "A CT."}])
    source = {"reader": "caption", "name": "p", "path": "x", "columns": {"question": "q"}}
    with pytest.raises(ValidationError, match=r"columns\.question"):
        TypeAdapter(SourceConfig).validate_python(source)
