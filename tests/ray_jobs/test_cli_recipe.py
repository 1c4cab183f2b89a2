"""A recipe that cannot run is refused before anything is read or written."""

from __future__ import annotations

import pytest

from ray_jobs.cli import run


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["phantoms", "--set", "dedupe.x=1"], "dedup"),
        (["phantoms", "--set", "seed=-1"], "seed"),
        (["phantoms", "--set", "no value"], "--set"),
        (["absent.yaml"], "absent.yaml"),
        (["absent"], "vqa_rad"),
    ],
)
def test_the_refusal_is_one_line_with_status_2(arguments, word, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["curate", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error[recipe_")
    assert captured.err.count("\n") == 1
    assert word in captured.err
    assert not list(tmp_path.iterdir())
