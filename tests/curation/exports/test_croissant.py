"""Croissant metadata: `mlcroissant` accepts it and reads records by it, and lineage is told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from curation.exports import FORMATS, hf, row_groups
from curation.exports.croissant import CONTEXT
from curation.exports.write_export import export
from medsift.manifest import read


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CROISSANT_CACHE", str(tmp_path / "croissant"))


def described(manifest: Path, format: str, folder: Path) -> Path:
    result = export(manifest, format, folder / "my data", record=False)
    [path] = [path for path in result.files if path.name.endswith("croissant.json")]
    return path


def records_of(path: Path) -> list[dict[str, Any]]:
    import mlcroissant

    return list(mlcroissant.Dataset(jsonld=path).records("samples"))


def text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


@pytest.mark.parametrize("format", FORMATS)
def test_metadata_is_valid_and_names_every_data_file(manifest, tmp_path, format):
    import mlcroissant

    path = described(manifest, format, tmp_path)
    metadata = mlcroissant.Dataset(jsonld=path).metadata
    assert metadata.ctx.issues.errors == set()
    assert metadata.ctx.issues.warnings == set()
    files = {str(path.parent / one.content_url) for one in metadata.file_objects}
    assert files == {
        str(one)
        for one in path.parent.rglob("*")
        if (one.is_file() and one.suffix not in (".json", ".md"))
        or one.name in ("my data", "data.json")
    }


@pytest.mark.parametrize(
    "format", ["hf", "parquet", "messages", "sharegpt", "llava", "qwen_vl", "ms_swift", "openai"]
)
def test_records_are_those_of_the_selection(manifest, tmp_path, format, expected):
    found = records_of(described(manifest, format, tmp_path))
    for name in ("sample_id", "row_id", "rank", "weight", "stratum"):
        values = [text(line[f"samples/{name}"]) for line in found]
        assert values == [line[name] for line in expected]
    if format in ("sharegpt", "llava", "qwen_vl"):
        assert [text(line["samples/conversations/value"][-1]) for line in found] == ["yes"] * 9
    if format not in ("messages", "ms_swift", "openai"):
        patients = [text(line["samples/patient_id"]) for line in found]
        assert patients == [line["patient_id"] for line in expected]


def test_records_hold_pictures_and_conversations(manifest, tmp_path, expected):
    pictures = [line["samples/images"] for line in records_of(described(manifest, "hf", tmp_path))]
    assert [len(images or []) for images in pictures] == [line["pictures"] for line in expected]
    assert all(isinstance(image, Image.Image) for images in pictures for image in images or [])
    folder = tmp_path / "again"
    folder.mkdir()
    turns = [
        line["samples/messages"] for line in records_of(described(manifest, "parquet", folder))
    ]
    assert [text(turn["samples/messages/role"]) for turn in turns[-3]] == [
        "system", "user", "assistant",
    ]  # fmt: skip
    assert text(turns[-1][0]["samples/messages/content"]) == 'Is "0" né?\nSay </b>.'


def test_several_files_are_read_as_one_set(manifest, tmp_path, monkeypatch, expected):
    monkeypatch.setattr(row_groups, "GROUP_ROWS", 4)
    monkeypatch.setattr(hf, "FILE_BYTES", 1)
    path = described(manifest, "hf", tmp_path)
    assert len(list(path.parent.glob("data/*.parquet"))) == 3
    found = records_of(path)
    assert [text(line["samples/sample_id"]) for line in found] == [
        line["sample_id"] for line in expected
    ]


def test_a_file_that_was_changed_is_found_out(manifest, tmp_path):
    from mlcroissant import GenerationError

    path = described(manifest, "parquet", tmp_path)
    with (tmp_path / "my data").open("ab") as file:
        file.write(b" ")
    with pytest.raises(GenerationError) as refused:
        records_of(path)
    assert "Hash of downloaded file" in str(refused.value.__cause__)


def test_lineage_names_run_fingerprints_selection_sources_and_licences(manifest, tmp_path):
    document = json.loads(described(manifest, "hf", tmp_path).read_text("utf-8"))
    activity = document["prov:wasGeneratedBy"]
    assert {one["name"]: one["value"] for one in activity["additionalProperty"]} == {
        "run_id": "run-a",
        "recipe_fingerprint": "r1",
        "input_fingerprint": "i1",
        "code_version": "0.1.0",
        "seed": 1,
        "selection": "small",
        "selection_method": "facility_location",
        "selection_budget": "75%",
        "selection_fingerprint": "f1",
        "selection_seed": 7,
    }
    assert activity["prov:wasAssociatedWith"]["version"] == "0.1.0"
    assert document["identifier"] == "run-a/small"
    assert document["datePublished"] == "2026-01-02T03:04:05Z"
    assert document["inLanguage"] == "en"
    spdx = "https://spdx.org/licenses/CC-BY-4.0.html"
    assert document["license"] == [spdx, "PhysioNet Restricted"]
    sources = document["prov:wasDerivedFrom"]
    assert sum(one["additionalProperty"]["value"] for one in sources) == 9
    assert {one["name"] for one in sources} == {"s", "t"}
    assert "/home/someone" not in json.dumps(document), "paths tell of a machine"


def test_context_is_the_standard_one_and_provenance():
    from mlcroissant._src.core.rdf import make_context

    assert set(CONTEXT) - set(make_context()) == {"prov"}
    standard = make_context()
    assert all(CONTEXT[term] == meaning for term, meaning in standard.items())


def test_a_manifest_of_the_layout_before_selections_had_settings_is_exported(manifest, tmp_path):
    import duckdb

    old = shutil.copy(manifest, tmp_path / "manifest.duckdb")
    with duckdb.connect(str(old)) as con:
        for table in ("selection_settings", "curves", "combinations", "correlations"):
            con.execute(f"DROP TABLE {table}")
        con.execute("UPDATE runs SET schema_version = 1")
    document = json.loads(described(old, "parquet", tmp_path).read_text("utf-8"))
    assert document["description"].startswith("9 samples. ")
    assert read(old, "SELECT max(schema_version) AS v FROM runs")["v"].to_pylist() == [1]


def test_samples_without_licence_or_language_leave_them_out(tmp_path, samples, write_selection):
    plain = [line | {"license": None, "language": None} for line in samples]
    path = write_selection(tmp_path / "manifest.duckdb", plain)
    document = json.loads(described(path, "parquet", tmp_path).read_text("utf-8"))
    assert "license" not in document
    assert "inLanguage" not in document
