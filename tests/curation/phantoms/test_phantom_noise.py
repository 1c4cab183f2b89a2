"""Noise on request: nothing without it, and with it only the planted rows change."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest

from curation.phantoms import make_phantoms
from curation.phantoms.cases import draw_case
from curation.phantoms.defects import KEPT, PhantomPlan, plan_set
from curation.phantoms.noise import plant_noise
from curation.phantoms.questions import LETTERS, answer_on, ask
from medsift import records
from tests.expect import raises_code

# Rows, truth and pictures of 40 images from seed 5, as they were before noise could be asked for.
GOLDEN = "40c83d49777ac1b1ea0c7f1c0aba1e1decfc7f9fae84cb03681a442e6bcd91b4"
NOISE_KINDS = ("wrong_answer", "mismatched")


def noisy_plan(images: int, seed: int, wrong: int, mismatched: int) -> PhantomPlan:
    plan = plan_set(images, seed)
    plant_noise(plan, wrong, mismatched)
    return plan


def noise(plan: PhantomPlan) -> dict[int, str]:
    return {line["row_index"]: line["kind"] for line in plan.truth if line["kind"] in NOISE_KINDS}


def test_without_noise_a_set_is_what_it_always_was() -> None:
    plan = noisy_plan(40, 5, 0, 0)
    jobs = [repr(job) for job in plan.jobs]
    assert records.fingerprint([plan.rows, plan.truth, jobs]) == GOLDEN


@pytest.mark.parametrize("seed", [0, 1])
def test_only_sound_training_rows_change_and_only_in_one_thing(seed) -> None:
    clean, plan = plan_set(60, seed), noisy_plan(60, seed, 20, 30)
    found = noise(plan)
    assert Counter(found.values()) == {"wrong_answer": 20, "mismatched": 30}
    assert plan.truth[: len(clean.truth)] == clean.truth
    assert plan.jobs[: len(clean.jobs)] == clean.jobs
    assert len(plan.rows) == len(clean.rows)
    planted = {line["row_index"] for line in clean.truth}
    planted |= {line["original_row_index"] for line in clean.truth}
    for place, (before, after) in enumerate(zip(clean.rows, plan.rows, strict=True)):
        changed = {name for name in before if before[name] != after[name]}
        expected = {"wrong_answer": {"answer"}, "mismatched": {"image"}, None: set()}
        assert changed == expected[found.get(place)]
        if changed:
            assert before["split"] == "train"
            assert place not in planted


def test_a_wrong_answer_could_have_been_given() -> None:
    clean, plan = plan_set(60, 2), noisy_plan(60, 2, 60, 0)
    for place in noise(plan):
        before, after = clean.rows[place], plan.rows[place]
        if before["answer_type"] == "closed":
            assert {before["answer"], after["answer"]} == {"yes", "no"}
        else:
            assert before["answer_type"] == "choice"
            assert f"({after['answer']}) " in after["question"]
            assert after["answer"] in LETTERS


def test_a_question_moves_to_a_picture_of_its_own_that_it_does_not_fit() -> None:
    clean, plan = plan_set(60, 3), noisy_plan(60, 3, 0, 40)
    shown = Counter(row["image"] for row in plan.rows)
    cases = {job.path: job.case for job in plan.jobs}
    used = {base.rows[place]: base.used[place] for base in plan.bases for place in range(6)}
    for place in noise(plan):
        row = plan.rows[place]
        case = cases[row["image"]]
        assert shown[row["image"]] == 1
        assert case.modality != clean.rows[place]["modality"] == row["modality"]
        assert answer_on(used[place], case) != row["answer"]
    drawn = [cases[plan.rows[place]["image"]].index for place in noise(plan)]
    known = {job.case.index for job in clean.jobs}
    assert len(set(drawn)) == len(drawn)
    assert known.isdisjoint(drawn)


def test_dedup_keeps_every_planted_row() -> None:
    plan = noisy_plan(60, 4, 10, 10)
    lines = [line for line in plan.truth if line["kind"] in NOISE_KINDS]
    assert {line["expected"] for line in lines} == {KEPT}
    assert {line["original_row_index"] for line in lines} == {None}


@pytest.mark.parametrize("index", range(24))
def test_a_question_has_its_own_answer_on_its_own_picture(index) -> None:
    case = draw_case(7, index)
    for question in ask(case, np.random.default_rng(index)):
        assert answer_on(question, case) == question.answer


def test_what_does_not_arise_on_a_picture_has_no_answer_there() -> None:
    cases = [draw_case(0, index) for index in range(200)]
    ultrasound = next(case for case in cases if case.modality == "us" and not case.lesions)
    head = next(case for case in cases if case.plane == "axial" and len(case.sides) == 1)
    asked = {question.wordings: question for question in ask(head, np.random.default_rng(0))}
    for question in asked.values():
        found = answer_on(question, ultrasound)
        if question.task == "plane" or (question.task == "side"):
            assert found is None
        if question.task == "presence":
            assert (found, question.answer) == ("no", "yes")
    chest = next(case for case in cases if case.modality == "xray")
    liver = [
        question
        for case in cases
        for question in ask(case, np.random.default_rng(case.index))
        if "the liver" in question.text and question.answer_type == "closed"
    ]
    assert liver
    assert {answer_on(question, chest) for question in liver} == {None}


def test_more_noise_than_sound_rows_is_refused() -> None:
    with raises_code("phantom_rows_too_few", kind="mismatched", asked=1000):
        noisy_plan(40, 0, 0, 1000)
    with raises_code("phantom_rows_too_few", kind="wrong_answer", asked=1000):
        noisy_plan(40, 0, 1000, 0)


def test_a_set_with_noise_is_another_set(tmp_path) -> None:
    made = make_phantoms(tmp_path / "set", images=16, seed=1, wrong_answers=3, mismatched=2)
    truth = Counter(pq.read_table(made.truth)["kind"].to_pylist())
    assert (truth["wrong_answer"], truth["mismatched"]) == (3, 2)
    assert make_phantoms(tmp_path / "set", images=16, seed=1, wrong_answers=3, mismatched=2) == made
    for line in made.samples.read_text(encoding="utf-8").splitlines():
        image = made.images / json.loads(line)["image"]
        assert image.exists() or truth["missing_image"]
    with raises_code("phantom_folder_in_the_way"):
        make_phantoms(tmp_path / "set", images=16, seed=1)


@pytest.mark.parametrize("bad", [{"wrong_answers": -1}, {"mismatched": -1}])
def test_less_than_no_noise_is_refused(tmp_path, bad) -> None:
    with raises_code("phantom_option_invalid", option=next(iter(bad)), least=0):
        make_phantoms(tmp_path / "out", images=16, seed=0, **bad)
    assert not (tmp_path / "out").exists()


def test_the_command_plants_noise(tmp_path, capsys) -> None:
    from ray_jobs.cli import run

    out = tmp_path / "set"
    options = ["--images", "16", "--wrong-answers", "4", "--mismatched", "3"]
    assert run(["phantoms", str(out), *options]) == 0
    assert "planted defects" in capsys.readouterr().out
    truth = Counter(pq.read_table(out / "truth.parquet")["kind"].to_pylist())
    assert (truth["wrong_answer"], truth["mismatched"]) == (4, 3)
