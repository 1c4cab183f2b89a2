"""A comparison against plain counting in Python, and what it refuses."""

from __future__ import annotations

import json
import math
import random
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from curation.compare import compare_selections, comparison_table
from curation.selection.budget import estimate_tokens
from medsift import records
from medsift.manifest import RunRecord, append_tables, write_manifest
from tests.expect import raises_code

SAMPLES = 40
NAMES = ("kept", "small", "other")


def sample(index: int, chance: random.Random) -> dict[str, Any]:
    images = [f"im{chance.randrange(12)}" for _ in range(chance.randrange(3))]
    question, answer = "é?" * chance.randint(1, 40), "是" * chance.randint(0, 9)
    return {
        "sample_id": f"id{index:02d}",
        "row_id": f"s:f:{index}",
        "source": "s",
        "modality": chance.choice(["ct", "mr", "xray"]),
        "question": question,
        "answer": answer,
        "messages": [
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ],
        "refs": images,
        "images": images,
    }


@pytest.fixture(scope="module")
def tables() -> dict[str, list[dict[str, Any]]]:
    chance = random.Random(11)
    samples = [sample(index, chance) for index in range(SAMPLES)]
    chosen = {"kept": samples, "small": chance.sample(samples, 12), "other": samples[3:11]}
    return {
        "rows": [
            {"row_id": line["row_id"], "source": "s", "file": "f", "index": index}
            for index, line in enumerate(samples)
        ],
        "samples": samples,
        "scores": [
            {
                "sample_id": line["sample_id"],
                "scorer": scorer,
                "value": None if index % 7 == 0 else (math.nan if index % 11 == 0 else value),
                "percentile": None if index % 7 == 0 or index % 11 == 0 else chance.random(),
                "stratum": line["modality"],
            }
            for scorer in ("alignment", "quality")
            for index, line in enumerate(samples)
            for value in [chance.gauss(0, 1)]
        ],
        "selections": [
            {
                "selection": name,
                "rank": rank,
                "sample_id": line["sample_id"],
                "row_id": line["row_id"],
                "weight": SAMPLES / len(lines),
                "stratum": line["modality"],
            }
            for name, lines in chosen.items()
            for rank, line in enumerate(lines)
        ],
        "strata": [
            {"stratum": name, "pool": sum(line["modality"] == name for line in samples)}
            for name in ("ct", "mr", "xray", "empty")
        ],
        "selection_settings": [
            {"selection": "small", "ordinal": 0, "method": "facility_location", "budget": "30%",
             "coverage": 0.75, "objective": 9.5},
        ],
        "curves": [
            {"selection": "other", "size": size, "coverage": size / 100} for size in (1, 8, 4)
        ],
    }  # fmt: skip


def written(path: Path, tables: dict[str, list[dict[str, Any]]], run: str = "run-1") -> Path:
    schemas = {"rows": records.ROWS, "samples": records.SAMPLES}
    arrow = {
        name: pa.Table.from_pylist(lines, schema=schemas.get(name))
        for name, lines in tables.items()
    }
    write_manifest(path, arrow, RunRecord(run, "test", datetime(2026, 1, 1)))
    return path


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory, tables: Any) -> Path:
    return written(tmp_path_factory.mktemp("compare") / "manifest.duckdb", tables)


def chosen(tables: Any, name: str) -> list[dict[str, Any]]:
    rows = {line["row_id"] for line in tables["selections"] if line["selection"] == name}
    return [line for line in tables["samples"] if line["row_id"] in rows]


def test_overlap_counts_rows_and_images_that_both_have(manifest, tables):
    found = compare_selections(manifest, NAMES)
    assert [(pair["a"], pair["b"]) for pair in found.overlaps] == [
        ("kept", "small"), ("kept", "other"), ("small", "other"),
    ]  # fmt: skip
    for pair in found.overlaps:
        a, b = chosen(tables, pair["a"]), chosen(tables, pair["b"])
        for what, get in (
            ("rows", lambda lines: {line["row_id"] for line in lines}),
            ("images", lambda lines: {image for line in lines for image in line["images"]}),
        ):
            both, either = get(a) & get(b), get(a) | get(b)
            assert pair[what] == len(both)
            assert pair[f"{what}_jaccard"] == pytest.approx(len(both) / len(either))


def test_profiles_match_plain_counting(manifest, tables):
    found = compare_selections(manifest, NAMES)
    for name, profile in zip(NAMES, found.profiles, strict=True):
        lines = chosen(tables, name)
        assert profile["samples"] == len(lines)
        assert profile["weight"] == pytest.approx(SAMPLES)
        assert profile["strata"] == len({line["modality"] for line in lines})
        assert profile["text_only"] == sum(not line["images"] for line in lines)
        arrow = pa.Table.from_pylist(lines, schema=records.SAMPLES)
        assert profile["tokens"] == int(estimate_tokens(arrow).sum())
        shown = {image for line in lines for image in line["images"]}
        each = [sum(image in line["images"] for line in lines) for image in shown]
        assert profile["images"] == len(shown)
        assert profile["per_image_mean"] == pytest.approx(np.mean(each))
        assert profile["per_image_max"] == max(each)
        for column in ("question", "answer"):
            lengths = [len(line[column]) for line in lines]
            assert profile[f"{column}_mean"] == pytest.approx(np.mean(lengths))
            assert profile[f"{column}_median"] == pytest.approx(np.median(lengths))
            assert profile[f"{column}_p90"] == pytest.approx(np.quantile(lengths, 0.9))


def test_coverage_is_that_of_the_settings_or_else_the_end_of_the_curve(manifest):
    kept, small, other = compare_selections(manifest, NAMES).profiles
    assert (small["method"], small["budget"], small["coverage"]) == (
        "facility_location", "30%", 0.75,
    )  # fmt: skip
    assert (other["method"], other["coverage"]) == (None, 0.08)
    assert kept["coverage"] is None


def test_strata_stand_side_by_side_with_those_that_nothing_was_taken_of(manifest, tables):
    found = compare_selections(manifest, ("small", "other"))
    pools = {line["stratum"]: line["pool"] for line in tables["strata"]}
    assert {line["stratum"]: line["pool"] for line in found.strata} == pools
    for line in found.strata:
        expected = [
            sum(one["modality"] == line["stratum"] for one in chosen(tables, name))
            for name in found.names
        ]
        assert line["selected"] == expected
        pool = line["pool"]
        assert line["share"] == [count / pool if pool else None for count in expected]
    assert [line["pool"] for line in found.strata] == sorted(pools.values(), reverse=True)


def test_scores_are_means_over_samples_that_have_one(manifest, tables):
    found = compare_selections(manifest, ("small", "other"))
    assert [line["scorer"] for line in found.scores] == ["alignment", "quality"]
    for line in found.scores:
        for name, cell in zip(found.names, line["cells"], strict=True):
            ids = {one["sample_id"] for one in chosen(tables, name)}
            own = [
                score
                for score in tables["scores"]
                if score["scorer"] == line["scorer"] and score["sample_id"] in ids
            ]
            values = [s["value"] for s in own if s["value"] is not None]
            values = [value for value in values if math.isfinite(value)]
            ranks = [s["percentile"] for s in own if s["percentile"] is not None]
            assert cell["n"] == len(values)
            assert cell["mean"] == pytest.approx(np.mean(values))
            assert cell["median"] == pytest.approx(np.median(values))
            assert cell["percentile"] == pytest.approx(np.mean(ranks))


def test_a_selection_is_all_of_itself_whatever_the_order_of_rows(tmp_path, tables, manifest):
    backwards = {name: lines[::-1] for name, lines in tables.items()}
    again = written(tmp_path / "m.duckdb", backwards)
    assert compare_selections(again, NAMES) == compare_selections(manifest, NAMES)
    copies = [line | {"selection": "twin"} for line in tables["selections"]
              if line["selection"] == "small"]  # fmt: skip
    append_tables(again, "run-1", {"selections": pa.Table.from_pylist(copies)})
    [pair] = compare_selections(again, ("small", "twin")).overlaps
    assert (pair["rows_jaccard"], pair["images_jaccard"]) == (1.0, 1.0)


def test_unknown_names_are_refused_with_those_that_exist(manifest):
    known = ["kept", "other", "small"]
    with raises_code("selection_unknown", selections=["big"], known=known):
        compare_selections(manifest, ("small", "big"))
    with raises_code("run_unknown", run_id="nope"):
        compare_selections(manifest, ("small", "other"), "nope")
    with raises_code("selection_invalid", selection="small"):
        compare_selections(manifest, ("small", "small"))


def test_the_newest_run_that_has_both_is_compared(tmp_path, tables, manifest):
    path = Path(shutil.copy(manifest, tmp_path))
    newer = {**tables, "selections": [
        line for line in tables["selections"] if line["selection"] != "other"]}  # fmt: skip
    written(path, newer, "run-2")
    assert compare_selections(path, ("kept", "small")).run_id == "run-2"
    assert compare_selections(path, ("kept", "other")).run_id == "run-1"
    assert compare_selections(path, ("kept", "small"), "run-1").run_id == "run-1"


def test_a_manifest_without_scores_curves_and_settings_is_compared(tmp_path, tables):
    import duckdb

    bare = {name: tables[name] for name in ("rows", "samples", "selections")}
    path = written(tmp_path / "m.duckdb", bare)
    with duckdb.connect(str(path)) as con:
        for table in ("selection_settings", "curves", "combinations", "correlations"):
            con.execute(f"DROP TABLE {table}")
        con.execute("UPDATE runs SET schema_version = 1")
    found = compare_selections(path, ("kept", "small"))
    assert found.scores == []
    assert [profile["coverage"] for profile in found.profiles] == [None, None]


def test_text_shows_every_part_and_json_holds_all(manifest):
    found = compare_selections(manifest, ("kept", "small"))
    text = comparison_table(found)
    for words in ("rows of kept and small", "facility_location", "quality", "xray", "100.0%"):
        assert words in text
    assert max(map(len, comparison_table(found, 60).splitlines())) <= 60
    assert json.loads(json.dumps(found.to_dict())) == found.to_dict()
