"""`medsift train` and `merge`: killed alone or on Ray they end the same, and refuse in one line."""

# Fixtures of another room are imported, and then named by whoever wants them.
# ruff: noqa: F811

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from medsift.storage.atomic import atomic_folder
from medsift.storage.mirror import mirror_of
from ray_jobs import training as ray_training
from ray_jobs.ray_checkpoints import RayCheckpointStore
from tests.expect import raises_code
from tests.ray_jobs.conftest import Command, Said
from tests.stores import keys_in, proxy
from tests.training.conftest import (  # noqa: F401 - fixtures
    asked,
    draw,
    llama,
    qwen,
    recipe,
    write_run,
)
from training.loop.checkpoint import FolderCheckpointStore, checkpoints, folder_name
from training.loop.logs import STEPS, read_lines
from training.recipe import WorkersConfig
from training.run import train_here
from training.training_id import CHECKPOINTS

ADAPTER = "adapter_model.safetensors"
CURVE = ("step", "epoch", "loss", "learning_rate", "grad_norm", "samples", "tokens")
STEPS_IN_ALL = 8
Train = Callable[..., Said]


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose samples show pictures, but for two."""
    folder = tmp_path_factory.mktemp("origin")
    files = [draw(folder / f"{k}.png", k, 56 + 14 * k, 56) for k in range(3)]
    lines = [asked(f"is {k} clear?", ("yes", "no")[k % 2], one) for k, one in enumerate(files)]
    return write_run(folder / "run", [*lines, asked("what is it?", "a heart"), asked("a?", "no")])


@pytest.fixture
def run(origin: Path, tmp_path: Path) -> Path:
    """The run, for a test to train on."""
    return Path(shutil.copytree(origin, tmp_path / "run"))


def settings(**more: Any) -> dict[str, Any]:
    return {
        "steps": STEPS_IN_ALL,
        "lora": {"rank": 2, "alpha": 4},
        "batches": {"max_samples": 1, "grad_accumulation_steps": 2},
        "optimiser": {"lr": 1e-2},
        "checkpoints": {"interval_steps": 2},
        "log": {"tensorboard": False},
        **more,
    }


@pytest.fixture(scope="module")
def uninterrupted(qwen: Path, origin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that nothing disturbed."""
    run = Path(shutil.copytree(origin, tmp_path_factory.mktemp("plain") / "run"))
    return train_here(recipe(run, qwen, **settings())).training.folder


def curve(folder: Path) -> list[dict[str, Any]]:
    return [{name: line[name] for name in CURVE} for line in read_lines(folder / STEPS)]


def check_same(folder: Path, wanted: Path) -> None:
    """The same steps, and the same bits at the end."""
    assert folder.name == wanted.name
    assert curve(folder) == curve(wanted)
    ours, theirs = (place / "result" / ADAPTER for place in (folder, wanted))
    assert ours.read_bytes() == theirs.read_bytes()


# Killed, alone and on Ray.


@pytest.mark.slow
def test_the_command_killed_at_a_random_step_goes_on(
    command: Command,
    medsift: Train,
    qwen: Path,
    run: Path,
    uninterrupted: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    path = tmp_path / "train.yaml"
    given = {"name": "tiny", "run": "run", "base": {"kind": "transformers", "model": str(qwen)}}
    path.write_text(yaml.safe_dump(given | settings()), encoding="utf-8")
    process = command.start("train", path, "--local", "--log-json")
    last = random.Random().randrange(1, STEPS_IN_ALL - 1)
    _read_until(process.stdout, last)
    process.kill()
    process.communicate()
    monkeypatch.chdir(tmp_path)
    said = medsift("train", path, "--local", "--log-json")
    assert said.code == 0, said.err
    begun, *steps, end = (json.loads(line) for line in said.out.splitlines())
    assert begun["event"] == "training_begun"
    # The step that was read last may not have reached its checkpoint.
    assert begun["resumed_step"] >= (last - 1) // 2 * 2
    assert [one["step"] for one in steps] == list(
        range(begun["resumed_step"] + 1, STEPS_IN_ALL + 1)
    )
    assert (end["event"], end["contaminated"], end["reused"]) == ("training_finished", None, False)
    check_same(Path(end["result"]).parent, uninterrupted)


# Workers on Ray.


@pytest.mark.parametrize(
    ("workers", "held", "number", "each"),
    [
        ({"count": 2}, {"CPU": 8.0}, 2, {"CPU": 4.0}),
        ({"count": 3, "min_count": 2}, {"CPU": 2.0}, (2, 3), {"CPU": 1.0}),
        ({"count": 2, "decoding": "ray_data"}, {"CPU": 8.0}, 2, {"CPU": 3.0}),
        ({"count": 2}, {"CPU": 16.0, "GPU": 2.0}, 2, {"CPU": 4.0, "GPU": 1.0}),
        ({"count": 2, "min_count": 1, "decoding": "ray_data"}, {"CPU": 2.0}, 1, {"CPU": 1.0}),
        ({"count": 2, "decoding": "ray_data"}, {"CPU": 2.0, "GPU": 2.0}, 2, {"GPU": 1.0}),
    ],
)
def test_workers_share_the_machine_and_leave_ray_data_its_part(
    workers, held, number, each, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(ray_training, "cluster_resources", lambda: held)
    made = ray_training.scaling(WorkersConfig.model_validate(workers))
    assert made.num_workers == number
    assert made.resources_per_worker == each


@pytest.mark.parametrize(
    ("workers", "wanted", "available"),
    [({"count": 3}, 3, 2), ({"count": 2, "decoding": "ray_data"}, 2, 1)],
)
def test_too_few_cores_are_refused(workers, wanted, available, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ray_training, "cluster_resources", lambda: {"CPU": 2.0})
    with raises_code("workers_too_many", wanted=wanted, available=available):
        ray_training.scaling(WorkersConfig.model_validate(workers))


def test_gpus_that_are_not_there_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ray_training, "cluster_resources", lambda: {"CPU": 2.0})
    with raises_code("gpu_missing", setting="workers.gpus"):
        ray_training.scaling(WorkersConfig.model_validate({"gpus": True}))


# Checkpoints on Ray.


def test_the_newest_is_what_is_there_and_a_checkpoint_without_its_state_is_none(
    uninterrupted: Path, tmp_path: Path
):
    folder = Path(shutil.copytree(uninterrupted / CHECKPOINTS, tmp_path / CHECKPOINTS))
    paths = checkpoints(folder)
    keeper = RayCheckpointStore(FolderCheckpointStore(folder, 2))
    assert keeper.newest() == paths[-1]
    (paths[-1] / "state.json").unlink()
    assert keeper.newest() == paths[-2]
    shutil.rmtree(paths[-2])
    assert keeper.newest() is None


def test_the_newest_and_the_best_stay_and_where_the_store_refuses_the_old_ones_too(
    bucket_url: str, object_store: str, monkeypatch: pytest.MonkeyPatch, caplog: Any
):
    folder = mirror_of(bucket_url) / CHECKPOINTS
    names = [folder_name(step) for step in (2, 4, 6, 8)]
    for name in names:
        with atomic_folder(folder / name) as partial:
            (partial / "state.json").write_text("{}")
    keeper = FolderCheckpointStore(folder, 1)

    def keeps_all(method: str, path: str, number: int) -> int | None:
        """A store whose policy lets nobody remove anything."""
        return 403 if "delete" in path or method == "DELETE" else None

    with monkeypatch.context() as patch, proxy(object_store, keeps_all) as address:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{address}")
        keeper.clear(names, best_step=2)
    assert caplog.text.count("an old checkpoint stays") == 2
    caplog.clear()
    keeper.clear(names, best_step=2)
    assert "an old checkpoint stays" not in caplog.text
    assert [path.name for path in checkpoints(folder)] == [folder_name(2), folder_name(8)]
    left = {key.split("/")[1] for key in keys_in(object_store, bucket_url.removeprefix("s3://"))}
    assert left == {folder_name(2), folder_name(8), "checkpoints.json"}


# What people see, and what is refused.


def test_people_see_the_example_once_and_what_comes_next(
    medsift: Train,
    qwen: Path,
    run: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.chdir(run.parent)
    words = ["train", "--base", str(qwen), "--run-dir", "run", "--selection", "chosen", "--local"]
    quick = ["--set", "steps=2", "--set", "lora.rank=2", "--set", "log.tensorboard=false"]
    said = medsift(*words, *quick)
    assert said.code == 0, said.err
    assert said.err.count("⟦") == 2
    assert "step 1 of 2: loss " in said.err
    assert "unchecked: compared with no benchmark" in said.out
    [result] = (run / "trainings").glob("train-chosen-*/result")
    shown = result.relative_to(run.parent)
    assert f"medsift evaluate --model {qwen} --adapter {shown} --benchmark" in said.out
    again = medsift(*words, *quick)
    assert "(finished before)" in again.out
    assert "⟦" not in again.err
    merged = medsift("merge", shown, "--output", "merged")
    assert merged.code == 0, merged.err
    assert "medsift evaluate --model merged" in merged.out
    refused = medsift("merge", shown, "--output", "other", "--tolerance", "0")
    check_refused(refused, 3, "merge_refused")


BAD: dict[str, tuple[list[str], int, str]] = {
    "nothing named": ([], 2, "command_invalid"),
    "no such recipe": (["absent"], 2, "recipe_missing"),
    "no run": (["--run-dir", "gone", "--base", "qwen"], 2, "manifest_missing"),
    "no selection": (["--selection", "small"], 2, "selection_unknown"),
    "no model": (["--base", "./gone"], 3, "model_unloadable"),
    "no template": (["--base", "bare"], 3, "chat_template_unusable"),
    "no such layer": (["--set", "lora.targets=nothing"], 2, "trainable_parts_invalid"),
    "no GPU": (["--set", "workers.gpus=true"], 2, "gpu_missing"),
    "no number": (["--set", "optimiser.lr=1e30"], 3, "loss_not_finite"),
    "too long": (["--set", "data.max_tokens=3"], 3, "selection_untrainable"),
    "not compared": (["--set", "benchmarks=[slake]"], 4, "selection_contaminated"),
    "remote": (["--set", "checkpoints.storage=hdfs://b/t"], 2, "path_not_local"),
}


@pytest.fixture
def bare(llama: Path, tmp_path: Path) -> None:
    """A model without a chat template."""
    folder = Path(shutil.copytree(llama, tmp_path / "bare"))
    (folder / "chat_template.jinja").unlink()


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line(
    name: str,
    medsift: Train,
    qwen: Path,
    run: Path,
    bare: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "qwen").symlink_to(qwen)
    words, status, code = BAD[name]
    usual = ["--run-dir", "run", "--base", "qwen"] if words and words[0].startswith("--") else []
    given = [*usual, *words, "--set", "steps=3", "--set", "optimiser.warmup_ratio=0"]
    if name in ("nothing named", "no such recipe"):
        given = words
    check_refused(medsift("train", *given, "--local"), status, code)


def test_pictures_that_vanished_and_an_empty_selection_are_one_line(
    medsift: Train,
    qwen: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.chdir(tmp_path)
    picture = draw(tmp_path / "a.png", 1, 56, 56)
    write_run(tmp_path / "run", [asked("is it clear?", "yes", picture)])
    picture.unlink()
    words = ["--base", qwen, "--local", "--run-dir"]
    said = medsift("train", *words, "run")
    check_refused(said, 3, "picture_changed")
    assert str(picture) in said.error
    write_run(tmp_path / "bare", [])
    check_refused(medsift("train", *words, "bare"), 2, "selection_unknown")


def test_a_checkpoint_of_another_model_is_one_line(
    medsift: Train,
    llama: Path,
    uninterrupted: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "run", [asked("is it clear?", "yes")])
    words = ["train", "--base", llama, "--run-dir", "run", "--local", "--set", "steps=1"]
    assert medsift(*words).code == 0
    [folder] = (tmp_path / "run" / "trainings").iterdir()
    shutil.rmtree(folder / "result")
    shutil.rmtree(folder / CHECKPOINTS)
    shutil.copytree(uninterrupted / CHECKPOINTS, folder / CHECKPOINTS)
    check_refused(medsift(*words), 3, "checkpoint_of_other_training")


def test_another_process_at_work_is_one_line(
    command: Command,
    medsift: Train,
    qwen: Path,
    run: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    from medsift.storage.run_lock import claimed
    from training.training_id import open_training

    monkeypatch.chdir(run.parent)
    training = open_training(recipe(run, qwen, name="train-newest", steps=1))
    with claimed(training.folder, what="training"):
        said = medsift("train", "--base", qwen, "--run-dir", run, "--set", "steps=1", "--local")
    check_refused(said, 2, "run_directory_busy")


def check_refused(said: Said, status: int, code: str) -> None:
    assert said.code == status, said.err
    assert said.out == ""
    assert "Traceback" not in said.err
    assert said.error_code == code, said.error


def _read_until(stream: Any, step: int) -> None:
    """Read JSON lines until a step was taken."""
    for line in stream:
        told = json.loads(line)
        if told["event"] == "step_line" and told["step"] >= step:
            return
    raise AssertionError("the training ended before it could be killed")
