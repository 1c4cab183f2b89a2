"""Runs with new splits and with benchmarks to keep out."""

from __future__ import annotations

import pytest

from curation.errors import InputError, UsageError
from curation.execution import LocalExecutor
from curation.manifest import query
from curation.pipeline import curate
from ray_jobs.cli import run as medsift


@pytest.fixture(scope="module")
def index(phantom_run, tmp_path_factory):
    """The index of the phantoms' own test split."""
    folder = tmp_path_factory.mktemp("index") / "test"
    words = ["index", str(phantom_run.run_dir), "--split", "test", "--output", str(folder)]
    assert medsift([*words, "--name", "held"]) == 0
    return folder


def against(index, action):
    benchmark = f"decontaminate.benchmarks=[{{name: held, index: {index}}}]"
    return (benchmark, f"decontaminate.confirmed={action}")


def test_rows_that_show_a_benchmarks_image_are_dropped_with_its_item(
    phantom_run, phantom_recipe, index, tmp_path
):
    result = curate(phantom_recipe(*against(index, "drop")), tmp_path, LocalExecutor())
    leaks = query(phantom_run.manifest, "SELECT DISTINCT row_id FROM leaks").to_pylist()
    dropped = query(
        result.manifest, "SELECT row_id, reason, explanation FROM why WHERE stage = 'decontaminate'"
    ).to_pylist()
    assert {line["row_id"] for line in leaks} <= {line["row_id"] for line in dropped}
    assert leaks
    assert all("of held" in line["explanation"] for line in dropped)
    left = "SELECT * FROM selected_samples JOIN leaks USING (row_id) WHERE verdict LIKE 'same%'"
    assert query(result.manifest, left).num_rows == 0


def test_a_recipe_may_keep_them_and_they_are_listed_all_the_same(phantom_recipe, index, tmp_path):
    result = curate(phantom_recipe(*against(index, "keep")), tmp_path, LocalExecutor())
    sql = "SELECT DISTINCT verdict FROM leaks WHERE benchmark = 'held' AND verdict LIKE 'same%'"
    assert query(result.manifest, sql).num_rows
    funnel = query(result.manifest, "SELECT dropped FROM funnel WHERE stage = 'decontaminate'")
    assert funnel["dropped"].to_pylist() == [0]


def test_new_splits_share_no_image(phantom_recipe, tmp_path):
    result = curate(phantom_recipe("splits.assign=image"), tmp_path, LocalExecutor())
    shared = """
        SELECT picture.image_id FROM samples s JOIN rows r USING (run_id, row_id),
               unnest(s.images) AS shown (picture)
        WHERE r.action = 'kept' GROUP BY ALL HAVING count(DISTINCT s.split) > 1
    """
    splits = query(result.manifest, "SELECT DISTINCT split FROM samples")["split"].to_pylist()
    assert {"train", "validation", "test"} <= set(splits)
    assert query(result.manifest, shared).num_rows == 0
    assert query(result.manifest, "SELECT * FROM leaks").num_rows == 0


def test_an_index_that_is_not_there_is_one_line(phantom_recipe, tmp_path):
    recipe = phantom_recipe(*against(tmp_path / "none", "drop"))
    with pytest.raises(InputError, match="no benchmark index at"):
        curate(recipe, tmp_path / "run", LocalExecutor())


def test_an_index_of_another_encoder_is_refused(phantom_recipe, index, tmp_path):
    recipe = phantom_recipe(*against(index, "drop"), "encoder.precision=bfloat16")
    with pytest.raises(UsageError, match="made with encoder"):
        curate(recipe, tmp_path / "run", LocalExecutor())


def test_the_command_says_what_the_given_splits_share(phantom_run, capsys):
    assert medsift(["splits", str(phantom_run.run_dir)]) == 0
    said = capsys.readouterr().out
    assert "test images and" in said
    assert "image-disjoint: test" in said
