"""Pools of known shape: exactly the redundancy, wrong answers and imbalance that were asked for."""

from __future__ import annotations

import json
from collections import Counter, defaultdict

import pyarrow.parquet as pq
import pytest

from curation.phantoms import PoolShape, make_phantoms
from curation.phantoms.defects import COPIES, PhantomPlan
from curation.phantoms.pools import MOST_COPIES, cell_sizes, plan_pool
from tests.expect import raises_code

IMAGES = 90


def pool(seed: int = 0, copies: int = 1, wrong: float = 0.0, imbalance: float = 1.0) -> PhantomPlan:
    return plan_pool(IMAGES, seed, PoolShape(copies, wrong, imbalance))


def distinct(plan: PhantomPlan, split: str) -> list[dict[str, str]]:
    rows = (plan.rows[row] for base in plan.bases for row in base.rows)
    return [row for row in rows if row["split"] == split]


def cells(rows: list[dict[str, str]]) -> Counter[tuple[str, str]]:
    return Counter((row["modality"], row["task_type"]) for row in rows)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("imbalance", [1.0, 5.0, 20.0])
def test_every_cell_has_its_size_and_the_ratio_is_the_one_asked_for(seed, imbalance) -> None:
    sizes = cell_sizes(20_000, imbalance, seed)
    assert sum(sizes.values()) == 20_000
    assert len(sizes) == 23
    assert max(sizes.values()) / min(sizes.values()) == pytest.approx(imbalance, rel=0.02)
    plan = pool(seed, imbalance=imbalance)
    assert cells(distinct(plan, "train")) == cell_sizes(3 * IMAGES, imbalance, seed)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_shape_changes_the_training_split_alone(seed) -> None:
    plain, shaped = pool(seed), pool(seed, 10, 0.3, 20.0)
    names = ("question", "answer", "modality", "patient_id")
    tests = [
        [tuple(row[name] for name in names) for row in distinct(plan, "test")]
        for plan in (plain, shaped)
    ]
    assert tests[0] == tests[1]
    sizes = cells(distinct(plain, "test")).values()
    assert max(sizes) - min(sizes) <= 1
    assert len(distinct(plain, "train")) == len(distinct(shaped, "train")) == 3 * IMAGES
    patients = {
        split: {row["patient_id"] for row in shaped.rows if row["split"] == split}
        for split in ("train", "test")
    }
    assert not patients["train"] & patients["test"]


@pytest.mark.parametrize("copies", [1, 3, 10, MOST_COPIES])
def test_every_training_row_occurs_as_often_as_asked_and_never_twice_alike(copies) -> None:
    plan = pool(copies=copies)
    repeated = Counter(line["original_row_index"] for line in plan.truth)
    training = [row for base in plan.bases if base.case.split == "train" for row in base.rows]
    assert repeated == ({row: copies - 1 for row in training} if copies > 1 else {})
    assert len(plan.rows) == copies * 3 * IMAGES + len(distinct(plan, "test"))
    assert len({(row["image"], row["question"]) for row in plan.rows}) == len(plan.rows)
    if copies == 10:
        assert {line["kind"] for line in plan.truth} == {*COPIES, "paraphrase"}


def test_a_copy_repeats_its_row_on_the_same_patient() -> None:
    plan = pool(copies=10, wrong=0.3)
    case = {job.path: job.case for job in plan.jobs}
    for line in plan.truth:
        if line["original_row_index"] is not None:
            copy, original = plan.rows[line["row_index"]], plan.rows[line["original_row_index"]]
            for name in ("answer", "patient_id", "split", "task_type", "answer_type"):
                assert copy[name] == original[name]
            assert case[copy["image"]] == case[original["image"]]


def test_the_share_of_wrong_answers_is_exact_and_a_larger_one_holds_the_smaller() -> None:
    right = pool()
    known = {row["id"]: row["answer"] for row in right.rows}
    spoiled: dict[float, set[str]] = defaultdict(set)
    for share in (0.1, 0.3):
        plan = pool(wrong=share)
        assert [row["question"] for row in plan.rows] == [row["question"] for row in right.rows]
        changed = [row for row in plan.rows if row["answer"] != known[row["id"]]]
        assert len(changed) == len(plan.truth) == round(share * 3 * IMAGES)
        assert {row["split"] for row in changed} == {"train"}
        assert {line["kind"] for line in plan.truth} == {"wrong_answer"}
        spoiled[share] = {row["id"] for row in changed}
        assert {row["answer_type"] for row in changed} == {"open", "closed", "choice"}
    assert spoiled[0.1] < spoiled[0.3]


@pytest.mark.parametrize(
    ("shape", "option"),
    [
        (PoolShape(copies=0), "copies"),
        (PoolShape(copies=MOST_COPIES + 1), "copies"),
        (PoolShape(wrong_share=1.0), "wrong_share"),
        (PoolShape(imbalance=0.5), "imbalance"),
    ],
)
def test_a_shape_out_of_range_is_refused(tmp_path, shape, option) -> None:
    with raises_code("phantom_option_invalid", option=option):
        make_phantoms(tmp_path / "set", images=16, seed=0, shape=shape)
    assert not (tmp_path / "set").exists()


def test_an_imbalance_that_leaves_a_cell_empty_is_refused(tmp_path) -> None:
    with raises_code("phantom_cells_empty", rows=48):
        make_phantoms(tmp_path / "set", images=16, seed=0, shape=PoolShape(imbalance=100.0))


def test_other_defects_next_to_a_shape_are_refused(tmp_path) -> None:
    with raises_code("phantom_options_clash"):
        make_phantoms(tmp_path / "set", images=16, seed=0, shape=PoolShape(), wrong_answers=2)


def test_the_command_draws_a_shaped_pool(tmp_path, capsys) -> None:
    from ray_jobs.cli import run

    out = tmp_path / "set"
    assert (
        run(["phantoms", str(out), "--images", "16", "--copies", "2", "--wrong-share", "0.25"]) == 0
    )
    assert "planted defects" in capsys.readouterr().out
    kinds = Counter(pq.read_table(out / "truth.parquet")["kind"].to_pylist())
    assert kinds["wrong_answer"] == 12
    assert sum(kinds.values()) == 12 + 48
    for line in (out / "samples.jsonl").read_text(encoding="utf-8").splitlines():
        assert (out / "images" / json.loads(line)["image"]).is_file()
    assert run(["phantoms", str(out), "--images", "16", "--copies", "3"]) != 0
