"""A run in an object store is trained on, resumed elsewhere, evaluated and exported from there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from curation.exports.write_export import export
from evaluation.evaluate import evaluate
from evaluation.recipe import EvaluationRecipe
from medsift.execution import LocalExecutor
from medsift.manifest import read
from medsift.progress import StepLine, TrainingBegun
from medsift.storage import mirror
from medsift.storage.mirror import fetch, location, mirror_of
from medsift.storage.open_store import open_store
from medsift.storage.stored_folder import fetch_folder
from tests.expect import raises_code
from tests.stores import keys_in
from tests.training.conftest import asked, draw, recipe, write_run
from training.loop.checkpoint import checkpoints, folder_name
from training.loop.logs import STEPS, read_lines
from training.run import train_here
from training.training_id import CHECKPOINTS, open_training

SETTINGS: dict[str, Any] = {
    "steps": 6,
    "lora": {"rank": 2, "alpha": 4},
    "batches": {"max_samples": 1, "grad_accumulation_steps": 2},
    "checkpoints": {"interval_steps": 2, "keep": 2},
    "log": {"tensorboard": False},
}
ADAPTER = "adapter_model.safetensors"
CURVE = ("step", "loss", "samples", "tokens")


@pytest.fixture
def lines(tmp_path) -> list[dict[str, Any]]:
    files = [draw(tmp_path / f"{k}.png", k, 56 + 14 * k, 56) for k in range(3)]
    return [asked(f"is {k} clear?", ("yes", "no")[k % 2], one) for k, one in enumerate(files)]


@pytest.fixture
def be(bucket_url, monkeypatch, tmp_path) -> Callable[[str], None]:
    """Become another machine, which shares nothing but the store and the pictures."""

    def move(name: str) -> None:
        monkeypatch.setenv("MEDSIFT_CACHE_DIR", str(tmp_path / name))
        monkeypatch.setattr(mirror, "_compared", set())

    move("first")
    return move


def curve(folder: Path) -> list[list[Any]]:
    return [[line[name] for name in CURVE] for line in read_lines(folder / STEPS)]


def stopping_at(step: int) -> Callable[[TrainingBegun | StepLine], None]:
    def listen(event: TrainingBegun | StepLine) -> None:
        if isinstance(event, StepLine) and event.step == step:
            raise KeyboardInterrupt

    return listen


def test_begun_on_one_machine_it_ends_on_another_as_if_nothing_had_happened(
    bucket_url, object_store, lines, be, qwen, tmp_path
):
    plain = train_here(recipe(write_run(tmp_path / "run", lines), qwen, **SETTINGS))
    url = f"{bucket_url}/run"
    write_run(mirror_of(url), lines)
    with pytest.raises(KeyboardInterrupt):
        train_here(recipe(url, qwen, **SETTINGS), stopping_at(5))
    folder = open_training(recipe(url, qwen, **SETTINGS)).home / CHECKPOINTS
    assert [path.name for path in checkpoints(folder)] == [folder_name(2), folder_name(4)]

    be("second")
    heard: list[TrainingBegun | StepLine] = []
    done = train_here(recipe(url, qwen, **SETTINGS), heard.append)
    assert [event.resumed_step for event in heard if isinstance(event, TrainingBegun)] == [4]
    ours, theirs = done.training, plain.training
    assert ours.training_id == theirs.training_id
    assert (ours.result / ADAPTER).read_bytes() == (theirs.result / ADAPTER).read_bytes()
    assert curve(ours.folder) == curve(theirs.folder)

    be("third")
    again = train_here(recipe(url, qwen, **SETTINGS))
    assert again.reused
    assert curve(again.training.folder) == curve(theirs.folder)
    place = f"{url}/trainings/{ours.training_id}"
    rows = read(again.training.manifest, "SELECT status, adapter FROM trainings").to_pylist()
    assert rows == [{"status": "done", "adapter": f"{place}/result"}]
    paths = read(again.training.manifest, "SELECT path FROM checkpoints ORDER BY step")
    assert paths["path"].to_pylist() == [
        f"{place}/{CHECKPOINTS}/{folder_name(step)}" for step in (4, 6)
    ]
    # What is no longer wanted is gone from the store, too.
    kept = [key for key in keys_in(object_store, bucket_url[5:]) if folder_name(2) in key]
    assert kept == []


def test_a_checkpoint_whose_upload_was_cut_short_is_none(bucket_url, lines, be, qwen, monkeypatch):
    url = f"{bucket_url}/run"
    write_run(mirror_of(url), lines)
    with pytest.raises(KeyboardInterrupt):
        train_here(recipe(url, qwen, **SETTINGS), stopping_at(5))
    training = open_training(recipe(url, qwen, **SETTINGS))
    newest = checkpoints(training.home / CHECKPOINTS)[-1]
    key = location(newest).removeprefix(f"{bucket_url}/")
    # A part of it was damaged: the training says so instead of continuing from it.
    store = open_store(bucket_url)
    store.write(f"{key}/trained.safetensors", b"short")
    be("second")
    with raises_code("folder_damaged"):
        train_here(recipe(url, qwen, **SETTINGS))
    store.remove([f"{key}/files.json"])
    with pytest.raises(FileNotFoundError):
        fetch_folder(newest)


def test_an_adapter_of_the_store_is_evaluated_into_the_store(
    bucket_url, object_store, lines, be, qwen
):
    url = f"{bucket_url}/run"
    held_out = [asked(f"and {k}?", "yes", split="test", answer_type="closed") for k in range(2)]
    write_run(mirror_of(url), lines, held_out)
    done = train_here(recipe(url, qwen, **SETTINGS | {"steps": 2}))
    adapter = location(done.training.result)
    be("second")
    wanted = EvaluationRecipe.model_validate(
        {
            "name": "asked",
            "run": url,
            "cache": f"{bucket_url}/cache",
            "models": [
                {
                    "kind": "image_text",
                    "model": {"model": str(qwen)},
                    "adapter": adapter,
                    "generation": {"max_new_tokens": 3},
                }
            ],
            "benchmarks": [{"kind": "manifest", "path": url}],
        }
    )
    assert wanted.resolved()["models"][0]["adapter"] == adapter
    replies = "SELECT item_id, reply, training_id FROM predictions ORDER BY item_id"
    first = read(evaluate(wanted, LocalExecutor()).manifest, replies).to_pylist()
    assert len(first) == len(held_out)
    assert {row["training_id"] for row in first} == {done.training.training_id}
    left = [key for key in keys_in(object_store, bucket_url[5:]) if "/evaluations/" in key]
    assert left == []
    be("third")
    asked_again: list[int] = []

    class Counting(LocalExecutor):
        """Counts what is asked."""

        def stream(self, items, *more, **options) -> None:
            asked_again.extend(range(len(items)))
            super().stream(items, *more, **options)

    again = evaluate(wanted, Counting())
    assert asked_again == []  # every reply is in the cache of the store
    assert read(again.manifest, replies).to_pylist() == first


@pytest.mark.parametrize("style", ["messages", "webdataset"])
def test_a_selection_is_exported_into_the_store(bucket_url, lines, be, style, object_store):
    url, out = f"{bucket_url}/run", mirror_of(f"{bucket_url}/sft/{style}")
    write_run(mirror_of(url), lines)
    made = export(mirror_of(url), style, out)
    assert made.rows == len(lines)
    rows = read(mirror_of(url) / "manifest.duckdb", "SELECT path FROM exports")["path"]
    assert rows.to_pylist() == [f"{bucket_url}/sft/{style}"]
    be("second")
    if style == "messages":
        written = fetch(out).read_text()
        assert len(json.loads(written) if written.startswith("[") else written.splitlines()) == 3
    else:
        assert list(fetch_folder(out).rglob("*.tar"))
    with raises_code("export_output_in_the_way"):
        export(mirror_of(url), style, out)
    assert keys_in(object_store, bucket_url[5:])
