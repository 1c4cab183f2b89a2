"""What the page tells, against plain counting, and what it refuses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curation.report import write_report
from curation.report.data import BINS, ReportFacts, read_facts
from curation.report.figures import draw, plain
from curation.report.gallery import MAX_GROUPS, read_gallery
from curation.report.selection_figures import heat_map
from medsift.manifest import open_manifest, resolve_run
from medsift.pages.number_format import clock, number, share, similarity
from medsift.pages.thumbnail import thumbnail
from tests.expect import raises_code


def facts_of(manifest: Path) -> ReportFacts:
    with closing(open_manifest(manifest)) as connection:
        return read_facts(connection, resolve_run(manifest))


def test_histogram_counts_match_numpy(
    write_small: Callable[..., Path], tmp_path: Path, full_run: Callable[..., Any]
) -> None:
    tables = full_run(tmp_path, images=30)
    found = facts_of(write_small(tmp_path / "manifest.duckdb", tables)).qualities[1]
    values = np.array([image["entropy"] for image in tables["images"]], np.float32)
    expected, edges = np.histogram(values.astype(np.float64), BINS)
    assert np.add(found.counts["kept"], found.counts["dropped"]).tolist() == expected.tolist()
    assert found.edges == pytest.approx(edges.tolist())
    assert sum(found.counts["dropped"]) == 10


def test_scores_are_counted_by_modality_where_they_are_few(
    write_small: Callable[..., Path], tmp_path: Path, full_run: Callable[..., Any], hostile: str
) -> None:
    tables = full_run(tmp_path, images=16)
    few = facts_of(write_small(tmp_path / "few.duckdb", tables)).scores[0]
    expected = Counter(sample["modality"] for sample in tables["samples"])
    assert {name: sum(counts) for name, counts in few.counts.items()} == expected
    assert list(few.counts)[-1] == hostile, "the rarest comes last"
    for place, sample in enumerate(tables["samples"]):
        sample["modality"] = f"modality {place % 9}"
    many = facts_of(write_small(tmp_path / "many.duckdb", tables)).scores[0]
    assert {name: sum(counts) for name, counts in many.counts.items()} == {"samples": 48}
    assert many.edges == few.edges


def test_selections_beyond_the_newest_are_counted_not_shown(
    write_small: Callable[..., Path], tmp_path: Path, full_run: Callable[..., Any]
) -> None:
    tables = full_run(tmp_path, images=3)
    tables["selections"] = [
        {"selection": f"s{place}", "rank": 0, "sample_id": line["sample_id"],
         "row_id": line["row_id"], "created_at": datetime(2026, 1, 1, place)}
        for place, line in enumerate(tables["samples"][:8])
    ]  # fmt: skip
    found = facts_of(write_small(tmp_path / "m.duckdb", tables)).selections
    assert (found.names, found.hidden) == ([f"s{place}" for place in range(2, 8)], 2)
    assert found.comparison is not None
    assert len(found.comparison.overlaps) == 15


def test_heat_map_holds_every_pair_given_in_one_direction() -> None:
    lines = [
        {"scorer": "a", "other": "b", "rho": 0.5, "n": 9},
        {"scorer": "a", "other": "answer_length", "rho": None, "n": 9},
        {"scorer": "b", "other": "answer_length", "rho": -0.9, "n": 9},
    ]
    [trace], _ = heat_map(lines)
    assert (trace["x"], trace["y"]) == (["answer length", "b"], ["a", "b"])
    assert trace["z"] == [[None, 0.5], [-0.9, None]]


def test_equal_and_missing_values_make_one_bin(
    write_small: Callable[..., Path], tmp_path: Path, full_run: Callable[..., Any]
) -> None:
    tables = full_run(tmp_path, images=8)
    for place, image in enumerate(tables["images"]):
        image["contrast"] = 5.0 if place else None
        image["entropy"] = float("nan") if place else 1.0
    contrast, entropy, *_ = facts_of(write_small(tmp_path / "m.duckdb", tables)).qualities
    assert (sum(map(sum, contrast.counts.values())), contrast.missing) == (7, 1)
    assert (sum(map(sum, entropy.counts.values())), entropy.missing) == (1, 7)


def test_image_is_kept_when_one_of_its_samples_is(
    write_small: Callable[..., Path], tmp_path: Path, full_run: Callable[..., Any]
) -> None:
    tables = full_run(tmp_path, images=4)
    spared = next(line for line in tables["decisions"] if line["action"] == "dropped")
    tables["decisions"].remove(spared)
    points = facts_of(write_small(tmp_path / "m.duckdb", tables)).points
    assert [point["kept"] for point in points] == [True, True, True, False]


def test_order_of_the_tables_does_not_change_the_page(
    write_small: Callable[..., Path], tmp_path: Path, full_run: Callable[..., Any]
) -> None:
    tables = full_run(tmp_path, images=12)
    backwards = {name: lines[::-1] for name, lines in tables.items()}
    pages = [
        write_report(write_small(folder / "m.duckdb", given), None, folder / "report.html")
        for folder, given in ((tmp_path / "a", tables), (tmp_path / "b", backwards))
    ]
    assert pages[0].read_bytes() == pages[1].read_bytes()


def test_gallery_is_balanced_over_kinds_with_survivors_first(full_manifest: Path) -> None:
    with closing(open_manifest(full_manifest)) as connection:
        groups = read_gallery(connection, "run-1")
    assert len(groups) <= MAX_GROUPS
    assert {group.kind for group in groups} == {"image_copy", "sample"}
    assert all([m.survivor for m in group.members] == [True, False] for group in groups)
    nearness = [g.members[1].similarity or 0 for g in groups if g.kind == "sample"]
    assert nearness == sorted(nearness)
    dropped = [group.members[1] for group in groups if group.kind == "sample"]
    assert all(member.fate == "image_copy" and member.question for member in dropped)


def test_large_group_says_how_many_it_hides(
    write_small: Callable[..., Path], tmp_path: Path, full_run: Callable[..., Any]
) -> None:
    tables = full_run(tmp_path, images=10)
    tables["clusters"] = [
        {"kind": "image_copy", "group_id": "g", "member": f"im{place:04d}", "survivor": "im0009"}
        for place in range(10)
    ]
    manifest = write_small(tmp_path / "m.duckdb", tables)
    with closing(open_manifest(manifest)) as connection:
        (group,) = read_gallery(connection, "run-1")
    assert group.members[0].name == "image-009.png"
    assert (len(group.members), group.hidden) == (5, 5)


def test_thumbnail_of_a_missing_or_broken_file_says_why(
    tmp_path: Path, draw_picture: Callable[..., None]
) -> None:
    broken, good = tmp_path / "broken.png", tmp_path / "good.png"
    broken.write_bytes(b"no picture")
    draw_picture(good, 0)
    assert thumbnail(str(tmp_path / "none.png")) == (None, "file not found")
    assert thumbnail(str(broken)) == (None, "not_an_image")
    picture, missing = thumbnail(str(good))
    assert missing is None
    assert picture is not None
    assert picture.startswith("data:image/jpeg;base64,")
    assert len(picture) < 16_000


def test_figures_hold_no_character_that_ends_a_script(full_manifest: Path) -> None:
    figures = draw(facts_of(full_manifest))
    assert len(figures) == 8
    assert not [name for name, text in figures.items() if set("<>&\u2028\u2029") & set(text)]


def test_plotly_shows_markup_as_text() -> None:
    assert plain("<b>&amp;</b>") == "&lt;b&gt;&amp;amp;&lt;/b&gt;"


def test_newest_run_is_reported_unless_named(
    full_manifest: Path,
    write_small: Callable[..., Path],
    tmp_path: Path,
    full_run: Callable[..., Any],
) -> None:
    manifest = tmp_path / "manifest.duckdb"
    write_small(manifest, full_run(tmp_path, images=2), name="small", run_id="run-a")
    write_small(manifest, full_run(tmp_path, images=4), name="large", run_id="run-b")
    assert facts_of(manifest).run["name"] == "large"
    page = write_report(manifest, "run-a", tmp_path / "report.html").read_text("utf-8")
    assert "<h1>small</h1>" in page


def test_unknown_run_is_refused_with_those_there_are(full_manifest: Path, tmp_path: Path) -> None:
    with raises_code("run_unknown", run_id="nope"):
        write_report(full_manifest, "nope", tmp_path / "report.html")
    assert not list(tmp_path.iterdir())


def test_missing_manifest_is_refused(tmp_path: Path) -> None:
    with raises_code("manifest_missing", path=str(tmp_path / "none.duckdb")):
        write_report(tmp_path / "none.duckdb", None, tmp_path / "report.html")


def test_output_that_cannot_be_written_is_one_clear_line(
    full_manifest: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    with raises_code("disk_refused"):
        write_report(full_manifest, None, tmp_path / "file" / "report.html")


def test_numbers_are_written_for_readers() -> None:
    assert (number(1234567), number(None), number(0.5, 2)) == ("1,234,567", "–", "0.50")
    assert (share(1, 8), share(1, 0)) == ("12.5%", "–")
    assert (similarity(0.99996), similarity(1.0)) == ("0.999", "1.000")
    assert [clock(s) for s in (0.424, 12.34, 245.2, 7380.0)] == [
        "0.42 s",
        "12.3 s",
        "4 min 05 s",
        "2 h 03 min",
    ]
