"""The page as a browser sees it."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from curation.report import write_report

SECTIONS = (
    "funnel",
    "map",
    "sweep",
    "semantic",
    "quality",
    "scores",
    "strata",
    "duplicates",
    "conflicts",
    "leaks",
    "review",
    "failures",
    "notes",
    "measures",
    "timings",
)


class Page(HTMLParser):
    """Collects the text of each section, every element and its attributes."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.text: dict[str, str] = {"": ""}
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._section = ""
        self._silent = 0
        self.feed(markup)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._silent += tag in ("script", "style")
        if tag == "section":
            self._section = dict(attrs)["id"] or ""
            self.text[self._section] = ""

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.text[self._section] += data


THEMES = {
    "light": (),
    "dark": ("--force-dark-mode", "--blink-settings=preferredColorScheme=0"),
}
PAPERS = {"light": (255, 255, 255), "dark": (0x14, 0x18, 0x1D)}


@pytest.fixture(scope="module")
def full_page(full_manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(full_manifest, None, tmp_path_factory.mktemp("page") / "report.html")


@pytest.fixture(scope="module")
def full_drawn(
    full_page: Path,
    browse: Callable[..., tuple[str, str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[str, str]:
    """What the browser makes of it, and says."""
    return browse(full_page, tmp_path_factory.mktemp("profile"))


@pytest.mark.page
def test_browser_draws_every_figure_without_a_complaint(full_drawn: tuple[str, str]) -> None:
    dom, console = full_drawn
    figures = re.findall(r'data-figure="([^"]+)"', dom)
    assert len(figures) == 8
    assert 'data-drawn="8"' in dom
    assert dom.count('class="main-svg"') >= 8
    assert console == ""


@pytest.mark.page
def test_hostile_text_stays_text_in_the_browser(full_drawn: tuple[str, str], hostile: str) -> None:
    dom, _ = full_drawn
    assert "data-broken" not in dom
    drawn = Page(dom)
    assert hostile in drawn.text[""]
    assert all(hostile in drawn.text[name] for name in ("map", "strata", "failures"))
    assert not [tag for tag, _ in drawn.elements if tag == "b"]


@pytest.fixture(scope="module")
def curated_page(curated_manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(curated_manifest, None, tmp_path_factory.mktemp("page") / "report.html")


@pytest.mark.page
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_scores_and_selections_are_drawn_in_both_themes_on_their_paper(
    curated_page: Path,
    browse: Callable[..., tuple[str, str]],
    tmp_path: Path,
    theme: str,
    hostile: str,
) -> None:
    from PIL import Image

    shot = tmp_path / "page.png"
    more = ("--window-size=1200,900", f"--screenshot={shot}")
    dom, console = browse(curated_page, tmp_path / "profile", *THEMES[theme], *more)
    figures = re.findall(r'data-figure="([^"]+)"', dom)
    assert figures[-5:] == ["score-0", "score-1", "score-2", "correlations", "curves"]
    assert f'data-drawn="{len(figures)}"' in dom
    assert dom.count('class="main-svg"') >= len(figures)
    assert console == ""
    assert "data-broken" not in dom
    drawn = Page(dom)
    assert not [tag for tag, _ in drawn.elements if tag == "b"]
    assert all(hostile in drawn.text[name] for name in ("scores", "curves", "strata", "selections"))
    assert Image.open(shot).convert("RGB").getpixel((2, 2)) == PAPERS[theme]


@pytest.mark.page
def test_empty_run_opens_without_a_figure_or_a_complaint(
    write_small: Callable[..., Path], browse: Callable[..., tuple[str, str]], tmp_path: Path
) -> None:
    manifest = write_small(tmp_path / "manifest.duckdb", {})
    page = write_report(manifest, None, tmp_path / "report.html")
    dom, console = browse(page, tmp_path / "profile")
    assert 'data-drawn="0"' in dom
    assert 'class="main-svg"' not in dom
    assert console == ""


def test_nothing_is_fetched(full_page: Path) -> None:
    page = Page(full_page.read_text(encoding="utf-8"))
    sources = [
        value
        for _, attributes in page.elements
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "data", "action") and value is not None
    ]
    assert sources
    assert all(value.startswith(("data:", "#")) for value in sources)
    policies = [
        attributes["content"] for _, attributes in page.elements if "http-equiv" in attributes
    ]
    assert policies
    assert "default-src 'none'" in str(policies[0])


def test_markup_in_data_opens_no_element(full_page: Path, breakout: str) -> None:
    markup = full_page.read_text(encoding="utf-8")
    assert breakout not in markup
    assert sum(tag == "script" for tag, _ in Page(markup).elements) == 2 + 8


def test_every_section_says_something(full_page: Path) -> None:
    page = Page(full_page.read_text(encoding="utf-8"))
    assert list(page.text) == ["", *SECTIONS]
    assert "123 rows in" in " ".join(page.text[""].split())
    assert "ledger balanced" in page.text[""]
    assert "1 min 15 s" in page.text["timings"] or "1 min 15 s" in page.text["funnel"]
    assert "answer: integer read as text" in page.text["notes"]
    assert page.text["duplicates"].count("survivor") >= 20


def test_scores_and_selections_have_their_sections_where_there_are_any(
    full_page: Path, curated_page: Path
) -> None:
    at = SECTIONS.index("strata")
    more = ("correlations", "curves", "strata", "selections")
    whole = Page(curated_page.read_text(encoding="utf-8"))
    assert list(whole.text) == ["", *SECTIONS[:at], *more, *SECTIONS[at + 1 :]]
    for page in (whole, Page(full_page.read_text(encoding="utf-8"))):
        links = [link["href"] for tag, link in page.elements if tag == "a"]
        assert links == [f"#{name}" for name in page.text if name]


def test_what_follows_answer_length_is_flagged(curated_page: Path) -> None:
    words = " ".join(Page(curated_page.read_text(encoding="utf-8")).text["correlations"].split())
    assert re.search(r"Beware: text_quality follows answer length \(ρ = 0\.\d\d\)\. ", words)
    assert "quality follows" not in words.replace("text_quality follows", "")


def test_selections_stand_side_by_side(curated_page: Path) -> None:
    page = Page(curated_page.read_text(encoding="utf-8"))
    words = " ".join(page.text["selections"].split())
    assert "The run's 3 selections side by side." in words
    assert "samples1203040" in words
    assert "kept and minimal300.250300.750" in words
    assert "minimalfacility_location303059.3%" in "".join(page.text["curves"].split())
    assert "mr / count108.3%00.0%" in " ".join(page.text["strata"].split())


@pytest.mark.parametrize("name", SECTIONS)
def test_section_without_data_says_so_in_a_sentence(
    name: str, write_small: Callable[..., Path], tmp_path: Path
) -> None:
    manifest = write_small(tmp_path / "manifest.duckdb", {})
    page = Page(write_report(manifest, None, tmp_path / "report.html").read_text("utf-8"))
    words = " ".join(page.text[name].split())
    assert re.search(r"\b(no|No|Nothing|Nobody)\b", words)
    assert words.endswith(".")


def test_run_that_keeps_no_row_is_reported(
    write_small: Callable[..., Path], tmp_path: Path
) -> None:
    row = {"row_id": "a:b:0", "source": "a", "file": "b", "index": 0}
    decision = {"row_id": "a:b:0", "stage": "ingest", "action": "failed", "reason": "bad_json"}
    stage = {"ordinal": 0, "stage": "ingest", "rows_in": 1, "kept": 0, "dropped": 0, "failed": 1}
    tables = {"rows": [row], "decisions": [decision], "stages": [stage]}
    manifest = write_small(tmp_path / "manifest.duckdb", tables)
    page = Page(write_report(manifest, None, tmp_path / "report.html").read_text("utf-8"))
    assert "1 rows in: 0 kept, 0 dropped, 1 failed" in " ".join(page.text[""].split())
    assert "bad_json" in page.text["failures"]


def test_rows_unaccounted_for_are_named(
    write_small: Callable[..., Path], tmp_path: Path, full_run: Callable[..., Any]
) -> None:
    tables: dict[str, Any] = full_run(tmp_path, images=4)
    tables["stages"][-1]["kept"] -= 2
    manifest = write_small(tmp_path / "manifest.duckdb", tables)
    page = Page(write_report(manifest, None, tmp_path / "report.html").read_text("utf-8"))
    assert "ledger not balanced: 2 rows unaccounted for" in page.text[""]


def test_selection_fills_the_stratum_table(
    write_small: Callable[..., Path],
    tmp_path: Path,
    full_run: Callable[..., Any],
    selection_of: Callable[..., Any],
) -> None:
    tables = full_run(tmp_path, images=6)
    manifest = write_small(tmp_path / "manifest.duckdb", tables | selection_of(tables, 5))
    page = Page(write_report(manifest, None, tmp_path / "report.html").read_text("utf-8"))
    assert "facility-location" in page.text["strata"]
    assert "33.3%" in page.text["strata"]


def measure(name: str, value: float, **more: Any) -> dict[str, Any]:
    return {"stage": "dedup", "name": name, "threshold": None, "value": value, "note": None} | more


def test_search_says_its_method_and_recall_and_what_means_the_same(
    write_small: Callable[..., Path], tmp_path: Path
) -> None:
    lines = [
        measure("image_recall", 0.9996, note="ivf"),
        measure("image_pairs_mirrored", 1234),
        measure("semantic distinct", 400),
        measure("semantic rows", 200),
        measure("semantic recall", 1.0, note="exact"),
        *(measure("semantic redundant", 100 - at, threshold=at / 100) for at in (80, 99)),
    ]
    manifest = write_small(tmp_path / "manifest.duckdb", {"measures": lines})
    page = Page(write_report(manifest, None, tmp_path / "report.html").read_text("utf-8"))
    search, semantic = (" ".join(page.text[name].split()) for name in ("measures", "semantic"))
    assert "Image copies were searched by cells, which may miss some: recall 0.999." in search
    assert "Redundant rows were searched exactly: recall 1.000." in search
    assert "image pairs mirrored1,234" in search
    assert "Of 400 distinct rows 200 were compared" in semantic
    assert semantic.endswith("CosineRowsShare 0.802010.0% 0.9910.5%")


def test_rows_dropped_for_their_meaning_are_not_said_to_stay(
    write_small: Callable[..., Path], tmp_path: Path
) -> None:
    lines = [measure("semantic rows", 200), measure("semantic recall", 1.0, note="exact")]
    manifest = write_small(tmp_path / "manifest.duckdb", {"measures": lines})
    page = Page(write_report(manifest, None, tmp_path / "report.html").read_text("utf-8"))
    assert "the recipe drops redundant rows" in page.text["semantic"]


def test_same_manifest_gives_the_same_page(full_manifest: Path, tmp_path: Path) -> None:
    first = write_report(full_manifest, None, tmp_path / "a.html")
    second = write_report(full_manifest, "run-1", tmp_path / "b.html")
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_size < 8_000_000
