"""A withdrawn sample leaves a teacher's replies and the samples that were constructed from it."""

from __future__ import annotations

import json
import re
import shutil

import duckdb
import pytest

from curation.construct.construct import construct
from curation.construct.reply_log import ReplyLog
from curation.run_dir import open_run
from curation.withdraw.choose import rows_by_id, withdraw
from curation.withdraw.finish import finish
from medsift.execution import LocalExecutor
from medsift.manifest import read
from tests.curation.construct.conftest import recipe_for
from tests.curation.construct.teacher_server import THOUGHTS, TeacherServer, completion, text_of
from tests.expect import raises_code

TOLD = re.compile(r"The right answer is: (.*)")


def told(body):
    """Right where the answer is shown; the words differ between samples."""
    shown = TOLD.search(text_of(body))
    said = f"{THOUGHTS} {body['seed']}" * (1 + body["seed"] % 3)
    return completion(shown[1] if shown else "no idea", said)


@pytest.fixture
def run(first, tmp_path, monkeypatch):
    """A copy of the run, of which all samples of a selection were asked about."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    shutil.copytree(first, tmp_path / "own")
    run = tmp_path / "own" / "run"
    with duckdb.connect(str(run / "manifest.duckdb")) as con:
        con.execute("UPDATE runs SET recipe = replace(recipe, ?, ?)",
                    [str(first / "cache"), str(tmp_path / "own" / "cache")])  # fmt: skip
    return run


@pytest.fixture
def teacher():
    server = TeacherServer(told)
    yield server
    server.close()


def settings(run, teacher, tmp_path):
    gates = {"repetition": 1.0}
    kinds = ("plain", "label_told")
    return recipe_for(
        run, teacher, kinds=kinds, attempts=1, blind={"attempts": 0}, gates=gates,
        replies=str(tmp_path / "replies"),
    )  # fmt: skip


def test_replies_and_new_samples_leave_with_their_sample(run, teacher, tmp_path):
    recipe = settings(run, teacher, tmp_path)
    folder = construct(recipe).samples.parent
    manifest = run / "manifest.duckdb"
    # What another row says as well, word for word, stays with that row.
    single = "SELECT sample_id FROM samples GROUP BY ALL HAVING count(*) = 1"
    sql = f"FROM traces WHERE action = 'kept' ORDER BY derived_from NOT IN ({single}), row_id"
    traces = read(manifest, sql).to_pylist()
    gone = [line["row_id"] for line in traces[:2]]
    names = {line["derived_from"] for line in traces[:2]}
    sql = "SELECT reply_id FROM attempts WHERE list_contains($1, sample_id)"
    asked = set(read(manifest, sql, [sorted(names)])["reply_id"].to_pylist())
    before = len((tmp_path / "replies" / "replies.jsonl").read_text().splitlines())
    withdraw(open_run(run), "rows", rows_by_id(open_run(run), gone))
    # Somebody else's replies are not rewritten under them: the withdrawal waits to be finished.
    with ReplyLog(tmp_path / "replies"), raises_code("replies_busy"):
        finish(run, LocalExecutor())
    killed = folder / ".attempts-killed.partial"
    killed.mkdir()
    done = finish(run, LocalExecutor())
    assert done is not None
    assert {path.name for path in folder.iterdir()} == {
        *(f"{name}.jsonl" for name in ("samples", "answers", "shuffled")),
        "curate.yaml",
    }
    lines = (tmp_path / "replies" / "replies.jsonl").read_text().splitlines()
    assert {json.loads(line)["id"] for line in lines}.isdisjoint(asked)
    assert (done.replies, len(lines)) == (len(asked), before - len(asked))
    assert done.constructed == 2
    [use] = [use for use in done.uses if use["kind"] == "construction"]
    assert (use["rows"], use["path"]) == (2, str(folder / "samples.jsonl"))
    assert "2 samples constructed" in str(done)
    reasons = {line["reasoning"] for line in traces[:2]}
    for name, left in (("samples", 2), ("answers", 2), ("shuffled", 2)):
        rest = [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]
        assert len(traces) - 4 <= len(rest) <= len(traces) - left
        assert names.isdisjoint(line["derived_from"] for line in rest)
        assert reasons.isdisjoint(line["reasoning"] for line in rest)
    # What stays is asked for no more, and a selection made again may have other samples.
    stored = {int(json.loads(line)["id"][:7], 16) for line in lines}
    count = len(teacher.requests)
    construct(recipe)
    assert stored.isdisjoint(teacher.seeds[count:])
