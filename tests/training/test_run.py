"""A training in this process: its folder, its result, its lines in the manifest, and all again."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch

from evaluation.evaluate_model import lineage_of
from evaluation.generators import ImageTextGenerator
from medsift.errors import StorageError
from medsift.manifest import RunRecord, append_tables, query, write_manifest
from medsift.models import ImageTextModelConfig
from medsift.models.adapters import with_adapter
from medsift.progress import StepLine, TrainingBegun
from tests.expect import raises_code
from tests.training.conftest import CHAT, START, MakeRun, asked, draw, recipe, write_run
from training.loop.checkpoint import checkpoints
from training.loop.logs import STEPS, read_lines
from training.recipe import TrainingRecipe
from training.results.lineage import read_lineage
from training.run import Trained, train_here
from training.training_id import CHECKPOINTS, open_training

QUICK: dict[str, Any] = {
    "lora": {"rank": 2, "alpha": 4},
    "batches": {"max_samples": 2},
    "checkpoints": {"interval_steps": 2},
    "log": {"tensorboard": False},
    "steps": 3,
}


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four questions on pictures, and one too long to train on."""
    folder = tmp_path_factory.mktemp("origin")
    files = [draw(folder / f"{k}.png", k, 56 + 14 * k, 56) for k in range(4)]
    long = asked("is it clear? " * 400, "no", files[0])
    lines = [asked(f"is {k} clear?", "yes", one) for k, one in enumerate(files)]
    return write_run(folder / "run", [*lines, long])


@pytest.fixture
def run(origin: Path, tmp_path: Path) -> Path:
    """The run, for a test to change."""
    return Path(shutil.copytree(origin, tmp_path / "run"))


@dataclass(frozen=True, slots=True)
class Done:
    """A training that nobody changes, the run it was made on, and what it reported."""

    run: Path
    trained: Trained
    heard: list[TrainingBegun | StepLine]

    @property
    def result(self) -> Path:
        return self.trained.training.result


@pytest.fixture(scope="module")
def done(qwen: Path, origin: Path, tmp_path_factory: pytest.TempPathFactory) -> Done:
    run = Path(shutil.copytree(origin, tmp_path_factory.mktemp("done") / "run"))
    heard: list[TrainingBegun | StepLine] = []
    return Done(run, train_here(recipe(run, qwen, **QUICK), heard.append), heard)


def ask(run: Path, sql: str) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = query(run / "manifest.duckdb", sql).to_pylist()
    return lines


def test_a_training_ends_with_all_that_explains_it(done: Done):
    training = done.trained.training
    assert done.result == done.run / "trainings" / training.training_id / "result"
    names = {path.name for path in done.result.iterdir()}
    assert names >= {"adapter_config.json", "adapter_model.safetensors", "README.md"}
    assert names >= {"lineage.json", "tokenizer.json", "chat_template.jinja"}
    lineage = read_lineage(done.result)
    assert lineage["selection"] == {"name": "chosen", "samples": 5}
    assert (lineage["contaminated"], lineage["benchmarks"], lineage["seed"]) == (None, [], 0)
    assert lineage["base"]["fingerprint"] == training.recipe.base.fingerprint()
    assert TrainingRecipe.model_validate(lineage["recipe"]) == training.recipe
    card = (done.result / "README.md").read_text(encoding="utf-8")
    assert "Not a medical device" in card
    [note] = lineage["notes"]
    assert note.startswith("compared with no benchmark")
    assert note in card
    assert "leaks are unchecked" in card.partition("## Notes")[0]


def test_it_tells_what_it_begins_with_and_every_step(done: Done):
    begun, *steps = done.heard
    assert isinstance(begun, TrainingBegun)
    assert (begun.trained_on, begun.dropped, begun.steps) == (4, 1, 3)
    assert "⟦yes" in begun.example
    assert begun.notes == tuple(read_lineage(done.result)["notes"])
    assert [line.step for line in steps if isinstance(line, StepLine)] == [1, 2, 3]


def test_evaluation_loads_the_adapter_and_knows_where_it_is_from(qwen: Path, done: Done):
    model = ImageTextModelConfig(model=str(qwen))
    adapted = with_adapter(model.build().model, done.result, model)
    assert any("lora_" in name for name, _ in adapted.named_parameters())
    generator = ImageTextGenerator(model=model, adapter=done.result)
    assert lineage_of(generator) == {
        "training_id": done.trained.training.training_id,
        "contaminated": None,
    }


def test_the_manifest_has_the_training_its_curve_drops_and_checkpoints(done: Done):
    run, training = done.run, done.trained.training
    [line] = ask(run, "SELECT * FROM trainings")
    assert (line["training_id"], line["status"]) == (training.training_id, "done")
    assert (line["selection"], line["steps"], line["result_step"]) == ("chosen", 3, 3)
    assert (line["adapter"], line["contaminated"]) == (str(done.result), None)
    curve = ask(run, "SELECT step, loss FROM training_steps ORDER BY step")
    lines = read_lines(training.folder / STEPS)
    assert curve == [{"step": one["step"], "loss": one["loss"]} for one in lines]
    [drop] = ask(run, "SELECT row_id, reason, value, threshold FROM training_drops")
    assert (drop["row_id"], drop["reason"]) == ("s:f.jsonl:4", "too_long")
    assert drop["value"] > drop["threshold"]
    kept = ask(run, "SELECT step, path FROM checkpoints ORDER BY step")
    assert [one["step"] for one in kept] == [2, 3]
    assert [Path(one["path"]) for one in kept] == checkpoints(training.folder / CHECKPOINTS)


def test_a_finished_training_is_reused_and_its_card_renewed(qwen: Path, done: Done, tmp_path: Path):
    run = Path(shutil.copytree(done.run, tmp_path / "run"))
    weights = (done.result / "adapter_model.safetensors").read_bytes()
    append_tables(run / "manifest.duckdb", "one", _evaluated(done.trained.training.training_id))
    heard: list[TrainingBegun | StepLine] = []
    again = train_here(recipe(run, qwen, **QUICK), heard.append)
    assert again.reused
    assert heard == []
    assert again.training.result.is_relative_to(run)
    assert (again.training.result / "adapter_model.safetensors").read_bytes() == weights
    assert len(ask(run, "SELECT * FROM trainings")) == 1
    card = (again.training.result / "README.md").read_text(encoding="utf-8")
    assert "| slake | strict | 0.625 | 0.500 to 0.750 | 40 | 12 | 0.050 |" in card


def test_a_result_that_the_manifest_missed_is_stored_later(
    qwen: Path, run: Path, done: Done, tmp_path: Path
):
    """As after a kill between the two."""
    shutil.copytree(done.run / "trainings", run / "trainings")
    assert ask(run, "SELECT * FROM trainings") == []
    assert train_here(recipe(run, qwen, **QUICK)).reused
    assert [line["status"] for line in ask(run, "SELECT status FROM trainings")] == ["done"]
    assert len(ask(run, "SELECT * FROM training_drops")) == 1
    assert len(ask(run, "SELECT * FROM checkpoints")) == 2


def test_a_result_that_the_manifest_refuses_is_said_to_be_there(
    qwen: Path, run: Path, done: Done, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*given: Any) -> None:
        raise StorageError("the disk is full", code="disk_refused")

    shutil.copytree(done.run / "trainings", run / "trainings")
    monkeypatch.setattr("training.results.manifest_io.append_tables", refuse)
    result = run / done.result.relative_to(done.run)
    with raises_code("disk_refused", result=str(result)):
        train_here(recipe(run, qwen, **QUICK))


def test_a_training_that_fails_is_stored_with_its_curve(qwen: Path, run: Path):
    broken = recipe(run, qwen, **QUICK | {"optimiser": {"lr": 1e30, "warmup_ratio": 0.0}})
    with raises_code("loss_not_finite", step=2):
        train_here(broken)
    [line] = ask(run, "SELECT status, steps, adapter FROM trainings")
    assert line == {"status": "failed", "steps": 1, "adapter": None}
    assert len(ask(run, "SELECT * FROM training_steps")) == 1


def test_the_same_training_has_the_same_name_however_it_is_cut(qwen: Path, run: Path):
    plain = open_training(recipe(run, qwen, **QUICK)).training_id

    def name(**more: Any) -> str:
        return open_training(recipe(run, qwen, **QUICK | more)).training_id

    assert plain.startswith("tiny-")
    assert name(log={"interval_steps": 7}) == name(selection="chosen", run_id="one") == plain
    two = name(workers={"count": 2, "strategy": "fsdp"})
    assert two == name(batches={"max_samples": 2, "grad_accumulation_steps": 2}) != plain
    assert len({plain, name(seed=1), name(steps=4), name(lora={"rank": 4})}) == 4


def test_other_samples_or_weights_are_another_training(qwen: Path, make_run: MakeRun):
    names = set()
    for place, weight in enumerate((1.0, 1.0, 2.0)):
        lines = [asked("is it clear?", "yes", weight=weight), asked("is it large?", "no")]
        made = make_run(lines[: 2 - place % 2] if place < 2 else lines, folder=f"run{place}")
        names.add(open_training(recipe(made, qwen, **QUICK)).training_id)
    assert len(names) == 3


def test_a_model_trained_in_full_is_saved_whole(qwen: Path, run: Path):
    done = train_here(recipe(run, qwen, **QUICK | {"lora": {"full": True}}))
    loaded = ImageTextModelConfig(model=str(done.training.result)).build().model
    base = ImageTextModelConfig(model=str(qwen)).build().model
    moved = {
        name: not torch.equal(one, other)
        for (name, one), other in zip(loaded.named_parameters(), base.parameters(), strict=True)
    }
    assert {moved[name] for name in moved if ".visual." in name} == {False}
    assert sum(moved.values()) > 20
    assert "A full fine-tuning of" in (done.training.result / "README.md").read_text()


def test_leaks_are_left_out_and_told(qwen: Path, make_run: MakeRun, tmp_path: Path):
    lines = [asked(f"is {k} clear?", "yes", split="train") for k in range(3)]
    run = make_run(lines, [asked("what is it?", "a heart", split="test")])
    _add_leak(run, "s:f.jsonl:1")
    wanted = recipe(run, qwen, **QUICK | {"benchmarks": ["split:test"], "leaks": "drop"})
    done = train_here(wanted)
    lineage = read_lineage(done.training.result)
    assert (lineage["trained_on"], lineage["contaminated"], lineage["notes"]) == (2, False, [])
    [drop] = ask(run, "SELECT row_id, reason, detail FROM training_drops")
    assert drop == {
        "row_id": "s:f.jsonl:1",
        "reason": "leak",
        "detail": "leak as s:f.jsonl:3 of split:test",
    }
    allowed = QUICK | {"benchmarks": ["split:test"], "allow_contaminated": True}
    result = train_here(recipe(run, qwen, **allowed)).training.result
    lineage = read_lineage(result)
    assert (lineage["trained_on"], lineage["contaminated"]) == (3, True)
    assert ask(run, "SELECT count(*) AS n FROM trainings WHERE contaminated")[0]["n"] == 1
    assert "prove nothing" in (result / "README.md").read_text(encoding="utf-8")


THINKING = CHAT.replace(
    "{% if turn['content'] is string %}",
    "{% if turn['role'] == 'assistant' and loop.last %}{{ '<think></think>' }}{% endif %}"
    "{% if turn['content'] is string %}",
    1,
)


@pytest.mark.parametrize("rewrites", [False, True], ids=["appends", "rewrites"])
def test_odd_samples_are_dropped_or_shortened_and_the_others_train(
    qwen: Path, make_run: MakeRun, tmp_path: Path, rewrites: bool
):
    base = shutil.copytree(qwen, tmp_path / "base")
    if rewrites:
        (base / "chat_template.jinja").write_text(THINKING, encoding="utf-8")
    picture = draw(tmp_path / "a.png", 0)
    two = [("user", "a?"), ("assistant", "yes"), ("user", "b?"), ("assistant", "no")]
    run = make_run(
        [
            asked("is it clear?", "yes", picture),
            asked("<|vision_start|><|image_pad|><|vision_end|> is it?", "no", picture),
            asked("is it?", "the <|video_pad|> is", picture),
            asked("is a <|image_pad|> text?", "yes"),
            asked("is it clear?", "no<|im_end|>"),
            {"turns": two, "pictures": ()},
            asked("what is it?", "a lung"),
        ]
    )
    done = train_here(recipe(run, base, **QUICK))
    lineage = read_lineage(done.training.result)
    assert (lineage["status"], lineage["trained_on"], lineage["dropped"]) == ("done", 3, 4)
    drops = ask(run, "SELECT row_id, reason, detail FROM training_drops ORDER BY row_id")
    assert [drop["row_id"][-1] for drop in drops] == ["1", "2", "3", "4"]
    assert {drop["reason"] for drop in drops} == {"special_token"}
    assert "<|im_end|>" in drops[3]["detail"]
    shortened = [note for note in lineage["notes"] if note.startswith("1 answers of 1 samples")]
    assert len(shortened) == rewrites


def test_odd_samples_that_were_to_be_held_out_do_not_end_a_training(qwen: Path, make_run: MakeRun):
    lines = [asked(f"is {k} clear?", "yes", split="train") for k in range(3)]
    odd = asked("a <|video_pad|>?", "a heart", split="test")
    run = make_run(lines, [odd])
    held = {"data": {"held_out": {"split": "test"}}}
    lineage = read_lineage(train_here(recipe(run, qwen, **QUICK | held)).training.result)
    assert (lineage["held_out"], lineage["held_out_loss"], lineage["dropped"]) == (0, None, 1)
    assert [note for note in lineage["notes"] if note.startswith("nothing is held out")]
    with raises_code("selection_untrainable", reasons={"special_token": 1}):
        train_here(recipe(run, qwen, **QUICK | held | {"early_stopping": {"patience": 1}}))


def test_what_one_process_cannot_do_is_refused(qwen: Path, run: Path):
    wanted = recipe(run, qwen, **QUICK | {"checkpoints": {"storage": "hdfs://host/trainings"}})
    with raises_code("path_not_local", path="hdfs://host/trainings"):
        train_here(wanted)


def test_a_folder_that_is_no_result_is_told(tmp_path: Path):
    with raises_code("training_result_unreadable", path=str(tmp_path), missing=[]):
        read_lineage(tmp_path)
    (tmp_path / "lineage.json").write_text("{}")
    with raises_code("training_result_unreadable", missing=["recipe", "training_id"]):
        read_lineage(tmp_path)


def _add_leak(run: Path, row: str) -> None:
    """Write the run again with a leak into its test split."""
    manifest = run / "manifest.duckdb"
    tables = {
        name: query(manifest, f"SELECT * EXCLUDE (run_id) FROM {name}")
        for name in ("rows", "samples", "images", "selections")
    }
    tables["leaks_found"] = pa.Table.from_pylist(
        [{"row_id": row, "sample_id": "id", "benchmark": "split:test", "item_id": "s:f.jsonl:3",
          "kind": "same_image", "similarity": 1.0, "verdict": "leak"}]
    )  # fmt: skip
    manifest.unlink()
    write_manifest(manifest, tables, RunRecord("one", "test", START))


def _evaluated(training_id: str) -> dict[str, pa.Table]:
    shared = {"evaluation_id": "e", "benchmark": "slake"}
    line = shared | {"model": "m", "training_id": training_id, "created_at": START}
    metric = shared | {
        "variant": "original",
        "facet": "all",
        "facet_value": "all",
        "metric": "accuracy",
        "value": 0.625,
        "low": 0.5,
        "high": 0.75,
        "n": 40,
        "clusters": 12,
        "unparsed_rate": 0.05,
        "protocol": "strict",
    }
    return {
        "evaluations": pa.Table.from_pylist([line]),
        "metrics": pa.Table.from_pylist([metric]),
    }
