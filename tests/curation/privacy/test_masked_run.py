"""Nothing that a run with masking writes says what was masked."""

from __future__ import annotations

import gzip
import io
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from curation.exports.write_export import export
from curation.privacy.line_kinds import line_kind
from curation.privacy.settings import KEPT_KINDS
from curation.privacy.text_reader import TextReader
from medsift.images.curated import read_picture
from medsift.manifest import read
from tests.curation.privacy.conftest import PlantedSet


def contents(path: Path) -> Iterator[bytes]:
    """Yield the bytes of a file, and what is packed in it."""
    data = path.read_bytes()
    yield data
    if path.suffix == ".parquet":
        yield repr(pq.read_table(path).to_pylist()).encode()
        yield "\n".join(map(str, pq.read_table(path).to_pylist())).encode()
    if path.suffix == ".duckdb":
        for (name,) in (
            (name,)
            for name in read(path, "SELECT table_name FROM duckdb_tables()")[
                "table_name"
            ].to_pylist()
        ):
            yield str(read(path, f"FROM {name}").to_pylist()).encode()
    if data[:2] == b"\x1f\x8b":
        yield gzip.decompress(data)
    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(path) as archive:
            yield from (archive.read(name) for name in archive.namelist())


def forms(identifier: str) -> set[bytes]:
    """Return the bytes that an identifier has in UTF-8, UTF-16 of both orders, and escaped."""
    # The high byte at one end belongs to one order only, and is zero for most texts.
    wide = identifier.encode("utf-16-le")
    two = {wide[:-1]} if identifier.isascii() else {wide, identifier.encode("utf-16-be")}
    return {identifier.encode(), identifier.encode("unicode_escape"), *two}


def files_that_say(folder: Path, identifiers: set[str]) -> list[tuple[str, str]]:
    """Return (identifier, file) of every planted identifier in a file below `folder`."""
    wanted = [(identifier, form) for identifier in identifiers for form in forms(identifier)]
    found = []
    for path in sorted(file for file in folder.rglob("*") if file.is_file()):
        for data in contents(path):
            found += [(identifier, path.name) for identifier, form in wanted if form in data]
    return found


def test_nothing_that_a_masked_run_writes_says_what_was_masked(
    masked_run, planted: PlantedSet, vectors: Path, tmp_path: Path, caplog
):
    run_dir = masked_run.run_dir
    assert files_that_say(planted.root, planted.identifiers)  # the search itself finds them
    assert files_that_say(run_dir, planted.identifiers) == []
    assert files_that_say(vectors, planted.identifiers) == []
    for kind in ("parquet", "llava", "messages"):
        export(masked_run.manifest, kind, tmp_path / f"{kind}.out", "kept")
    for kind in ("hf", "webdataset"):
        export(masked_run.manifest, kind, tmp_path / kind, "kept")
    assert files_that_say(tmp_path, planted.identifiers) == []
    assert not any(identifier in caplog.text for identifier in planted.identifiers)


def test_what_a_masked_picture_still_shows_is_markers_and_scales(masked_run, planted: PlantedSet):
    reader = TextReader()
    shown = read(
        masked_run.manifest,
        "SELECT image_id, ref FROM images JOIN masked_images USING (run_id, image_id)",
    )
    assert shown.num_rows == len(planted.pictures)
    for line in shown.to_pylist():
        again = reader.lines(read_picture(line["ref"], line["image_id"]), thoroughly=True)
        kinds = {line_kind(one.text) for one in again}
        assert kinds <= set(KEPT_KINDS)
        assert kinds  # the side marker and the scale stay


def test_only_what_identifies_is_painted(masked_run, planted: PlantedSet):
    sql = "SELECT image_id, ref, painted FROM images JOIN masked_images USING (run_id, image_id)"
    lines = read(masked_run.manifest, sql).to_pylist()
    for line in lines:
        after = np.asarray(read_picture(line["ref"], line["image_id"]).convert("L"), np.int16)
        picture = min(
            planted.pictures, key=lambda one: np.abs(np.asarray(one.image, np.int16) - after).mean()
        )
        changed = np.asarray(picture.image) != after
        assert changed.mean() <= line["painted"] <= 0.15
        for kind, _, (x, y, width, height) in picture.lines:
            share = changed[y : y + height, x : x + width].mean()
            # Where the ground is plain, only the letters change.
            assert (share > 0.2) == (kind in ("name", "date", "number")), kind


def test_findings_have_class_and_place_and_masked_rows_their_lineage(masked_run):
    counted = read(
        masked_run.manifest, "SELECT kind, count(*) AS n FROM privacy_findings GROUP BY kind"
    )
    kinds = dict(zip(counted["kind"].to_pylist(), counted["n"].to_pylist(), strict=True))
    assert {
        "name",
        "date",
        "number",
        "phone",
        "address",
        "email",
        "url",
        "case_link",
        "side",
        "scale",
    } <= set(kinds)
    lineage = read(masked_run.manifest, "SELECT * FROM masked_images").to_pylist()
    assert all(line["original_id"] not in (None, line["image_id"]) for line in lineage)
    assert all(line["readings"] >= 2 and line["verdict"] == "clean" for line in lineage)


def test_equal_patients_stay_equal_under_their_pseudonyms(masked_run):
    sql = "SELECT DISTINCT patient_id FROM samples"
    ids = read(masked_run.manifest, sql)["patient_id"].to_pylist()
    assert len(ids) == 5
    assert all(name.startswith("patient-") for name in ids)


@pytest.fixture
def later_run(masked_run, masked_recipe, tmp_path, monkeypatch):
    """The same recipe in another run directory, with a warm cache."""
    from curation.pipeline import curate
    from medsift.execution import LocalExecutor
    from tests.curation.privacy.conftest import KEY

    monkeypatch.setenv("MEDSIFT_PRIVACY_KEY", KEY)
    return curate(masked_recipe, tmp_path / "later", LocalExecutor())


def test_another_run_of_one_cache_has_its_own_copies_and_the_same_ids(masked_run, later_run):
    sql = "SELECT image_id, ref FROM images ORDER BY image_id"
    first, second = read(masked_run.manifest, sql), read(later_run.manifest, sql)
    assert first["image_id"].equals(second["image_id"])
    refs = second["ref"].to_pylist()
    assert all(ref.startswith(str(later_run.run_dir)) for ref in refs)
    assert all(Image.open(ref).format == "PNG" for ref in refs)
    shutil.rmtree(later_run.run_dir)
