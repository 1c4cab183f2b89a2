"""Steps of preference optimisation: TRL's, resumed to the bit, cut in any way, and to some use."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM
from trl import DPOConfig, DPOTrainer

from medsift.manifest import query
from medsift.progress import StepLine
from tests.expect import raises_code
from tests.fakes import Killed
from tests.training.conftest import CHAT, recipe
from tests.training.policy.test_losses_against_trl import quiet
from tests.training.preference.conftest import RIGHT, WRONG, question
from tests.training.threads import Threads
from training.dataset.collate import prefetch
from training.loop.checkpoint import TRAINED, FolderCheckpointStore, checkpoints
from training.loop.distributed import SingleProcess
from training.loop.logs import PREFERENCE, Journal, read_lines
from training.loop.loop import train
from training.loop.step import StepResult
from training.model.trainable import trained_parameters
from training.preference.stepper import PreferenceStepper
from training.prepare import Prepared, prepare
from training.recipe import TrainingRecipe
from training.run import train_here

SMALL: dict[str, Any] = {
    "objective": "dpo",
    "preference": {"beta": 0.3},
    "lora": {"rank": 2, "alpha": 4},
    "optimiser": {"lr": 1e-2, "warmup_ratio": 0.0, "schedule": "constant", "max_grad_norm": None},
    "batches": {"max_samples": 2},
    "checkpoints": {"interval_steps": 1, "keep": 9},
    "log": {"tensorboard": False},
    "steps": 4,
}


def perturb(model: Any) -> None:
    """Move the adapters away from nothing, so that the reference is another model."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in trained_parameters(model).values():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))


def step_of(prepared: Prepared, communicator: Any, step: int = 0) -> StepResult:
    """Take one step; gradients and weights stay in the model."""
    own = prepared.training.plan.share(step, communicator.rank, communicator.world_size)
    with closing(prepared), closing(prefetch(prepared.training.collator, own)) as batches:
        return PreferenceStepper(prepared, communicator).take(step, batches)


def learned(prepared: Prepared) -> dict[str, torch.Tensor]:
    return {name: one.detach() for name, one in trained_parameters(prepared.model).items()}


def test_a_step_is_the_step_of_trl(llama: Path, replied: Path, tmp_path: Path):
    base = tmp_path / "base"
    shutil.copytree(llama, base)
    # TRL also learns what a template writes after the end of a turn, which is left out here.
    (base / "chat_template.jinja").write_text(CHAT.replace("<|im_end|>\n", "<|im_end|>"))
    made = recipe(replied, base, **SMALL | {"batches": {"max_samples": 6}})
    ours, theirs = prepare(made), prepare(made)
    perturb(ours.model)
    perturb(theirs.model)
    tokenizer = theirs.base.tokenizer
    rows = [
        {
            "prompt": [{"role": "user", "content": question(index)}],
            "chosen": [{"role": "assistant", "content": good}],
            "rejected": [{"role": "assistant", "content": bad}],
        }
        for index, (good, bad) in enumerate(zip(RIGHT, WRONG, strict=True))
    ]
    trainer = DPOTrainer(
        model=theirs.model,
        ref_model=AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32),
        processing_class=tokenizer,
        train_dataset=Dataset.from_list(rows),
        args=DPOConfig(**quiet(tmp_path / "trl"), beta=0.3, per_device_train_batch_size=len(rows)),
    )
    batch = next(iter(trainer.get_train_dataloader()))
    trainer.model.train()
    expected = trainer._compute_loss(trainer.model, dict(batch), False)
    expected.backward()
    step = step_of(ours, SingleProcess())
    assert abs(step.loss - expected.item()) < 1e-5
    assert abs(step.loss - np.log(2)) > 1e-2
    wanted = {name: one.grad for name, one in trained_parameters(theirs.model).items()}
    found = {name: one.grad for name, one in trained_parameters(ours.model).items()}
    assert found.keys() == wanted.keys()
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-5, rtol=0)
    assert max(float(one.abs().max()) for one in wanted.values() if one is not None) > 1e-3
    # What is written of the step is what TRL logs of its rewards, which are multiplied by beta.
    logged = {name: values[-1] for name, values in trainer._metrics["train"].items()}
    assert step.details is not None
    assert step.details.pairs == len(rows)
    assert step.details.margin * 0.3 == pytest.approx(logged["rewards/margins"], abs=1e-4)
    assert step.details.chosen * 0.3 == pytest.approx(logged["rewards/chosen"], abs=1e-4)
    assert step.details.rejected * 0.3 == pytest.approx(logged["rewards/rejected"], abs=1e-4)
    assert step.details.accuracy == pytest.approx(logged["rewards/accuracies"])


def session(made: TrainingRecipe, folder: Path, stop: int | None = None) -> Prepared:
    """Prepare and train, as a process that begins anew would; a kill comes after step `stop`."""

    def watch(line: StepLine) -> None:
        if line.step == stop:
            raise Killed

    with closing(prepare(made)) as prepared:
        train(
            prepared,
            FolderCheckpointStore(folder / "checkpoints", made.checkpoints.keep),
            lambda resumed: Journal(folder, made.log, made.name, resumed, details=PREFERENCE),
            watch=watch,
        )
    return prepared


def test_a_killed_training_resumes_to_the_same_bits(
    qwen: Path, replied_to_pictures: Path, tmp_path: Path
):
    lora = SMALL["lora"] | {"dropout": 0.2}
    made = recipe(replied_to_pictures, qwen, **SMALL | {"lora": lora})
    session(made, tmp_path / "whole")
    with pytest.raises(Killed):
        session(made, tmp_path / "killed", stop=2)
    session(made, tmp_path / "killed")
    whole, killed = (
        load_file(checkpoints(tmp_path / name / "checkpoints")[-1] / TRAINED)
        for name in ("whole", "killed")
    )
    assert all(torch.equal(whole[name], killed[name]) for name in whole | killed)
    lines = read_lines(tmp_path / "whole" / PREFERENCE)
    assert lines == read_lines(tmp_path / "killed" / PREFERENCE)
    assert [line["step"] for line in lines] == [1, 2, 3, 4]


def test_two_workers_take_the_step_of_one(qwen: Path, replied_to_pictures: Path):
    settings = SMALL | {"batches": {"max_samples": 1}, "workers": {"count": 3}}
    made = recipe(replied_to_pictures, qwen, **settings)
    alone = prepare(made)
    perturb(alone.model)
    one = step_of(alone, SingleProcess())
    # Prepared one after the other: adapters are drawn from torch's one generator of the process.
    ready, threads = [prepare(made) for _ in range(2)], Threads(2)
    for prepared in ready:
        perturb(prepared.model)
    with ThreadPoolExecutor(2) as pool:
        # Three pairs for two workers: one of them repeats a pair that does not count.
        both = list(pool.map(step_of, ready, map(threads.worker, range(2))))
    for prepared, result in zip(ready, both, strict=True):
        assert abs(result.loss - one.loss) < 1e-6
        assert one.details is not None
        assert result.details is not None
        assert result.details.pairs == one.details.pairs == 3
        assert result.details.margin == pytest.approx(one.details.margin, abs=1e-5)
        for name, value in learned(alone).items():
            torch.testing.assert_close(learned(prepared)[name], value, atol=2e-4, rtol=0)


def test_a_training_sets_right_replies_apart_and_stores_by_how_much(
    llama: Path, replied: Path, tmp_path: Path
):
    storage = {"interval_steps": None, "storage": str(tmp_path)}
    trained = train_here(recipe(replied, llama, **SMALL | {"steps": 24, "checkpoints": storage}))
    training = trained.training
    sql = "SELECT * FROM preference_steps WHERE training_id = '{}' ORDER BY step"
    lines = query(training.manifest, sql.format(training.training_id)).to_pylist()
    assert [line["step"] for line in lines] == list(range(1, 25))
    # At first the model is the one before training.
    assert lines[0]["margin"] == pytest.approx(0.0, abs=1e-5)
    assert np.mean([line["margin"] for line in lines[-6:]]) > 1.0
    assert np.mean([line["accuracy"] for line in lines[-6:]]) > 0.9
    assert all(line["pairs"] == 2 for line in lines)
    sql = "SELECT reason, row_id FROM training_drops WHERE training_id = '{}'"
    drops = query(training.manifest, sql.format(training.training_id)).to_pylist()
    assert drops == [{"reason": "no_pair", "row_id": "s:f.jsonl:6"}]


def test_weights_that_explode_end_in_one_line(llama: Path, replied: Path, tmp_path: Path):
    made = recipe(replied, llama, **SMALL | {"optimiser": {"lr": 1e30, "warmup_ratio": 0.0}})
    with raises_code("loss_not_finite", step=2):
        session(made, tmp_path)
    assert [line["step"] for line in read_lines(tmp_path / PREFERENCE)] == [1]
