"""Rows that name volumes: slices in their place, tags filled, faults one ledger row each."""

from __future__ import annotations

import base64
import io
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pydantic import ValidationError

from curation import image_pass
from curation.exports.write_export import export
from curation.pipeline import RunResult, curate
from curation.recipe import parse_recipe
from curation.sources.table import TableReader
from curation.sources.volume_slices import spread_marks
from medsift import records
from medsift.execution import LocalExecutor
from medsift.images import ImageError, ImagesConfig, decode
from medsift.images.blob_store import BlobStore
from medsift.leakage_groups import components
from medsift.manifest import read
from tests.expect import raises_code
from tests.medsift.images.dicom_files import (
    nibabel_files,
    pydicom_files,
    write_series,
    write_slice,
)

RECIPE = """
name: volumes
sources:
  - {{name: v, reader: table, path: {root}/rows.jsonl, volumes: {volumes},
      columns: {{z: z, split: split}}}}
encoder: {{kind: embedded}}
cache: {cache}
failures: {{tolerance: 0.99}}
strata: [modality, answer_type]
selections: [{{name: all_of_it, method: {{kind: random}}, budget: {{fraction: 1.0}}}}]
"""


def row(images: Any, **more: Any) -> dict[str, Any]:
    asked = {"question": f"What is seen in {images}?", "answer": f"finding of {images}"}
    return {**asked, "images": images, "z": None, "split": "train", **more}


def rows_of(root: Path, lines: list[dict[str, Any]], **volumes: Any) -> list[dict[str, Any]]:
    (root / "rows.jsonl").write_text("\n".join(map(json.dumps, lines)))
    reader = TableReader(
        name="v", path=str(root / "rows.jsonl"), columns={"z": "z"}, volumes=volumes
    )
    reader.check()
    tables = [
        one for shard in reader.shards() for one in reader.read(shard, BlobStore(root / "blobs"))
    ]
    assert all(table.schema.equals(records.ROWS) for table in tables)
    return pa.concat_tables(tables).to_pylist()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two series of one patient, one of another, a NIfTI volume, and a plain picture."""
    root = tmp_path_factory.mktemp("data")
    write_series(root / "a", [0, 2, 4, 6, 8])
    write_series(root / "b", [1, 3, 5], SeriesInstanceUID="1.9", SeriesNumber=9)
    other = {"PatientID": "Q", "StudyInstanceUID": "2.1", "SeriesInstanceUID": "2.2"}
    values = (np.indices((16, 16)).sum(0) * 40 + 9).astype(np.int16)
    write_slice(root / "c" / "1.dcm", 1, 0.0, Modality="MR", pixels=values, **other)
    shutil.copy(nibabel_files() / "anatomical.nii", root)
    noise = np.random.default_rng(0).integers(0, 255, (40, 40)).astype(np.uint8)
    Image.fromarray(noise).save(root / "plain.png")
    return root


def test_each_volume_is_followed_by_its_slices_in_its_place(data: Path) -> None:
    asked = row(["plain.png", "a", "anatomical.nii"])
    asked["question"] = "See <image>, then <image> and <image>."
    [line] = rows_of(data, [asked], slices="uniform:3")
    assert line["error"] is None
    assert len(line["images"]) == 7
    assert line["images"][0] == str(data / "plain.png")
    marks = [part.count("<image>") for part in line["messages"][0]["content"].split("n")]
    assert sum(marks) == 7
    assert line["messages"][0]["content"].startswith("See <image>, then <image><image><image> and")
    assert [one["place"] for one in line["volumes"]] == [1, 2]


@pytest.mark.parametrize("sizes", [[1, 3], [2, 2, 1], []])
def test_marks_are_spread_only_where_each_picture_has_one(sizes: list[int]) -> None:
    texts = ["<image>" * len(sizes), None, "no mark"]
    assert spread_marks(texts, sizes)[0] == "<image>" * sum(sizes)
    assert spread_marks(["<image><image>", "x"], [3]) == ["<image><image>", "x"]


def test_a_row_says_around_which_slice(data: Path) -> None:
    lines = [row("a", z=str(z)) for z in (1, 3, 5, "6 mm", 9)] + [row("a")]
    found = rows_of(data, lines, slices="around:z:1")
    shown = [one["volumes"][0]["shown"] if one["volumes"] else one["error"] for one in found]
    assert shown == [[1], [3], [5], [4], "volume_slice_unknown", "volume_slice_unknown"]


def test_a_target_that_a_sampler_needs_is_asked_for_before_anything_is_read(data: Path) -> None:
    (data / "rows.jsonl").write_text(json.dumps(row("a")))
    volumes = {"slices": "around:finding"}
    reader = TableReader(name="v", path=str(data / "rows.jsonl"), volumes=volumes)
    with raises_code("target_missing", targets=["finding"]):
        reader.check()


def test_files_that_arrive_as_bytes_are_volumes_too(data: Path) -> None:
    dicom = base64.b64encode((data / "c" / "1.dcm").read_bytes()).decode()
    nifti = base64.b64encode((data / "anatomical.nii").read_bytes()).decode()
    buffer = io.BytesIO()
    Image.new("L", (9, 9), 3).save(buffer, "PNG")
    png = base64.b64encode(buffer.getvalue()).decode()
    named = [{"bytes": one} for one in (dicom, nifti, png)]
    found = rows_of(data, [row(one) for one in named], slices="uniform:2")
    assert [len(one["images"]) for one in found] == [1, 2, 1]
    assert [bool(one["volumes"]) for one in found] == [True, True, False]


def test_a_series_of_a_folder_that_links_elsewhere_is_not_reached(
    data: Path, tmp_path: Path
) -> None:
    write_series(tmp_path / "outside", [0, 1])
    (data / "link").symlink_to(tmp_path / "outside")
    found = rows_of(data, [row("link"), row("link#7"), row("../outside#7"), row("a#7")])
    assert [one["error"] for one in found] == ["reference_escapes"] * 3 + [None]
    (data / "link").unlink()


FAULTS = {
    "nothing.nii": "image_missing",
    "cut.dcm": "image_truncated",
    "locked.dcm": "image_unsupported",
    "plan.dcm": "not_an_image",
    "notes": "not_an_image",
    "mixed": "volume_patients_mixed",
    "several": "volume_series_several",
    "several#44": "volume_series_unknown",
    "functional.nii": "volume_not_three_dimensional",
    "bare.nii": "volume_orientation_missing",
    "colour.nii": "image_unsupported",
}


def broken(root: Path) -> None:
    """Write what each of `FAULTS` names."""
    import nibabel as nib

    whole = write_slice(root / "whole.dcm", 1, 0.0).read_bytes()
    (root / "cut.dcm").write_bytes(whole[:-60])
    (root / "locked.dcm").write_bytes(bytes.fromhex("30820a0006092a864886f70d010703") + whole)
    shutil.copy(pydicom_files() / "rtplan.dcm", root / "plan.dcm")
    (root / "notes").mkdir()
    (root / "notes" / "readme.txt").write_text("nothing")
    write_series(root / "mixed", [0, 1])
    write_slice(root / "mixed" / "x.dcm", 3, 2.0, PatientID="P-18")
    write_series(root / "several", [0, 1])
    write_slice(root / "several" / "x.dcm", 3, 2.0, SeriesInstanceUID="9.9", SeriesNumber=9)
    shutil.copy(nibabel_files() / "functional.nii", root)
    bare = nib.Nifti1Image(np.zeros((4, 4, 4), np.int16), None)
    bare.to_filename(root / "bare.nii")
    colour = np.zeros((4, 4, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.Nifti1Image(colour, np.eye(4)).to_filename(root / "colour.nii")


def test_every_fault_of_a_volume_fails_its_row_alone_with_its_reason(
    tmp_path: Path, data: Path
) -> None:
    broken(tmp_path)
    shutil.copytree(data / "a", tmp_path / "a")
    found = rows_of(tmp_path, [row(name) for name in FAULTS] + [row("a")])
    assert {one: line["error"] for one, line in zip(FAULTS, found, strict=False)} == FAULTS
    assert found[-1]["error"] is None
    assert all("\n" not in line["detail"] for line in found[:-1])
    assert not any("P-18" in (line["detail"] or "") for line in found)


@pytest.mark.parametrize(
    "volumes",
    [
        *({"slices": "all"}, {"window": "bright"}, {"window": "40/0"}, {"rgb": ["lung", "bone"]}),
        *({"rgb": ["lung", "bone", "odd"]}, {"plane": "oblique"}, {"max_slices": 0}, {"other": 1}),
    ],
)
def test_settings_that_mean_nothing_are_refused(volumes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TableReader(name="v", path="x", volumes=volumes)


@pytest.fixture(scope="module")
def made(data: Path, tmp_path_factory: pytest.TempPathFactory, vectors: Path) -> Any:
    """A recipe over all volumes, its data folder and its run."""
    root = tmp_path_factory.mktemp("run")
    shutil.copytree(data, root / "data")
    (root / "key").write_bytes(b"s" * 32)
    lines = [
        row("a", answer="left", modality="mr"),
        row("a", question="Is it seen?", answer="yes"),
        row("b", split="test"),
        row("c"),
        row("anatomical.nii"),
        row("plain.png"),
        row("gone"),
    ]
    (root / "data" / "rows.jsonl").write_text("\n".join(map(json.dumps, lines)))
    volumes = f"{{slices: 'uniform:3', patient_key: {root}/key}}"
    text = RECIPE.format(root=root / "data", volumes=volumes, cache=vectors)
    recipe = parse_recipe(text)
    return root, recipe, curate(recipe, root / "run", LocalExecutor())


def ask(result: RunResult, sql: str) -> list[dict[str, Any]]:
    return read(result.manifest, sql).to_pylist()


def test_a_run_has_plane_spacing_window_and_tags_as_columns(made: Any) -> None:
    _, _, result = made
    lines = ask(
        result,
        "SELECT s.row_id, v.kind, v.plane, v.spacing_mm, v.window_shown, v.shown, v.slices, "
        "s.modality, s.body_part, s.sex, s.age_class, s.plane AS tag, len(s.images) AS pictures "
        "FROM volumes v JOIN samples s USING (run_id, row_id) ORDER BY v.row_id",
    )
    assert [line["kind"] for line in lines] == ["dicom series"] * 4 + ["nifti"]
    first = lines[0]
    assert (first["plane"], first["spacing_mm"], first["shown"]) == ("axial", 2.0, [1, 3, 5])
    assert (first["modality"], first["body_part"]) == ("mr", "chest")
    assert (first["sex"], first["age_class"]) == ("female", "middle aged")
    assert all(line["tag"] == line["plane"] for line in lines)
    assert all(line["pictures"] == len(line["shown"]) for line in lines)
    counted = ask(result, "SELECT name, value FROM measures WHERE name LIKE 'header: %'")
    assert counted == [{"name": "header: the row gives modality otherwise (v)", "value": 1.0}]
    [failed] = ask(result, "SELECT row_id, reason FROM decisions WHERE action = 'failed'")
    assert failed["reason"] == "image_missing"


def test_patients_have_digests_and_the_run_has_no_identifier(made: Any) -> None:
    root, _, result = made
    ids = ask(result, "SELECT patient_id, study_id, series_id FROM samples ORDER BY row_id")
    assert ids[0]["patient_id"] == ids[2]["patient_id"] != ids[3]["patient_id"]
    assert ids[0]["series_id"] != ids[2]["series_id"]
    assert ids[0]["study_id"] == ids[2]["study_id"]
    for file in (path for path in (root / "run").rglob("*") if path.is_file()):
        content = file.read_bytes()
        for word in (b"P-17", b"Doe^Jane", b"061Y"):
            assert word not in content, (file, word)


def test_slices_of_a_series_are_one_group_at_every_level(made: Any) -> None:
    _, _, result = made
    samples = read(
        result.manifest,
        "SELECT source, question, answer, series_id, study_id, patient_id, "
        "[i.image_id FOR i IN images] AS images FROM samples ORDER BY row_id",
    )
    ids = sorted({one for images in samples["images"].to_pylist() for one in images})
    groups = pa.table({"image_id": ids, "group_id": ids})
    by_image = components(samples, groups, "image").tolist()
    assert by_image[0] == by_image[1]
    assert len(set(by_image[1:])) == samples.num_rows - 1
    apart = samples.set_column(
        samples.schema.get_field_index("images"), "images", pa.array([[one] for one in ids[:6]])
    )
    assert components(apart, groups, "image").tolist()[:2] == [0, 0]
    assert components(samples, groups, "patient").tolist()[:4] == [0, 0, 0, 3]


def test_an_export_has_every_slice(made: Any, tmp_path: Path) -> None:
    _, _, result = made
    export(result.manifest, "messages", tmp_path / "m.jsonl", "all_of_it", record=False)
    lines = [json.loads(line) for line in (tmp_path / "m.jsonl").read_text().splitlines()]
    parts = Counter(
        sum(part["type"] == "image" for turn in line["messages"] for part in turn["content"])
        for line in lines
    )
    assert parts == {3: 3, 1: 2}
    assert {line["plane"] for line in lines} == {"axial", None}


def test_the_run_again_reads_nothing_and_a_changed_slice_reads_its_volume(
    made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, recipe, result = made
    again = curate(recipe, root / "run", LocalExecutor())
    assert again.run_id == result.run_id
    assert all(line["reused"] for line in ask(again, "SELECT reused FROM stages"))
    before = ask(again, "SELECT images FROM samples ORDER BY row_id")[3]
    seen: list[str] = []
    usual = image_pass.ImagePass.see

    def counted(self: Any, ref: str) -> Any:
        seen.append(ref)
        return usual(self, ref)

    monkeypatch.setattr(image_pass.ImagePass, "see", counted)
    values = (np.indices((16, 16)).prod(0) * 9 + 4).astype(np.int16)
    other = {"PatientID": "Q", "StudyInstanceUID": "2.1", "SeriesInstanceUID": "2.2"}
    path = root / "data" / "c" / "1.dcm"
    write_slice(path, 1, 0.0, Modality="MR", pixels=values, **other)
    changed = curate(recipe, root / "run", LocalExecutor())
    assert changed.run_id != result.run_id
    assert len(seen) == 1
    query = f"SELECT images FROM samples WHERE run_id = '{changed.run_id}' ORDER BY row_id"
    after = ask(changed, query)
    assert after[3] != before


def test_without_volumes_a_volume_is_no_picture_and_the_fix_is_named() -> None:
    for name in ("anatomical.nii", "standard.nii.gz"):
        with pytest.raises(ImageError) as caught:
            decode((nibabel_files() / name).read_bytes(), name, ImagesConfig())
        assert caught.value.reason == "image_unsupported"
        assert "volumes" in caught.value.detail
