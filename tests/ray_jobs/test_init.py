"""`medsift init` writes a recipe that `medsift curate` takes."""

from __future__ import annotations

import json


def test_it_writes_a_recipe_and_says_what_it_saw(medsift, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{"q": f"What is {n}?", "response": f"A{n}", "odd": n} for n in range(3)]
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    said = medsift("init", "mine.jsonl")
    assert said.code == 0, said.err
    for word in ("from q", "from response", "not read     odd", "license", "curate mine.yaml"):
        assert word in said.out
    again = medsift("init", "mine.jsonl")
    assert again.code == 2
    assert "error[recipe_in_the_way]" in again.err
    done = medsift("curate", "mine.yaml", "--local")
    assert done.code == 0, done.err
