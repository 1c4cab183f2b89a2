"""The study page: its numbers are the manifest's, its texts are inert, a browser opens it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evaluation.report.format import ends
from evaluation.report.study import write_study_page
from evaluation.study_text import sentence, signed
from medsift.manifest import RunRecord, read, write_manifest
from medsift.pages.number_format import percent
from tests.expect import raises_code
from tests.study_trials import START, trials_of, write_study

SECTIONS = ("verdicts", "budget", "cells", "variants", "training", "setup")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory, hostile: str) -> Path:
    failed = {
        "arm": "k_center",
        "budget": "10%",
        "samples": 12,
        "seed": 1,
        "error": f"no number {hostile}",
    }
    path = tmp_path_factory.mktemp("study") / "manifest.duckdb"
    return Path(write_study(path, trials_of(("original", "no_image")), failed=[failed]))


@pytest.fixture(scope="module")
def page_path(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study_page(manifest, tmp_path_factory.mktemp("page") / "study.html")


@pytest.fixture(scope="module")
def page(page_path: Path, read_page: Any) -> Any:
    return read_page(page_path)


@pytest.fixture(scope="module")
def lines(manifest: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = read(manifest, "SELECT * FROM study_results").to_pylist()
    return found


def one(lines: list[dict[str, Any]], **wanted: Any) -> dict[str, Any]:
    whole = {"facet": "all", "variant": "original", "metric": "accuracy"} | wanted
    [line] = [line for line in lines if all(line[key] == whole[key] for key in whole)]
    return line


def row(page: Any, section: str, table: int, *start: str) -> list[str]:
    [found] = [row for row in page.rows(section, table) if row[: len(start)] == list(start)]
    return list(found)


@pytest.mark.parametrize(("arm", "budget"), [("small", "10%"), ("longest", "50%")])
def test_the_table_of_verdicts_shows_the_lines_of_the_manifest(
    page: Any, lines: list[dict[str, Any]], arm: str, budget: str
) -> None:
    score = one(lines, arm=arm, budget=budget, versus=None)
    full, random = (one(lines, arm=arm, budget=budget, versus=name) for name in ("full", "random"))
    shown = row(page, "verdicts", 0, arm, budget)
    assert shown[2:5] == [str(score["samples"]), "3", f"{percent(score['value'])} {ends(score)}"]
    assert shown[5].startswith(f"{signed(full['difference'])} {signed(full['diff_low'])[0]}")
    assert (shown[6], shown[8]) == (full["verdict"], random["verdict"])


def test_every_verdict_stands_there_in_words(page: Any, lines: list[dict[str, Any]]) -> None:
    verdicts = [line for line in lines if line["verdict"] is not None]
    assert len(verdicts) == 19
    words = page.words("verdicts")
    assert all(sentence(line) in words for line in verdicts)


def test_cells_show_accuracy_and_the_difference_to_full_data(
    page: Any, lines: list[dict[str, Any]]
) -> None:
    head, *rows = page.rows("cells", 0)
    assert head == ["", "items", "small", "random", "stratified_random", "longest", "full data"]
    cell = {"arm": "small", "budget": "10%", "facet": "modality", "facet_value": "ct"}
    score, less = (one(lines, **cell, versus=versus) for versus in (None, "full"))
    [shown] = [row for row in rows if row[0] == "ct"]
    assert shown[1:3] == ["40", f"{percent(score['value'])} {signed(less['difference'])}"]


def test_variants_show_what_they_take_away(page: Any, lines: list[dict[str, Any]]) -> None:
    place = {"arm": "full", "budget": "100%", "variant": "no_image", "versus": None}
    score, lost = (one(lines, **place, metric=metric) for metric in ("accuracy", "drop"))
    shown = row(page, "variants", 0, "full data")
    assert shown[2:4] == [percent(score["value"]), signed(lost["value"])]


def test_it_says_how_trials_were_trained_and_which_failed(page: Any, hostile: str) -> None:
    assert row(page, "training", 0, "small", "10%")[3:8] == [
        "0, 1 and 2",
        "40",
        "4.0",
        "320",
        "0.075",
    ]
    assert row(page, "training", 0, "k_center", "10%")[3] == "none"
    head = " ".join(page.text[""].split())
    assert "Every training took the same 40 steps" in head
    assert "k_center at 10%, seed 1: no number" in head
    assert hostile in page.text[""]


def test_it_says_what_a_reader_must_know_before_believing_it(
    tmp_path: Path, read_page: Any
) -> None:
    trials = [trial for trial in trials_of(seeds=(0,), budgets=(("10%", 12),))]
    manifest = write_study(
        tmp_path / "m.duckdb", trials, same="epochs", contaminated=True, recipe="{}"
    )
    told = read_page(write_study_page(manifest, tmp_path / "study.html"))
    head = " ".join(told.text[""].split())
    assert "Few seeds." in head
    assert "Contaminated." in head
    assert "the same 1 passes over its set" in head
    assert "One seed: the intervals do not hold" in told.words("verdicts")
    assert "No variants were asked" in told.words("variants")


def test_a_study_is_named_by_id_or_name_and_one_that_is_not_there_is_refused(
    manifest: Path, tmp_path: Path
) -> None:
    pages = {
        write_study_page(manifest, tmp_path / f"{name}.html", study=name).read_text()
        for name in ("is_it_enough", "is_it_enough-1")
    }
    assert len(pages) == 1
    with raises_code("study_unknown", study="other", known=["is_it_enough-1"]):
        write_study_page(manifest, tmp_path / "x.html", study="other")
    write_manifest(tmp_path / "m.duckdb", {}, RunRecord("one", "test", START))
    with raises_code("study_unknown", study=None, known=[]):
        write_study_page(tmp_path / "m.duckdb", tmp_path / "x.html")


@pytest.mark.page
def test_a_browser_draws_the_page_without_a_complaint(
    page_path: Path, browse: Callable[..., tuple[str, str]], tmp_path: Path
) -> None:
    dom, console = browse(page_path, tmp_path)
    assert console == ""
    assert re.findall(r'data-figure="([^"]+)"', dom) == ["budget-0", "curves"]
    assert 'data-drawn="2"' in dom
    assert "data-broken" not in dom
    assert all(f'<section id="{name}">' in dom for name in SECTIONS)
