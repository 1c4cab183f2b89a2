"""`medsift check`: every kind of recipe is planned, nothing runs, and what is missing is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import medsift as ms
from medsift.yaml_text import read_yaml
from ray_jobs.check.amounts import ONE, parameters, picture_tokens, source_amount
from ray_jobs.check.check import check_recipe
from ray_jobs.check.plan import HARDWARE
from ray_jobs.check.recipe_kinds import load_any, recipe_kinds
from ray_jobs.cli import app
from ray_jobs.cli_args import shipped
from tests.expect import raises_code
from tests.tiny_models import qwen, saved
from tests.training.conftest import asked, draw, write_run


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory without data, and a hub's cache without models."""
    for name in ("MEDSIFT_DATA", "MEDSIFT_PHANTOMS", "MEDSIFT_RUN"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checked")
    lines = [asked(f"is {at} clear?", "yes", draw(folder / f"{at}.png", at)) for at in range(5)]
    saved(qwen(), folder / "model")
    return write_run(folder / "run", lines)


def training(run: Path, **more: object) -> dict[str, object]:
    base = {"kind": "transformers", "model": str(run.parent / "model")}
    return {"name": "tiny", "run": str(run), "base": base, "selection": "chosen"} | more


def written(folder: Path, settings: object) -> str:
    path = folder / "recipe.yaml"
    path.write_text(json.dumps(settings))
    return str(path)


@pytest.mark.parametrize("name", sorted(shipped()))
def test_every_shipped_recipe_has_a_plan_that_says_what_is_missing(name: str, elsewhere: Path):
    plan = check_recipe(name)
    keys = set(read_yaml(shipped()[name].read_text()))
    assert keys <= set(recipe_kinds()[plan.kind].model_fields)
    whole = json.loads(json.dumps(plan.to_dict()))
    assert whole["ready"] == (not whole["missing"])
    assert "\n".join(plan.lines())
    assert not any((elsewhere / "here").iterdir())


def test_the_published_shape_is_planned_where_nothing_is_there():
    fine, policy = (check_recipe(name).to_dict() for name in ("infimed_3b_sft", "infimed_3b_rl"))
    [sft] = [step for step in fine["steps"] if step["learns"]]
    assert sft["rows"] == 188_000
    assert 0.5 < sft["gpu_hours"] < 50
    draw_step, rl = policy["steps"]
    assert draw_step["formula"] == "generate"
    # One pass over the 36,000 questions, eight replies each.
    assert rl["rows"] == pytest.approx(36_000 * 8, rel=0.01)
    assert {"source general", "source text_reasoning"} <= {
        line.partition(":")[0] for line in fine["missing"]
    }
    assert any("Qwen/Qwen2.5-VL-3B-Instruct" in line for line in fine["missing"])
    assert any("rl_pool" in line for line in policy["missing"])


def test_arithmetic_is_that_of_the_formulas(run: Path, tmp_path: Path):
    n, _ = parameters({"model": str(run.parent / "model")})
    for more, factor in (({}, 4), ({"lora": {"full": True}}, 6), ({"trainable": "projector"}, 4)):
        plan = check_recipe(written(tmp_path, training(run, epochs=3, **more))).to_dict()
        assert plan["ready"], plan["missing"]
        [step] = plan["steps"]
        text = 5 * (len("is 0 clear?") + len("yes")) // 4
        assert step["tokens"] == 3 * (text + 5 * picture_tokens({}, None))
        assert step["flops"] == factor * n * step["tokens"]
        assert step["rows"] == 15
        rate = HARDWARE["h100"].flops * HARDWARE["h100"].training
        assert step["gpu_hours"] == pytest.approx(step["flops"] / rate / 3600)


def test_pairs_and_steps_decide_what_is_seen(run: Path, tmp_path: Path):
    def seen(**more: object) -> int:
        return check_recipe(written(tmp_path, training(run, **more))).to_dict()["steps"][0]["rows"]

    assert seen(pairs=7) == 7
    assert seen(steps=3, batches={"max_samples": 4, "grad_accumulation_steps": 2}) == 24


def test_parameters_are_those_of_the_weights(run: Path):
    model, _ = qwen()
    assert parameters({"model": str(run.parent / "model")})[0] == model.num_parameters()
    assert parameters({"model": "Qwen/Qwen2.5-VL-3B-Instruct"})[0] == 3e9
    assert parameters({"model": "someone/SmolLM2-135M"})[0] == 135e6
    assert parameters({"model": "someone/nameless"})[0] is None


@pytest.mark.parametrize("rows", [0, 3, 1_000, 5_000])
@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv", "parquet"])
def test_rows_of_a_source_are_counted_or_estimated(tmp_path: Path, rows: int, suffix: str):
    import pyarrow as pa
    import pyarrow.csv as pa_csv
    import pyarrow.parquet as pq

    from curation.sources.table import TableReader

    path = tmp_path / f"t.{suffix}"
    table = pa.table({"question": ["is it clear?"] * rows, "answer": ["yes"] * rows})
    if suffix == "parquet":
        pq.write_table(table, path)
    elif suffix == "csv":
        pa_csv.write_csv(table, path)
    elif suffix == "json":
        path.write_text(json.dumps(table.to_pylist()))
    else:
        path.write_text("".join(json.dumps(line) + "\n" for line in table.to_pylist()))
    found = source_amount(TableReader(name="t", path=str(path)))
    assert found is not None
    assert found.rows == pytest.approx(rows, rel=0.02)


def test_what_is_missing_ends_with_its_own_status_and_is_listed(run: Path, tmp_path: Path):
    invoke = CliRunner().invoke
    good = written(tmp_path, training(run, benchmarks=["split:test"]))
    assert invoke(app, ["check", good]).exit_code == 0
    gone = invoke(app, ["check", good, "--json", "--set", "selection=gone", "--rows", "40"])
    assert gone.exit_code == 3
    plan = json.loads(gone.stdout)
    assert [line for line in plan["missing"] if "gone" in line]
    assert plan["steps"][0]["rows"] == 40
    assert plan["steps"][0]["images"] == 40 * ONE.images


def test_a_variable_that_is_not_set_is_named_and_the_plan_still_printed(run: Path, tmp_path: Path):
    path = Path(written(tmp_path, training(run)))
    path.write_text(path.read_text().replace(str(run), "${RUN_OF_MINE}"))
    plan = check_recipe(str(path))
    assert any("RUN_OF_MINE" in line for line in plan.missing)
    assert plan.steps
    with raises_code("environment_variable_missing"):
        ms.train(str(path))


def test_a_recipe_that_is_none_is_refused_in_one_line(tmp_path: Path):
    with raises_code("recipe_invalid"):
        check_recipe(written(tmp_path, {"name": "x", "base": {"kind": "embedded"}, "run": 3}))
    with raises_code("recipe_unreadable"):
        check_recipe(written(tmp_path, ["a list"]))
    with raises_code("recipe_missing"):
        check_recipe("nameless")
    with raises_code("option_invalid"):
        check_recipe("three_stages", gpu="abacus")


def test_the_kind_follows_from_the_keys(tmp_path: Path):
    for name, kind in (
        ("phantoms", "curate"),
        ("study_phantoms", "study"),
        ("train_rl_phantoms", "train"),
        ("rollouts_phantoms", "rollouts"),
        ("three_stages", "stages"),
        ("tune_phantoms", "tune"),
        ("construct_phantoms", "construct"),
        ("evaluate_phantoms", "evaluate"),
    ):
        assert load_any(shipped()[name])[0] == kind


def test_from_python_the_plan_is_the_same(run: Path, tmp_path: Path):
    path = written(tmp_path, training(run))
    assert ms.check(path).to_dict() == check_recipe(path).to_dict()
