"""The evaluation page: its numbers are the manifest's, its texts are inert, a browser opens it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from evaluation.report import write_evaluation_page
from tests.expect import raises_code

SECTIONS = ("leaderboard", "strata", "robustness", "reliability", "worst")
THEMES = {
    "light": (),
    "dark": ("--force-dark-mode", "--blink-settings=preferredColorScheme=0"),
}
Browse = Callable[..., tuple[str, str]]


@pytest.fixture(scope="module")
def full_page(full_manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_evaluation_page(full_manifest, tmp_path_factory.mktemp("page") / "page.html")


@pytest.fixture(scope="module")
def full(full_page: Path, read_page: Any) -> Any:
    return read_page(full_page)


@pytest.fixture(scope="module")
def bare_page(
    items_of: Any, tables_of: Any, write_evaluations: Any, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """One model on one benchmark, originals alone, without probabilities."""
    folder = tmp_path_factory.mktemp("bare")
    tables = tables_of(items_of(folder, "vqa", 12), "guesser", sure=False)
    manifest = write_evaluations(folder / "manifest.duckdb", [tables])
    return write_evaluation_page(manifest, folder / "page.html")


def own_row(rows: list[list[str]], start: str) -> list[str]:
    [row] = [row for row in rows if row[0].startswith(start)]
    return row


@pytest.mark.parametrize(
    ("table", "model", "shown"),
    [
        (0, "looker", ["92.6%", "84.2–96.7%", "68", "20", "1.5%"]),
        (0, "guesser", ["75.0%", "63.8–83.6%", "68", "20", "5.9%"]),
        (2, "looker", ["76.1%", "68.4–82.4%", "138", "40", "10.1%"]),
        (2, "guesser", ["65.2%", "57.1–72.6%", "138", "40", "6.5%"]),
    ],
)
def test_leaderboard_shows_accuracy_with_its_interval_and_size(
    full: Any, table: int, model: str, shown: list[str]
) -> None:
    assert own_row(full.rows("leaderboard", table), model)[2:7] == shown


def test_open_answers_have_a_table_of_their_own(full: Any) -> None:
    [head, *rows] = full.rows("leaderboard", 3)
    assert head[:4] == ["Model", "exact match", "token F1", "token precision"]
    assert own_row(rows, "looker")[2] == "75.0% 59.1–86.2%"


def test_heat_map_shows_each_cell_and_leaves_absent_ones_empty(full: Any) -> None:
    assert full.rows("leaderboard", 0)[1][0].startswith("looker")
    assert full.rows("strata", 0) == [
        ["", "organ", "plane", "presence", "side", "all tasks"],
        ["ct", "75.0%* 12", "100.0%* 12", "91.7%* 12", "100.0%* 7", "90.7% 43"],
        ["mr", "100.0%* 3", "100.0%* 3", "100.0%* 3", "", "100.0%* 12"],
        ["xray", "100.0%* 2", "100.0%* 2", "100.0%* 2", "100.0%* 1", "100.0%* 10"],
        ["all modalities", "83.3%* 18", "94.4%* 18", "94.4%* 18", "100.0%* 8", "92.6% 68"],
    ]
    assert "9 replies are to items without a modality or a task" in full.words("strata")


def test_single_facets_stand_below_the_heat_map(full: Any) -> None:
    rows = full.rows("strata", 1)
    assert [row[0] for row in rows if len(row) == 1] == [
        "modality",
        "body part",
        "task type",
        "answer type",
        "language",
    ]
    start = rows.index(["body part"])
    assert rows[start + 3][:5] == ["not named", "", "95.0%*", "63.3–99.5%", "20"]


def test_robustness_shows_score_drop_and_flips_of_every_variant(full: Any) -> None:
    rows = {row[0]: row for row in full.rows("robustness", 0) if len(row) == 9}
    kinds = ("noise@", "rotation@", "paraphrase@")
    levels = [f"{kind}{level}" for kind in kinds for level in (1, 2, 3)]
    controls = ["typos", "no_image", "blank", "mask_region", "mask_elsewhere"]
    assert list(rows) == ["Variant", "original", *levels, "paraphrase@4", *controls]
    assert [row[2:] for name, row in rows.items() if name in ("no_image", "noise@3")] == [
        ["83.8%", "70.8–91.7%", "68", "8.8", "−4.0 to 21.4", "23.5%", "14.1–36.6%"],
        ["57.4%", "46.6–67.5%", "68", "35.3", "21.2 to 47.9", "47.1%", "36.2–58.2%"],
    ]
    assert [row[2:] for name, row in rows.items() if name in ("rotation@1", "mask_region")] == [
        ["95.0%*", "52.0–99.7%", "20", "0.0", "−19.0 to 19.0", "10.0%*", "2.0–37.6%"],
        ["65.8%", "50.7–78.2%", "38", "26.3", "11.0 to 40.4", "39.5%", "24.7–56.5%"],
    ]
    # A score above the original's is a negative drop.
    better = own_row(full.rows("robustness", 3), "typos")
    assert better[2:6] == ["88.4%", "80.4–93.4%", "138", "−12.3"]


def test_robustness_is_summed_up_with_the_four_way_table(full: Any) -> None:
    sums = {row[0].partition(":")[0]: row[1:] for row in full.rows("robustness", 1)[1:]}
    assert sums == {
        "worst case": ["23.5%", "13.2–38.4%", "68"],
        "mean over all orders of the options": ["88.8%*", "81.4–93.4%", "20"],
        "right in every order of the options": ["55.0%*", "32.5–75.6%", "20"],
        "grounding": ["18.4 points", "−6.2 to 41.0", "38"],
    }
    # Of vqa, because its four cells differ: consistent over inconsistent, reliant before not.
    assert [row[1:] for row in full.rows("robustness", 5)[1:]] == [
        ["15.2% 9.8–22.9%", "23.2% 16.6–31.4%"],
        ["36.2% 28.2–45.1%", "25.4% 18.8–33.3%"],
    ]


def test_reliability_shows_the_error_and_every_bin(full: Any) -> None:
    assert own_row(full.rows("reliability", 0), "looker")[1:] == ["11.7%", "11.3%", "48"]
    shown = [(row[1], row[4], row[6]) for row in full.rows("reliability", 1)[1:]]
    assert shown == [
        ("53.5%", "60.0%", "5"),
        ("65.3%", "100.0%", "5"),
        ("77.9%", "100.0%", "5"),
        ("85.3%", "100.0%", "5"),
        ("87.9%", "100.0%", "4"),
        ("89.9%", "100.0%", "5"),
        ("93.2%", "100.0%", "5"),
        ("95.3%", "100.0%", "5"),
        ("96.9%", "100.0%", "5"),
        ("99.5%", "100.0%", "4"),
    ]


def test_header_names_what_was_asked(full: Any) -> None:
    words = full.words("")
    assert "2,823 replies asked for, 21 not given." in words
    assert "Scored by protocol strict." in words
    assert full.rows("", 0)[1:] == [
        ["plain_set", "68", "20", "plain_setabababa", "plain_set_test.json", "strict", "3"],
        ["vqa", "138", "40", "vqaababababababa", "vqa_test.json", "strict", "3"],
    ]
    assert '"max_new_tokens": 64' in words
    assert "numpy2.4.0" in words
    assert "rotation@1 not of 12 items: it has 0 options" in words
    assert "Evaluation guesser-1, model 0123456789abcdef, adapter of training t1" in words
    assert "not a medical device" in full.text["worst"]


def test_contaminated_models_are_warned_of(full: Any) -> None:
    assert "Contaminated. guesser was trained despite leaks" in full.words("")
    assert "Its figures on plain_set and vqa may show" in full.words("")
    assert full.words("").count("Contaminated.") == 1
    assert own_row(full.rows("leaderboard", 0), "guesser")[0] == "guesser contaminated"


def test_every_section_has_its_place_in_the_contents(full: Any) -> None:
    assert list(full.text) == ["", *SECTIONS]
    links = [link["href"] for tag, link in full.elements if tag == "a"]
    assert links == [f"#{name}" for name in SECTIONS]


def test_markup_in_data_opens_no_element(full_page: Path, full: Any, breakout: str) -> None:
    assert breakout not in full_page.read_text(encoding="utf-8")
    # Two scripts, and the two diagrams as JSON.
    assert sum(tag == "script" for tag, _ in full.elements) == 4
    assert not [tag for tag, _ in full.elements if tag == "b" and _.get("onclick")]
    assert "{{ 7 * 7 }}" in full.words("worst")


def test_nothing_is_fetched(full: Any) -> None:
    sources = [
        value
        for _, attributes in full.elements
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "data", "action") and value is not None
    ]
    assert any(value.startswith("data:image/jpeg;base64,") for value in sources)
    assert all(value.startswith(("data:", "#")) for value in sources)
    [policy] = [given["content"] for _, given in full.elements if "http-equiv" in given]
    assert "default-src 'none'" in str(policy)


def test_page_without_variants_or_probabilities_says_so(bare_page: Path, read_page: Any) -> None:
    page = read_page(bare_page)
    assert page.words("robustness").endswith(
        "No variants were asked, so nothing is known of robustness."
    )
    assert "No model gave probabilities" in page.words("reliability")
    assert page.words("leaderboard").count("No best is named") == 0
    # plotly.js is not carried where nothing is drawn.
    assert bare_page.stat().st_size < 500_000
    assert sum(tag == "script" for tag, _ in page.elements) == 1


def test_null_metrics_are_dashes_and_not_zeros(
    items_of: Any, tables_of: Any, write_evaluations: Any, read_page: Any, tmp_path: Path
) -> None:
    tables = tables_of(items_of(tmp_path, "vqa", 6), "guesser", sure=False)
    lines = [
        one | {"value": None, "low": None, "high": None, "n": 0, "unparsed_rate": None}
        for one in tables["metrics"].to_pylist()
    ]
    tables["metrics"] = pa.Table.from_pylist(lines, schema=tables["metrics"].schema)
    tables["predictions"] = tables["predictions"].slice(0, 0)
    manifest = write_evaluations(tmp_path / "manifest.duckdb", [tables])
    page = read_page(write_evaluation_page(manifest, tmp_path / "page.html"))
    assert page.rows("leaderboard", 0)[1][2:7] == ["–", "", "0", "6", "–"]
    assert "nothing to score." in page.words("leaderboard")
    assert all(cell == "" for row in page.rows("strata", 0)[1:] for cell in row[1:])
    assert "No reply to an item as published was wrong" in page.words("worst")


def test_evaluation_without_metrics_is_listed_as_not_scored(
    items_of: Any, tables_of: Any, write_evaluations: Any, read_page: Any, tmp_path: Path
) -> None:
    tables = tables_of(items_of(tmp_path, "vqa", 6), "guesser")
    manifest = write_evaluations(
        tmp_path / "manifest.duckdb", [{"evaluations": tables["evaluations"]}]
    )
    page = read_page(write_evaluation_page(manifest, tmp_path / "page.html"))
    assert page.rows("leaderboard", 0)[1][2:7] == ["–", "", "–", "–", "–"]


def test_ten_models_stand_in_one_table(
    items_of: Any, tables_of: Any, write_evaluations: Any, read_page: Any, tmp_path: Path
) -> None:
    items = items_of(tmp_path, "vqa", 10)
    parts = [
        tables_of(items, f"model-{at}", known=0.3 + at / 20, seed=at, variants=("blank",))
        for at in range(10)
    ]
    manifest = write_evaluations(tmp_path / "manifest.duckdb", parts)
    page = read_page(write_evaluation_page(manifest, tmp_path / "page.html"))
    rows = page.rows("leaderboard", 0)[1:]
    values = [float(row[2].rstrip("%*")) for row in rows]
    assert len(rows) == 10
    assert values == sorted(values, reverse=True)
    assert "10 models on vqa" in page.words("")
    assert "The diagram shows the first 7 of 10 models." in page.words("reliability")
    assert len(page.rows("reliability", 0)) == 11


def test_models_of_one_name_are_told_apart(
    items_of: Any, tables_of: Any, write_evaluations: Any, read_page: Any, tmp_path: Path
) -> None:
    items = items_of(tmp_path, "vqa", 6)
    parts = [tables_of(items, name) for name in ("first", "second")]
    for tables in parts:
        lines = [one | {"model": "same"} for one in tables["evaluations"].to_pylist()]
        tables["evaluations"] = pa.Table.from_pylist(lines)
    manifest = write_evaluations(tmp_path / "manifest.duckdb", parts)
    page = read_page(write_evaluation_page(manifest, tmp_path / "page.html"))
    names = {row[0] for row in page.rows("leaderboard", 0)[1:]}
    assert names == {"first-1", "second-1"}


def test_newest_run_with_evaluations_is_shown_unless_named(
    items_of: Any, tables_of: Any, write_evaluations: Any, read_page: Any, tmp_path: Path
) -> None:
    items = items_of(tmp_path, "vqa", 6)
    manifest = tmp_path / "manifest.duckdb"
    write_evaluations(manifest, [tables_of(items, "old")], run_id="run-1")
    write_evaluations(manifest, [tables_of(items, "new"), tables_of(items, "more")], run_id="run-2")
    write_evaluations(manifest, [], run_id="run-3")

    def models(**chosen: Any) -> set[str]:
        page = read_page(write_evaluation_page(manifest, tmp_path / "page.html", **chosen))
        return {row[0] for row in page.rows("leaderboard", 0)[1:]}

    assert models() == {"new", "more"}
    assert models(run_id="run-1") == {"old"}
    assert models(evaluations=["new-1"]) == {"new"}
    with raises_code("evaluation_unknown", run="run-3", known=["run-2", "run-1"]):
        models(run_id="run-3")
    with raises_code("evaluation_unknown", unknown=["old-1"], known=["more-1", "new-1"]):
        models(evaluations=["old-1"])
    with raises_code("evaluation_unknown", unknown=[], known=["more-1", "new-1"]):
        models(evaluations=[])


def test_manifest_without_evaluations_is_refused(write_evaluations: Any, tmp_path: Path) -> None:
    manifest = write_evaluations(tmp_path / "manifest.duckdb", [])
    with raises_code("evaluation_unknown", known=[]):
        write_evaluation_page(manifest, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_output_that_cannot_be_written_is_one_clear_line(
    full_manifest: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    with raises_code("disk_refused"):
        write_evaluation_page(full_manifest, tmp_path / "file" / "page.html")


def test_same_manifest_gives_the_same_page(
    full_manifest: Path, full_page: Path, tmp_path: Path
) -> None:
    again = write_evaluation_page(full_manifest, tmp_path / "again.html", run_id="run-1")
    assert again.read_bytes() == full_page.read_bytes()
    assert again.stat().st_size < 9_000_000


@pytest.mark.page
@pytest.mark.parametrize("theme", list(THEMES))
def test_browser_draws_the_page_without_a_complaint(
    full_page: Path, browse: Browse, read_page: Any, tmp_path: Path, theme: str, hostile: str
) -> None:
    dom, console = browse(full_page, tmp_path, *THEMES[theme])
    assert console == ""
    assert re.findall(r'data-figure="([^"]+)"', dom) == ["reliability-0", "reliability-1"]
    assert 'data-drawn="2"' in dom
    assert dom.count('class="main-svg"') >= 2
    assert "data-broken" not in dom
    (tmp_path / "dom.html").write_text(dom)
    drawn = read_page(tmp_path / "dom.html")
    assert all(hostile in drawn.text[name] for name in ("", "leaderboard", "strata", "worst"))


@pytest.mark.page
def test_page_without_figures_opens_without_a_complaint(
    bare_page: Path, browse: Browse, tmp_path: Path
) -> None:
    dom, console = browse(bare_page, tmp_path)
    assert console == ""
    assert 'data-drawn="0"' in dom
