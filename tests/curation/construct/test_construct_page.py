"""A construction has a page of its own, which is also a part of the run's report."""

from __future__ import annotations

import re

from curation.construct.construct import construct
from curation.report import write_report
from tests.curation.construct.conftest import case, recipe_for, write_run
from tests.curation.construct.teacher_server import THOUGHTS, by_chance, completion

EVIL = "<script>alert(1)</script> & <img src=x onerror=alert(2)>"


def test_the_page_has_every_figure_and_traces_are_escaped_and_closed(tmp_path, serve):
    lines = [case(n, modality="ct" if n % 2 else "mr", task_type="presence") for n in range(70)]
    run = write_run(tmp_path / "run", lines)

    def rule(body):
        answer = by_chance(body)
        right = answer["choices"][0]["message"]
        if "reasoning_content" in right:
            return completion(right["content"], f"{EVIL} {THOUGHTS} {body['seed']}")
        return answer

    price = {"prompt_per_million": 1.0, "reply_per_million": 2.0}
    result = construct(recipe_for(run, serve(rule), teacher={"price": price}))
    page = result.page.read_text(encoding="utf-8")
    report = write_report(run / "manifest.duckdb", "one", tmp_path / "report.html")
    for text in (page, report.read_text(encoding="utf-8")):
        assert text.count('<article class="trace">') == 50
        assert '<details class="reading">' in text
        assert EVIL not in text
        assert "&lt;script&gt;alert(1)" in text
        assert re.search(r"<th scope=\"row\">mr</th><td>presence</td>", text)
        assert "Without the picture" in text
        assert f"{result.facts['kept']:,}</strong> of 70 samples" in text
    assert 'href="#constructed"' in report.read_text(encoding="utf-8")


def test_a_report_without_constructions_has_no_such_part(tmp_path):
    run = write_run(tmp_path / "run", [case(0)])
    report = write_report(run / "manifest.duckdb", "one", tmp_path / "report.html")
    assert 'id="constructed"' not in report.read_text(encoding="utf-8")
