"""Licences of a selection: their classes, mixtures refused, exports separated."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from curation.exports.write_export import export
from medsift.licence_classes import excluding, licence_class, obligations, spdx
from medsift.licence_rules import LicencesConfig, check_licences
from medsift.manifest import read
from tests.expect import raises_code


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("CC BY 4.0", "CC-BY-4.0"),
        ("cc-by-nc-sa-4.0", "CC-BY-NC-SA-4.0"),
        ("https://creativecommons.org/licenses/by-sa/3.0/", "CC-BY-SA-3.0"),
        ("http://creativecommons.org/publicdomain/zero/1.0", "CC0-1.0"),
        ("CC0", "CC0-1.0"),
        ("PhysioNet Credentialed Health Data License 1.5.0", None),
        ("by", None),
    ],
)
def test_names_and_deeds_become_spdx_identifiers(name: str, known: str | None):
    assert spdx(name) == known


@pytest.mark.parametrize(
    ("names", "pairs"),
    [
        (["CC BY 4.0", "MIT", "CC0-1.0", "CC BY-NC 4.0", None], []),
        (["CC BY-SA 4.0", "CC BY-NC 4.0"], [("CC-BY-NC-4.0", "CC-BY-SA-4.0")]),
        (["CC BY-NC-SA 4.0", "CC BY-NC 4.0"], []),
        (["CC BY-NC-SA 4.0", "CC BY-SA 4.0"], [("CC-BY-NC-SA-4.0", "CC-BY-SA-4.0")]),
        (["CC BY-SA 3.0", "CC BY-SA 4.0", "ODbL-1.0"],
         [("CC-BY-SA-3.0", "ODbL-1.0"), ("CC-BY-SA-4.0", "ODbL-1.0")]),
        (["CC BY-ND 4.0", "ODbL-1.0"], [("CC-BY-ND-4.0", "ODbL-1.0")]),
    ],
)  # fmt: skip
def test_pairs_that_no_common_licence_satisfies(names, pairs):
    assert excluding(names) == pairs
    assert excluding(reversed(names)) == pairs


def test_licences_of_one_group_never_exclude_each_other():
    names = ["CC BY 4.0", "MIT", "CC BY-NC 4.0", "CC BY-SA 4.0", "CC BY-SA 3.0", "CC BY-NC-SA 4.0",
             "ODbL-1.0", "GPL-3.0", "CC BY-ND 4.0", "CC BY-NC-ND 4.0", "x", None]  # fmt: skip
    for pair in combinations(names, 2):
        if licence_class(pair[0]).group == licence_class(pair[1]).group:
            assert excluding(pair) == []


def test_obligations_are_those_of_all_licences():
    assert obligations(["CC BY-SA 4.0", "CC BY-NC 4.0", None]) == [
        *("attribution", "non-commercial", "share-alike (CC-BY-SA)", "unknown terms")
    ]
    assert obligations(["CC0-1.0"]) == []


def test_refused_mixtures_and_licences_are_named():
    mixture = ["CC BY-SA 4.0", "CC BY-NC 4.0"]
    check_licences(mixture, LicencesConfig())
    for conflicts in ("refuse", "separate"):
        with raises_code("licences_exclude_each_other", pairs=[("CC-BY-NC-4.0", "CC-BY-SA-4.0")]):
            check_licences(mixture, LicencesConfig(conflicts=conflicts))
    check_licences(mixture, LicencesConfig(conflicts="separate"), separable=True)
    allow = LicencesConfig(allow=("CC-BY-SA-4.0",))
    check_licences(["CC BY-SA 4.0"], allow)
    with raises_code("licence_not_allowed", licences=["MIT", None]):
        check_licences(["MIT", None], allow)


@pytest.fixture
def mixed(samples, write_selection, tmp_path) -> Path:
    """A selection of a recipe that separates licences, two of which exclude each other."""
    licences = ("CC BY-SA 4.0", "CC BY-NC 4.0", None)
    lines = [line | {"license": licences[number % 3]} for number, line in enumerate(samples)]
    manifest = write_selection(tmp_path / "mixed", lines)
    import duckdb

    with duckdb.connect(manifest) as con:
        con.execute(
            "UPDATE runs SET recipe = ?", [json.dumps({"licences": {"conflicts": "separate"}})]
        )
    return manifest


@pytest.mark.parametrize(("format", "suffix"), [("parquet", ".parquet"), ("hf", "")])
def test_separated_licences_are_exports_of_their_own(mixed: Path, tmp_path: Path, format, suffix):
    done = export(mixed, format, tmp_path / f"out{suffix}")
    groups = ("non-commercial", "share-alike-CC-BY-SA", "unknown")
    assert done.rows == 9
    for group in groups:
        place = tmp_path / "out" / group if not suffix else tmp_path / f"out.{group}{suffix}"
        files = sorted(place.rglob("*.parquet")) if place.is_dir() else [place]
        rows = [
            row for file in files for row in pq.read_table(file, columns=["license"]).to_pylist()
        ]
        assert len(rows) == 3
        assert {licence_class(row["license"]).group for row in rows} == {group}
        sheet = (
            place / "DATASHEET.md"
            if place.is_dir()
            else place.with_name(f"{place.name}.DATASHEET.md")
        )
        assert "| samples | 3 |" in sheet.read_text(encoding="utf-8")
    assert read(mixed, "SELECT sum(rows) AS n FROM exports")["n"].to_pylist() == [9]


def test_the_datasheet_says_what_is_in_what_is_missing_and_what_was_asked(manifest, tmp_path):
    done = export(manifest, "parquet", tmp_path / "set.parquet")
    text = (tmp_path / "set.parquet.DATASHEET.md").read_text(encoding="utf-8")
    assert tmp_path / "set.parquet.DATASHEET.md" in done.files
    for part in ("CC BY 4.0", "attribution", "unknown terms", "By modality", "Known gaps",
                 "No row was withdrawn", "Identifiers were not looked for"):  # fmt: skip
        assert part in text
    rai = json.loads((tmp_path / "set.parquet.croissant.json").read_text(encoding="utf-8"))
    assert "http://mlcommons.org/croissant/RAI/1.0" in rai["conformsTo"]
    assert any("no licence" in line for line in rai["rai:dataLimitations"])
    assert rai["rai:personalSensitiveInformation"]
