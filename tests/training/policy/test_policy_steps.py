"""Steps of policy optimisation: resumed to the bit, cut in any way, and clear where they end."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from medsift.manifest import query
from medsift.models.generation.continuation import Continuation
from medsift.progress import StepLine
from tests.expect import raises_code
from tests.fakes import Killed
from tests.training.conftest import MakeRun, asked, recipe
from tests.training.threads import Threads
from training.loop.checkpoint import TRAINED, FolderCheckpointStore, checkpoints
from training.loop.distributed import SingleProcess
from training.loop.logs import POLICY, STEPS, Journal, read_lines
from training.loop.loop import train
from training.loop.step import StepResult
from training.model.loss import Objective
from training.policy.stepper import PolicyStepper
from training.prepare import Prepared, prepare
from training.recipe import TrainingRecipe
from training.results.manifest_io import DROPS
from training.run import train_here

SMALL: dict[str, Any] = {
    "objective": "grpo",
    "lora": {"rank": 2, "alpha": 4},
    "optimiser": {"lr": 1e-2, "warmup_ratio": 0.0},
    "checkpoints": {"interval_steps": 1, "keep": 9},
    "log": {"tensorboard": False},
    "steps": 3,
    "policy": {"prompts": 2, "group": 4, "max_new_tokens": 4, "mask_truncated": False},
}
TIMES = ("generate_seconds", "learn_seconds", "generate_memory_mb", "learn_memory_mb")


def small(run: Path, base: Path, **policy: Any) -> TrainingRecipe:
    return recipe(run, base, **SMALL | {"policy": SMALL["policy"] | policy})


def session(made: TrainingRecipe, folder: Path, stop: int | None = None) -> Prepared:
    """Prepare and train, as a process that begins anew would; a kill comes after step `stop`."""

    def watch(line: StepLine) -> None:
        if line.step == stop:
            raise Killed

    prepared = prepare(made)
    store = FolderCheckpointStore(folder / "checkpoints", made.checkpoints.keep)
    try:
        train(
            prepared,
            store,
            lambda resumed: Journal(folder, made.log, made.name, resumed, details=POLICY),
            watch=watch,
        )
    finally:
        prepared.close()
    return prepared


def untimed(folder: Path) -> list[dict[str, Any]]:
    lines = read_lines(folder / POLICY)
    return [{name: value for name, value in line.items() if name not in TIMES} for line in lines]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(checkpoints(folder / "checkpoints")[-1] / TRAINED)


@pytest.mark.parametrize(
    "policy",
    [{"loss": "dapo"}, {"loss": "gspo", "updates": 2}],
    ids=["one update", "two updates"],
)
def test_a_killed_training_resumes_to_the_same_bits(
    talker: Path, worded: Path, tmp_path: Path, policy: dict[str, Any]
):
    made = small(worded, talker, **policy)
    session(made, tmp_path / "whole")
    with pytest.raises(Killed):
        session(made, tmp_path / "killed", stop=2)
    session(made, tmp_path / "killed")
    whole, killed = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    assert whole.keys() == killed.keys()
    assert all(torch.equal(whole[name], killed[name]) for name in whole)
    lines = untimed(tmp_path / "whole")
    assert lines == untimed(tmp_path / "killed")
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert max(line["contrast"] for line in lines) > 0


def test_questions_with_one_two_and_no_pictures_are_learned_together(
    seer: Path, pictured: Path, tmp_path: Path
):
    made = small(pictured, seer, prompts=4, blank_share=1.0)
    prepared = session(made, tmp_path)
    assert not prepared.dropped
    lines = read_lines(tmp_path / POLICY)
    # All but the question without pictures are watched.
    assert all(line["blank_prompts"] >= 2 for line in lines)
    assert all(0.0 <= line["blank_correct"] <= 1.0 for line in lines)
    moved = load_file(checkpoints(tmp_path / "checkpoints")[-1] / TRAINED)
    assert any(bool(value.abs().max() > 0) for name, value in moved.items() if "lora_B" in name)


def step_of(prepared: Prepared, communicator: Any) -> tuple[StepResult, dict[str, torch.Tensor]]:
    try:
        stepper = PolicyStepper(prepared, communicator)
        result = stepper.take(0, iter(()))
    finally:
        prepared.close()
    parameters = prepared.model.named_parameters()
    return result, {name: one.detach() for name, one in parameters if one.requires_grad}


def test_two_workers_take_the_step_of_one(talker: Path, worded: Path):
    made = small(worded, talker, prompts=3, loss="dapo", updates=2)
    one, alone = step_of(prepare(made), SingleProcess())
    # Prepared one after the other: adapters are drawn from torch's one generator of the process.
    ready, threads = [prepare(made) for _ in range(2)], Threads(2)
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(step_of, ready, map(threads.worker, range(2))))
    for result, shared in both:
        assert abs(result.loss - one.loss) < 1e-6
        assert result.details is not None
        assert one.details is not None
        assert result.details.reward == pytest.approx(one.details.reward, abs=1e-9)
        assert result.details.refills == one.details.refills
        for name, value in alone.items():
            torch.testing.assert_close(shared[name], value, atol=2e-4, rtol=0)


def test_micro_batches_of_any_size_give_the_same_step(talker: Path, worded: Path):
    made = small(worded, talker, group=8)
    # The longest prompt and reply need 42 tokens; 8,192 take a whole group at once.
    narrow = made.model_copy(update={"batches": made.batches.model_copy(update={"max_tokens": 60})})
    one, whole = step_of(prepare(made), SingleProcess())
    other, cut = step_of(prepare(narrow), SingleProcess())
    assert abs(one.loss - other.loss) < 1e-6
    assert abs(one.grad_norm - other.grad_norm) < 1e-5
    for name, value in whole.items():
        torch.testing.assert_close(cut[name], value, atol=2e-4, rtol=0)


def test_the_updates_raise_the_share_of_right_replies(talker: Path, worded: Path, tmp_path: Path):
    made = recipe(
        worded,
        talker,
        **SMALL
        | {
            "steps": 30,
            "checkpoints": {"interval_steps": None},
            "policy": SMALL["policy"] | {"prompts": 4, "group": 8, "max_new_tokens": 2},
        },
    )
    session(made, tmp_path)
    rewards = [line["reward"] for line in read_lines(tmp_path / POLICY)]
    assert np.mean(rewards[-8:]) > np.mean(rewards[:8]) + 0.1


def cold(made: TrainingRecipe) -> TrainingRecipe:
    """So cold that all replies to a question are its likeliest one."""
    policy = made.policy.model_copy(update={"temperature": 1e-6})
    return made.model_copy(update={"policy": policy})


def test_a_step_whose_replies_are_all_cut_ends_in_one_line(
    talker: Path, worded: Path, tmp_path: Path
):
    made = cold(small(worded, talker, max_new_tokens=1, mask_truncated=True))
    with raises_code("replies_all_cut", step=1, max_new_tokens=1):
        session(made, tmp_path)


def test_rewards_that_never_differ_end_in_one_line(talker: Path, worded: Path, tmp_path: Path):
    with raises_code("rewards_constant", step=1):
        session(cold(small(worded, talker)), tmp_path)


def test_weights_that_explode_end_in_one_line(talker: Path, worded: Path, tmp_path: Path):
    """Their logits are no numbers, of which sampling would always draw the first token."""
    made = small(worded, talker)
    fast = made.optimiser.model_copy(update={"lr": 1e30})
    with raises_code("logits_not_finite"):
        session(made.model_copy(update={"optimiser": fast}), tmp_path)
    # The step whose replies were drawn before is written, the one after is not.
    assert [line["step"] for line in read_lines(tmp_path / POLICY)] == [1]


def test_a_loss_that_is_no_number_names_its_questions(
    talker: Path, worded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    whole = Objective.losses

    def broken(self: Objective, micro: Any, temperature: float = 1.0) -> torch.Tensor:
        return whole(self, micro, temperature) * float("nan")

    monkeypatch.setattr(Objective, "losses", broken)
    with raises_code("loss_not_finite", what="loss", step=1) as stopped:
        session(small(worded, talker), tmp_path)
    assert stopped.value.values["rows"]
    assert {row.rpartition(":")[0] for row in stopped.value.values["rows"]} == {"s:f.jsonl"}


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        ("generate", ["policy.group", "policy.max_new_tokens"]),
        ("losses", ["batches.max_tokens", "gradient_checkpointing"]),
    ],
)
def test_out_of_memory_says_in_which_phase_and_what_to_change(
    talker: Path,
    worded: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    part: str,
    changes: list[str],
):
    def too_much(*_: Any) -> torch.Tensor:
        return torch.empty(1 << 50)

    monkeypatch.setattr(Continuation if part == "generate" else Objective, part, too_much)
    with raises_code("memory_exhausted", step=1, changes=changes):
        session(small(worded, talker), tmp_path)


def test_prompts_beyond_the_context_are_dropped_or_refused(
    talker: Path, make_run: MakeRun, tmp_path: Path
):
    long = asked("is it clear? " * 200, "yes", answer_type="closed")
    short = asked("is it clear?", "yes", answer_type="closed")
    made = small(make_run([long, short]), talker, prompts=1)
    prepared = prepare(made)
    prepared.close()
    assert [(drop.row_id, drop.reason) for drop in prepared.dropped] == [
        ("s:f.jsonl:0", "too_long")
    ]
    # The model reads 512 tokens, and 505 new ones leave no room for the question.
    with raises_code("questions_refused", step=1):
        session(small(made.run, talker, prompts=1, max_new_tokens=505), tmp_path)


def test_a_training_stores_its_curve_and_what_it_did_not_ask(
    talker: Path, worded: Path, tmp_path: Path
):
    made = small(worded, talker)
    storage = made.checkpoints.model_copy(update={"storage": str(tmp_path)})
    made = made.model_copy(update={"checkpoints": storage})
    trained = train_here(made)
    training = trained.training
    drops = pq.read_table(training.folder / DROPS).to_pylist()
    assert [(drop["reason"], drop["row_id"]) for drop in drops] == [
        ("not_verifiable", "s:f.jsonl:6")
    ]
    sql = f"SELECT * FROM policy_steps WHERE training_id = '{training.training_id}' ORDER BY step"
    stored = query(training.manifest, sql).to_pylist()
    assert [line["reward"] for line in stored] == [
        line["reward"] for line in read_lines(training.folder / POLICY)
    ]
    assert len(read_lines(training.folder / STEPS)) == 3
