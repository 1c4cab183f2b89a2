"""The queries of docs/reasoning.md answer from a construction's manifest."""

from __future__ import annotations

import re
from pathlib import Path

from curation.construct.construct import construct
from medsift.manifest import query
from tests.curation.construct.conftest import case, recipe_for, write_run
from tests.curation.construct.teacher_server import TeacherServer

PAGE = (Path(__file__).parents[2] / "docs" / "reasoning.md").read_text(encoding="utf-8")


def test_every_query_of_the_page_has_an_answer(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    run = write_run(tmp_path / "run", [case(number) for number in range(8)])
    server = TeacherServer()
    try:
        construct(recipe_for(run, server, accepted=1))
    finally:
        server.close()
    [block] = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
    statements = [one for one in block.split(";") if one.strip()]
    answers = [query(run / "manifest.duckdb", one) for one in statements]
    assert len(answers) == 4
    assert all(answer.num_rows for answer in answers)
