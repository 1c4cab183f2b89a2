"""A judge grades samples on five dimensions, and is compared with the run's own scores."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from curation.construct.construct import construct
from curation.construct.grades import ANCHORS, read_grades
from curation.selection.judged import read_judged
from curation.selection.quality import Scores, read_quality
from medsift.manifest import append_tables, read
from tests.curation.construct.conftest import case, recipe_for, write_run
from tests.curation.construct.teacher_server import NUMBER, completion, text_of

COUNT = 12


def grades(number, **more):
    return {name: 1 + number % 5 for name in ANCHORS} | {"safe": True} | more


def judging(body):
    number = int(NUMBER.search(text_of(body))[1])
    extra = {"safe": False} if number == 4 else {}
    return completion(f"Grades:\n{json.dumps(grades(number, **extra))}")


def write_scores(run, values):
    """Add scores of label noise to a run, as its stage would have written them."""
    ids = read(run / "manifest.duckdb", "SELECT sample_id, row_id FROM samples").to_pylist()
    lines = [
        {"sample_id": line["sample_id"], "scorer": "label_noise",
         "value": values[at], "percentile": values[at]}
        for line in ids
        for at in [int(line["row_id"].rpartition(":")[2])]
    ]  # fmt: skip
    append_tables(run / "manifest.duckdb", "one", {"scores": pa.Table.from_pylist(lines)})


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run", [case(number) for number in range(COUNT)])


def test_grades_are_stored_and_compared_with_scores(run, serve):
    # Label noise is high where the judge's grade is low: lower is better, so they agree.
    write_scores(run, [1.0 - (n % 5) / 5 for n in range(COUNT)])
    result = construct(recipe_for(run, serve(judging), kinds=("quality",), accepted=1))
    lines = read(run / "manifest.duckdb", "FROM judgements ORDER BY row_id").to_pylist()
    assert len(lines) == COUNT == result.facts["kept"]
    for line in lines:
        number = int(line["row_id"].rpartition(":")[2])
        assert line["judged"] == line["clarity"] == 1 + number % 5
        assert (line["readings"], line["safe"]) == (1, number != 4)
    [stored] = read(run / "manifest.duckdb", "FROM judge_agreement").to_pylist()
    [found] = result.agreement
    assert (stored["dimension"], stored["rule"]) == ("correctness", "label_noise")
    assert stored["kappa"] == found.kappa == 1.0
    assert stored["samples"] == COUNT
    assert "kappa +1.00" in str(result)
    assert result.samples is None


def test_a_selection_reads_the_grades_as_scores(run, serve):
    construct(recipe_for(run, serve(judging), kinds=("quality",), accepted=1))
    judged = read_judged(run / "manifest.duckdb", "one")
    rows = read(run / "manifest.duckdb", "SELECT sample_id, row_id FROM samples").to_pylist()
    number = {row["sample_id"]: int(row["row_id"].rpartition(":")[2]) for row in rows}
    ids = sorted(number, key=number.get)
    for scorer in ("judged", "judged_clarity"):
        quality = read_quality(ids, Scores(None, added=judged), scorer)
        expected = np.array([n % 5 for n in range(COUNT)])
        safe = np.arange(COUNT) != 4
        order = np.argsort(quality[safe], kind="stable")
        assert (np.diff(expected[safe][order]) >= 0).all()
        assert quality[4] == 0.0


@pytest.mark.parametrize(
    "text",
    [
        "four out of five",
        json.dumps(grades(0, clarity=6)),
        json.dumps(grades(0, clarity=True)),
        json.dumps(grades(0, safe="yes")),
        json.dumps({"clarity": 3}),
        json.dumps(grades(0))[:-3],
    ],
)
def test_grades_that_are_none_are_one_fate_each(run, serve, text):
    server = serve(lambda body: completion(f"{text} {body['seed']}"))
    result = construct(recipe_for(run, server, kinds=("quality",), attempts=2))
    assert result.reasons == {"malformed": COUNT}
    assert result.facts["dropped"] == COUNT
    assert len(server.requests) == 2 * COUNT
    assert not result.agreement


def test_a_text_alone_has_no_grade_of_a_picture(tmp_path, serve):
    turns = [("user", "Is case 3 abnormal?"), ("assistant", "yes")]
    run = write_run(tmp_path / "run", [{"turns": turns, "pictures": 0}])
    server = serve(judging)
    construct(recipe_for(run, server, kinds=("quality",), accepted=1))
    [line] = read(run / "manifest.duckdb", "FROM judgements").to_pylist()
    assert (line["image_quality"], line["relevance"], line["judged"]) == (None, None, 4.0)
    assert "image_quality" not in text_of(server.requests[0])


def test_the_scale_is_stated_to_the_judge_and_grades_survive_words_around_them(run, serve):
    server = serve(judging)
    construct(recipe_for(run, server, kinds=("quality",), accepted=2))
    words = text_of(server.requests[0])
    assert all(anchor in words for anchors in ANCHORS.values() for anchor in anchors)
    draft = f"Draft {json.dumps(grades(0))}, better: ```{json.dumps(grades(3, clarity='5'))}```"
    assert read_grades(draft, 1) == grades(3, clarity=5)
