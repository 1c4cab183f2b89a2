"""Runs with new splits and with benchmarks to keep out."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from curation.pipeline import curate
from curation.recipe import parse_recipe
from medsift.execution import LocalExecutor
from medsift.manifest import read
from ray_jobs.cli import run as medsift
from tests.expect import raises_code


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
    leaks = read(phantom_run.manifest, "SELECT DISTINCT row_id FROM leaks").to_pylist()
    dropped = read(
        result.manifest, "SELECT row_id, reason, explanation FROM why WHERE stage = 'decontaminate'"
    ).to_pylist()
    assert {line["row_id"] for line in leaks} <= {line["row_id"] for line in dropped}
    assert leaks
    assert all("of held" in line["explanation"] for line in dropped)
    left = "SELECT * FROM selected_samples JOIN leaks USING (row_id) WHERE verdict LIKE 'same%'"
    assert read(result.manifest, left).num_rows == 0


def test_a_recipe_may_keep_them_and_they_are_listed_all_the_same(phantom_recipe, index, tmp_path):
    result = curate(phantom_recipe(*against(index, "keep")), tmp_path, LocalExecutor())
    sql = "SELECT DISTINCT verdict FROM leaks WHERE benchmark = 'held' AND verdict LIKE 'same%'"
    assert read(result.manifest, sql).num_rows
    funnel = read(result.manifest, "SELECT dropped FROM funnel WHERE stage = 'decontaminate'")
    assert funnel["dropped"].to_pylist() == [0]


@pytest.fixture(scope="module")
def near_dir(tmp_path_factory):
    """One directory for the runs of `near_run`: all but the last stages are shared."""
    return tmp_path_factory.mktemp("near")


@pytest.fixture(scope="module")
def near_run(phantom_recipe, phantom_run, near_dir):
    """Curate against an index without miniatures, to which altered copies are near."""
    index = near_dir / "index"
    words = ["index", str(phantom_run.run_dir), "--split", "test", "--output", str(index)]
    assert medsift([*words, "--no-miniatures"]) == 0

    def run(fate):
        benchmark = f"{{name: held, index: {index}, run: {phantom_run.run_dir}}}"
        rules = (f"decontaminate.benchmarks=[{benchmark}]", f"decontaminate.unresolved={fate}")
        near = "decontaminate.near_cosine=0.9"
        return curate(phantom_recipe(*rules, near), near_dir, LocalExecutor())

    return run


def test_the_recipe_keeps_or_drops_what_is_near_and_the_leaks_show_it(near_run):
    kept, dropped = near_run("keep"), near_run("drop")
    near = """
        SELECT l.row_id, r.action FROM leaks l JOIN rows r USING (run_id, row_id)
        WHERE run_id = '{}' AND verdict = 'near, unresolved' ORDER BY ALL
    """
    before = read(kept.manifest, near.format(kept.run_id)).to_pylist()
    after = read(kept.manifest, near.format(dropped.run_id)).to_pylist()
    assert [line["row_id"] for line in before] == [line["row_id"] for line in after]
    assert "kept" in {line["action"] for line in before}
    assert {line["action"] for line in after} == {"dropped"}
    pairs = "SELECT * EXCLUDE (run_id) FROM reviews WHERE run_id = '{}' ORDER BY ALL"
    listed = read(kept.manifest, pairs.format(kept.run_id))
    assert listed.equals(read(kept.manifest, pairs.format(dropped.run_id)))
    assert listed.num_rows
    assert None not in listed["item_ref"].to_pylist() + listed["item_question"].to_pylist()


def test_a_recipe_that_stops_ends_with_the_review_list_and_no_selection(near_run, near_dir, capsys):
    with raises_code("review_required") as caught:
        near_run("stop")
    assert caught.value.values["rows"] > 0
    stopped = "(SELECT arg_max(run_id, created_at) FROM runs)"

    def ask(sql):
        return read(near_dir / "manifest.duckdb", sql.format(stopped)).to_pylist()

    assert ask("SELECT status FROM runs WHERE run_id = {}") == [{"status": "failed"}]
    assert ask("SELECT max_by(stage, ordinal) AS last FROM stages WHERE run_id = {}") == [
        {"last": "decontaminate"}
    ]
    assert ask("SELECT count(*) AS n FROM reviews WHERE run_id = {}")[0]["n"] > 0
    assert ask("SELECT count(*) AS n FROM selections WHERE run_id = {}") == [{"n": 0}]
    assert "The run ended here" in (near_dir / "report.html").read_text(encoding="utf-8")
    assert medsift(["select", str(near_dir), "--name", "x", "--budget", "5"]) == 2
    assert "stopped for a person" in capsys.readouterr().err


@pytest.fixture(scope="module")
def split_run(phantom_recipe, tmp_path_factory):
    """The phantoms with new splits, slices sought."""
    recipe = phantom_recipe("splits.assign=image")
    return curate(recipe, tmp_path_factory.mktemp("split"), LocalExecutor())


def test_new_splits_share_no_image(split_run):
    shared = """
        SELECT picture.image_id FROM samples s JOIN rows r USING (run_id, row_id),
               unnest(s.images) AS shown (picture)
        WHERE r.action = 'kept' GROUP BY ALL HAVING count(DISTINCT s.split) > 1
    """
    splits = read(split_run.manifest, "SELECT DISTINCT split FROM samples")["split"].to_pylist()
    assert {"train", "validation", "test"} <= set(splits)
    assert read(split_run.manifest, shared).num_rows == 0
    assert read(split_run.manifest, "SELECT * FROM leaks").num_rows == 0


def test_another_threshold_of_slices_repeats_no_stage_before_the_split(phantom_recipe, split_run):
    other = phantom_recipe("splits.assign=image", "splits.slice_correlation=null")
    result = curate(other, split_run.run_dir, LocalExecutor())
    reused = [stage.stage for stage in result.stages if stage.reused]
    assert reused == ["ingest", "images", "embed", "dedup"]


BODIES = """
name: bodies
sources: [{{name: s, reader: table, path: {folder}/rows.jsonl, image_root: {folder}}}]
encoder: {{kind: embedded}}
strata: [task_type]
splits: {{assign: image, shares: {{train: 0.5, test: 0.5}}, slice_correlation: {slices}}}
"""


def slice_of(body, place):
    """A smooth picture by the body, with fine structure of the slice's own."""
    coarse, fine = (
        Image.fromarray(np.random.default_rng(seed).uniform(-1, 1, (cells, cells)).astype("f4"))
        for seed, cells in (([body], 7), ([body, place], 40))
    )
    wide = np.asarray(coarse.resize((200, 200), Image.Resampling.BICUBIC))
    mixed = 125 + 100 * wide + 15 * np.asarray(fine.resize((200, 200)))
    return Image.fromarray(np.clip(mixed, 0, 255).astype(np.uint8))


@pytest.mark.parametrize("slices", [0.97, None])
def test_new_splits_cut_between_slices_only_where_the_recipe_lets_them(tmp_path, slices):
    lines = []
    for body in range(10):
        for place in range(2):
            name = f"{body}-{place}.png"
            slice_of(body, place).save(tmp_path / name)
            words = {"question": f"what is {name}?", "answer": name, "task_type": "name"}
            lines.append(json.dumps({"image": name, **words}))
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    recipe = BODIES.format(folder=tmp_path, slices="null" if slices is None else slices)
    result = curate(parse_recipe(recipe), tmp_path / "run", LocalExecutor())
    sql = """
        SELECT count(*) AS cut FROM (
            SELECT split_part(answer, '-', 1) AS body FROM samples
            GROUP BY ALL HAVING count(DISTINCT split) > 1
        )
    """
    [line] = read(result.manifest, sql).to_pylist()
    assert (line["cut"] > 0) is (slices is None)
    copies = "SELECT * FROM duplicates WHERE kind = 'image_copy'"
    assert read(result.manifest, copies).num_rows == 0
    pairs = read(result.manifest, "SELECT value FROM measures WHERE name = 'slice_pairs'")
    assert pairs["value"].to_pylist() == ([] if slices is None else [10.0])


def test_an_index_that_is_not_there_is_one_line(phantom_recipe, tmp_path):
    recipe = phantom_recipe(*against(tmp_path / "none", "drop"))
    with raises_code("benchmark_index_unreadable"):
        curate(recipe, tmp_path / "run", LocalExecutor())


def test_an_index_of_another_encoder_is_refused(phantom_recipe, index, tmp_path):
    recipe = phantom_recipe(*against(index, "drop"), "encoder.precision=bfloat16")
    with raises_code("benchmark_index_unfit"):
        curate(recipe, tmp_path / "run", LocalExecutor())
    assert not (tmp_path / "run").exists(), "refused only after work was done"


def test_the_command_says_what_the_given_splits_share(phantom_run, capsys):
    assert medsift(["splits", str(phantom_run.run_dir)]) == 0
    said = capsys.readouterr().out
    assert "test images and" in said
    assert "image-disjoint: test" in said
