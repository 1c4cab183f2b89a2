"""The loop: bit-exact resume, steps that no cut changes, and ends that say what happened."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from medsift.progress import StepLine
from tests.expect import raises_code
from tests.fakes import Killed
from tests.training.conftest import asked, draw, recipe, write_run
from training.loop.checkpoint import TRAINED, FolderCheckpointStore, State, checkpoints, read_state
from training.loop.logs import STEPS, Journal, read_lines
from training.loop.loop import Outcome, train
from training.model.loss import Objective
from training.model.trainable import trained_parameters
from training.prepare import Prepared, prepare
from training.recipe import TrainingRecipe

SAME = (
    "step",
    "epoch",
    "loss",
    "held_out_loss",
    "learning_rate",
    "grad_norm",
    "samples",
    "tokens",
    "supervised_tokens",
)


@pytest.fixture(scope="module")
def pictured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fourteen samples of several weights, two of them without any of the six pictures."""
    folder = tmp_path_factory.mktemp("pictured")
    files = [draw(folder / f"{k}.png", k, 28 + 20 * k, 60) for k in range(6)]
    lines = [
        asked(f"is {word} {k}?", ("yes", "no", "left lung")[k % 3], file, weight=1 + k % 3)
        for k, file in enumerate(files)
        for word in ("clear", "large")
    ]
    plain = [asked("is a lung an organ?", "yes"), asked("what is it?", "a heart")]
    return write_run(folder / "run", [*lines, *plain])


@pytest.fixture(scope="module")
def worded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four samples of text alone."""
    folder = tmp_path_factory.mktemp("worded")
    return write_run(folder / "run", [asked(f"what is {k}?", "a lung") for k in range(4)])


def session(
    made: TrainingRecipe, folder: Path, watch: Callable[[StepLine], None] | None = None, **more: Any
) -> tuple[Prepared, Outcome]:
    """Prepare and train, as a process that begins anew would."""
    prepared = prepare(made)
    try:
        store = FolderCheckpointStore(folder / "checkpoints", made.checkpoints.keep)
        outcome = train(
            prepared,
            store,
            lambda resumed: Journal(folder, made.log, made.name, resumed),
            watch=watch,
            **more,
        )
    finally:
        prepared.close()
    return prepared, outcome


def curve(folder: Path) -> list[dict[str, Any]]:
    return [{key: line[key] for key in SAME} for line in read_lines(folder / STEPS)]


def final(folder: Path) -> dict[str, bytes]:
    newest = checkpoints(folder / "checkpoints")[-1]
    return {path.name: path.read_bytes() for path in newest.glob("*.safetensors")}


RESUMED: dict[str, dict[str, Any]] = {
    "adapters": {
        "lora": {"dropout": 0.2, "rank": 4},
        "data": {"held_out": {"share": 0.2, "interval_steps": 3}},
        "batches": {"max_samples": 2, "grad_accumulation_steps": 2},
    },
    "vision, drawn": {
        "lora": {"dropout": 0.1, "rank": 4, "dora": True},
        "vision": "trained",
        "gradient_checkpointing": True,
        "data": {"weights": "sampling"},
        "batches": {"max_samples": 3},
    },
    "full, packed": {"lora": {"full": True}, "batches": {"max_tokens": 128, "packing": True}},
}


@pytest.mark.parametrize("kind", list(RESUMED))
def test_killed_and_started_again_ends_with_the_same_bits(
    qwen: Path, pictured: Path, tmp_path: Path, kind: str
):
    settings = RESUMED[kind] | {
        "steps": 8,
        "checkpoints": {"interval_steps": 2},
        "log": {"tensorboard": False},
    }
    made = recipe(pictured, qwen, **settings)
    session(made, tmp_path / "whole")
    rng = random.Random(kind)
    for moment in sorted(rng.sample(range(1, 7), 2 if kind == "adapters" else 1)):

        def kill(line: StepLine, moment: int = moment) -> None:
            if line.step == moment:
                raise Killed

        with pytest.raises(Killed):
            session(made, tmp_path / "cut", watch=kill)
    session(made, tmp_path / "cut")
    assert curve(tmp_path / "cut") == curve(tmp_path / "whole")
    assert final(tmp_path / "cut") == final(tmp_path / "whole")


def test_a_finished_training_does_nothing_more(qwen: Path, pictured: Path, tmp_path: Path):
    made = recipe(pictured, qwen, steps=2, log={"tensorboard": False})
    _, first = session(made, tmp_path / "a")
    _, again = session(made, tmp_path / "a", watch=lambda line: pytest.fail("a step was taken"))
    assert again == first
    assert len(curve(tmp_path / "a")) == 2


def test_a_checkpoint_of_other_settings_or_another_model_is_refused(
    qwen: Path, llama: Path, worded: Path, tmp_path: Path
):
    plain = {"steps": 2, "log": {"tensorboard": False}}
    session(recipe(worded, llama, **plain), tmp_path / "a")
    with raises_code("checkpoint_of_other_training", key="seed"):
        session(recipe(worded, llama, seed=1, **plain), tmp_path / "a")
    with raises_code("checkpoint_of_other_training", key="base"):
        session(recipe(worded, qwen, **plain), tmp_path / "a")


def one_step(run: Path, base: Path, folder: Path, **settings: Any) -> tuple[dict, dict]:
    """The first step's line, and the weights after it."""
    made = recipe(run, base, steps=1, lora={"full": True}, log={"tensorboard": False}, **settings)
    prepared, _ = session(made, folder)
    return curve(folder)[0], {
        name: part.detach() for name, part in prepared.model.named_parameters()
    }


def test_however_a_step_is_cut_it_is_the_same_step(qwen: Path, tmp_path: Path):
    files = [draw(tmp_path / f"{k}.png", k, 28 + 20 * k, 60) for k in range(4)]
    run = write_run(
        tmp_path / "run",
        [
            asked("is it " + "clear " * k, "yes " * (k + 1), file, weight=k + 1.0)
            for k, file in enumerate(files)
        ],
    )
    optimiser = {"warmup_ratio": 0.0, "epsilon": 1e-3}
    cuts = [
        {"max_samples": 4},
        {"max_samples": 1, "grad_accumulation_steps": 4},
        {"max_samples": 2, "grad_accumulation_steps": 2},
        {"max_samples": 4, "packing": True, "max_tokens": 512},
    ]
    steps = [
        one_step(run, qwen, tmp_path / str(k), batches=cut, optimiser=optimiser)
        for k, cut in enumerate(cuts)
    ]
    for line, weights in steps[1:]:
        assert line["loss"] == pytest.approx(steps[0][0]["loss"], rel=1e-5)
        assert line["grad_norm"] == pytest.approx(steps[0][0]["grad_norm"], rel=1e-4)
        assert line["supervised_tokens"] == steps[0][0]["supervised_tokens"]
        torch.testing.assert_close(weights, steps[0][1], rtol=1e-3, atol=2e-6)


def test_recomputed_activations_change_no_step(qwen: Path, pictured: Path, tmp_path: Path):
    lines = [
        one_step(pictured, qwen, tmp_path / str(on), gradient_checkpointing=on)
        for on in (False, True)
    ]
    assert lines[0][0] == lines[1][0]
    torch.testing.assert_close(lines[0][1], lines[1][1], rtol=0, atol=0)


class Threads:
    """Workers as threads of this process that wait for each other at every sum."""

    def __init__(self, rank: int, world_size: int, meeting: threading.Barrier, desk: dict) -> None:
        self.rank, self.world_size = rank, world_size
        self.meeting, self.desk = meeting, desk

    def reduce_sum(self, values: torch.Tensor) -> torch.Tensor:
        self.desk[self.rank] = values.clone()
        self.meeting.wait()
        total = torch.stack([self.desk[rank] for rank in range(self.world_size)]).sum(0)
        self.meeting.wait()
        return total

    def barrier(self) -> None:
        self.meeting.wait()


def test_workers_together_take_the_steps_of_one(qwen: Path, pictured: Path, tmp_path: Path):
    workers = 3
    settings = {
        "epochs": 1.5,
        "batches": {"max_samples": 2, "grad_accumulation_steps": 4},
        "data": {"held_out": {"share": 0.2, "interval_steps": 1}},
        "optimiser": {"epsilon": 1e-3},
        "log": {"tensorboard": False},
    }
    made = recipe(pictured, qwen, **settings)
    session(made, tmp_path / "one")
    meeting, desk = threading.Barrier(workers, timeout=100), {}
    prepared = [prepare(made) for _ in range(workers)]
    endings: dict[int, Outcome] = {}

    def work(rank: int) -> None:
        folder = tmp_path / "many"
        endings[rank] = train(
            prepared[rank],
            FolderCheckpointStore(folder / "checkpoints", 2, writes=rank == 0),
            (lambda resumed: Journal(folder, made.log, made.name, resumed)) if rank == 0 else None,
            Threads(rank, workers, meeting, desk),
        )

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in prepared:
        one.close()
    assert {outcome.state.step for outcome in endings.values()} == {prepared[0].training.plan.steps}
    for found, wanted in zip(curve(tmp_path / "many"), curve(tmp_path / "one"), strict=True):
        for key in SAME:
            assert found[key] == pytest.approx(wanted[key], rel=2e-4)


def test_a_small_set_is_learned(qwen: Path, pictured: Path, tmp_path: Path):
    made = recipe(
        pictured,
        qwen,
        steps=16,
        optimiser={"lr": 3e-2},
        batches={"max_samples": 8},
        log={"tensorboard": False},
    )
    session(made, tmp_path / "a")
    losses = [line["loss"] for line in curve(tmp_path / "a")]
    assert sum(losses[-3:]) < 0.5 * sum(losses[:3])


def test_bfloat16_arithmetic_trains(qwen: Path, pictured: Path, tmp_path: Path):
    made = recipe(pictured, qwen, steps=2, precision="bfloat16", log={"tensorboard": False})
    _, outcome = session(made, tmp_path / "a")
    plain = recipe(pictured, qwen, steps=2, log={"tensorboard": False})
    _, wanted = session(plain, tmp_path / "b")
    assert outcome.state.loss == pytest.approx(wanted.state.loss, rel=0.05)
    assert outcome.state.loss != wanted.state.loss


def test_a_loss_that_is_no_number_stops_and_names_step_and_samples(
    qwen: Path, pictured: Path, tmp_path: Path
):
    made = recipe(
        pictured,
        qwen,
        steps=6,
        optimiser={"lr": 1e30, "warmup_ratio": 0.0},
        batches={"max_samples": 2},
        checkpoints={"interval_steps": 1},
        log={"tensorboard": False},
    )
    with raises_code("loss_not_finite", step=2) as stopped:
        session(made, tmp_path / "a")
    assert "\n" not in str(stopped.value)
    if stopped.value.values["what"] == "loss":
        assert all(row.startswith("s:f.jsonl:") for row in stopped.value.values["rows"])
        assert stopped.value.values["rows"]
    assert [line["step"] for line in curve(tmp_path / "a")] == [1]


def test_out_of_memory_says_what_to_change(qwen: Path, pictured: Path, tmp_path: Path, monkeypatch):
    def too_much(self: Objective, micro: object) -> torch.Tensor:
        return torch.empty(1 << 50)

    monkeypatch.setattr(Objective, "total", too_much)
    made = recipe(pictured, qwen, steps=1, log={"tensorboard": False}, batches={"max_tokens": 300})
    changes = ["batches.max_tokens", "data.max_pixels", "gradient_checkpointing"]
    with raises_code("memory_exhausted", step=1, changes=changes) as stopped:
        session(made, tmp_path / "a")
    assert stopped.value.values["peak_mb"] > 100


def test_early_stopping_ends_with_the_best_weights(qwen: Path, pictured: Path, tmp_path: Path):
    made = recipe(
        pictured,
        qwen,
        steps=40,
        optimiser={"lr": 0.5, "schedule": "constant", "warmup_ratio": 0.0},
        data={"held_out": {"share": 0.3, "interval_steps": 1}},
        early_stopping={"patience": 2},
        checkpoints={"interval_steps": None, "keep": 1},
        log={"tensorboard": False},
    )
    prepared, outcome = session(made, tmp_path / "a")
    lines = curve(tmp_path / "a")
    held = [line["held_out_loss"] for line in lines]
    best = min(range(len(held)), key=held.__getitem__)
    assert outcome.status == "stopped early"
    assert outcome.result_step == best + 1
    assert len(held) == best + 3 < 40
    kept = [read_state(path)[0].step for path in checkpoints(tmp_path / "a" / "checkpoints")]
    assert kept == [best + 1, best + 3]
    best_weights = load_file(tmp_path / "a" / "checkpoints" / f"step-{best + 1:06d}" / TRAINED)
    for name, part in trained_parameters(prepared.model).items():
        assert torch.equal(part, best_weights[name])
    _, again = session(made, tmp_path / "a")
    assert again == outcome


def test_a_new_best_must_beat_the_old_one_by_delta():
    first = State(step=1).measured(2.0, 0.1)
    assert (first.best_loss, first.best_step, first.stale) == (2.0, 1, 0)
    second = replace(first, step=2).measured(1.95, 0.1)
    assert (second.best_loss, second.held_out_loss, second.stale) == (2.0, 1.95, 1)
    third = replace(second, step=3).measured(1.8, 0.1)
    assert (third.best_loss, third.best_step, third.stale) == (1.8, 3, 0)


def test_the_newest_checkpoints_stay_and_half_written_ones_do_not_count(
    llama: Path, worded: Path, tmp_path: Path
):
    made = recipe(
        worded,
        llama,
        steps=5,
        checkpoints={"interval_steps": 1, "keep": 2},
        log={"tensorboard": False},
    )
    session(made, tmp_path / "a")
    folder = tmp_path / "a" / "checkpoints"
    assert {path.name for path in folder.iterdir()} == {"step-000004", "step-000005"}
    (folder / ".step-000006.123.partial").mkdir()
    (folder / "step-000009").mkdir()
    assert FolderCheckpointStore(folder, 2).newest() == folder / "step-000005"


def test_samples_are_fed_while_the_model_works(qwen: Path, pictured: Path, tmp_path: Path):
    seen: list[StepLine] = []
    made = recipe(pictured, qwen, steps=6, log={"tensorboard": False, "interval_steps": 2})
    session(made, tmp_path / "a", watch=seen.append)
    assert [line.step for line in seen] == [2, 4, 6]
    for line in seen:
        assert 0 <= line.data_wait <= 1
        assert line.tokens_per_second > line.samples_per_second > 0
        assert line.peak_memory_mb > 100
        assert line.mfu is None
