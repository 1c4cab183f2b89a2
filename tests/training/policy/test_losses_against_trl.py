"""Losses and gradients are those of TRL, on replies that TRL itself generated and scored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer

from training.policy.losses import (
    Clipping,
    Totals,
    group_advantages,
    preference_loss,
    surrogate,
    token_weights,
)

GROUP = 4
MOST = 12
PROMPTS = ["is the lung clear?", "what is the modality of this image?", "which side?"]
CASES: list[dict[str, Any]] = [
    {"loss": "grpo"},
    {"loss": "dapo", "epsilon_high": 0.28},
    {"loss": "dr_grpo", "scale": "none"},
    {"loss": "gspo", "epsilon": 3e-4, "epsilon_high": 4e-4},
    {"loss": "dapo", "truncated": True},
    {"loss": "grpo", "truncated": True},
    {"loss": "dr_grpo", "truncated": True},
]


def reward(completion_ids: list[list[int]], **_: Any) -> list[float]:
    """Unequal rewards that follow from the reply alone."""
    return [float(sum(ids) % 7) / 7 + len(ids) / MOST for ids in completion_ids]


def quiet(folder: Path) -> dict[str, Any]:
    return {
        "output_dir": str(folder),
        "report_to": "none",
        "use_cpu": True,
        "bf16": False,
        "disable_tqdm": True,
        "gradient_checkpointing": False,
        "seed": 3,
    }


def loaded(folder: Path) -> tuple[Any, Any]:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), tokenizer


def chat(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def gradients(model: Any) -> dict[str, torch.Tensor]:
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


def log_probabilities(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Of every token of the replies (B, T), by a plain softmax over the vocabulary."""
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1)
    mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1)
    width = batch["completion_ids"].shape[1]
    logits = model(input_ids=ids, attention_mask=mask).logits[:, -width - 1 : -1]
    every = logits.float().log_softmax(-1)
    return every.gather(2, batch["completion_ids"].unsqueeze(2)).squeeze(2)


@pytest.fixture(scope="module", params=CASES, ids=lambda case: "-".join(map(str, case.values())))
def case(request: pytest.FixtureRequest) -> dict[str, Any]:
    """One loss with its settings."""
    return dict(request.param)


@pytest.fixture(scope="module")
def trl(case: dict[str, Any], llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """TRL's trainer for the loss, and a batch that it generated, scored and gave advantages."""
    model, tokenizer = loaded(llama)
    # With many tokens that end a turn some replies end early, and some are cut.
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, *range(100, 120)]
    sequence = case["loss"] == "gspo"
    clipping = {key: case[key] for key in ("epsilon", "epsilon_high") if key in case}
    rows = [{"prompt": chat(text)} for text in PROMPTS]
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=reward,
        processing_class=tokenizer,
        train_dataset=Dataset.from_list(rows),
        args=GRPOConfig(
            **quiet(tmp_path_factory.mktemp("trl")),
            loss_type="grpo" if sequence else case["loss"],
            importance_sampling_level="sequence" if sequence else "token",
            scale_rewards=case.get("scale", "group"),
            mask_truncated_completions=case.get("truncated", False),
            num_generations=GROUP,
            per_device_train_batch_size=GROUP * len(PROMPTS),
            max_completion_length=MOST,
            temperature=1.0,
            beta=0.0,
            **clipping,
        ),
    )
    trainer.current_gradient_accumulation_steps = 1
    trainer.model.train()
    torch.manual_seed(5)
    batch = trainer._generate_and_score_completions([row for row in rows for _ in range(GROUP)])
    # An older model wrote the replies: ratios are not 1, and some are clipped.
    with torch.no_grad():
        now = log_probabilities(trainer.model, batch)
    older = now + 0.3 * torch.randn(now.shape, generator=torch.Generator().manual_seed(1))
    return trainer, batch | {"old_per_token_logps": older}


def test_advantages_are_those_of_trl(case: dict[str, Any], trl: Any):
    trainer, batch = trl
    written = batch["completion_ids"]
    # The tokens after the end of a turn are padding: what was rewarded ends before.
    lengths = replies_of(trainer, batch)
    ids = [row[:length] for row, length in zip(written.tolist(), lengths, strict=True)]
    rewards = np.array(reward(ids)).reshape(-1, GROUP)
    ours = group_advantages(rewards, case.get("scale", "group")).ravel()
    assert np.ptp(ours) > 0.1
    np.testing.assert_allclose(ours, batch["advantages"].numpy(), atol=1e-5)


def replies_of(trainer: Any, batch: dict[str, torch.Tensor]) -> list[int]:
    """Lengths of the replies: up to the end of the turn, or all tokens where there is none."""
    ends = set(trainer.eos_token_ids)
    rows = batch["completion_ids"].tolist()
    return [next((k + 1 for k, one in enumerate(row) if one in ends), len(row)) for row in rows]


def test_loss_and_gradient_are_those_of_trl(case: dict[str, Any], trl: Any):
    trainer, batch = trl
    theirs = trainer._compute_loss(trainer.model, batch)
    theirs.backward()
    expected = gradients(trainer.model)

    lengths = np.array(replies_of(trainer, batch))
    counted = batch["completion_mask"].any(1).numpy().astype(np.int64)
    assert counted.all() != case.get("truncated", False)
    kept = torch.arange(batch["completion_ids"].shape[1]) < torch.tensor(lengths)[:, None]
    if case.get("truncated"):
        kept &= batch["completion_mask"].bool()
    rows = kept.nonzero()[:, 0]
    totals = Totals(len(lengths), int((lengths * counted).sum()))
    weights = torch.tensor(token_weights(case["loss"], lengths, counted, MOST, totals))
    loss, clipped = surrogate(
        log_probabilities(trainer.model, batch)[kept],
        batch["old_per_token_logps"][kept],
        rows,
        batch["advantages"][rows],
        weights.float()[rows],
        Clipping(case.get("epsilon", 0.2), case.get("epsilon_high", case.get("epsilon", 0.2))),
        by_sequence=case["loss"] == "gspo",
    )
    loss.backward()
    assert float(clipped) > 0
    assert abs(loss.item() - theirs.item()) < 1e-5
    found = gradients(trainer.model)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-5, rtol=0)
    assert max(float(gradient.abs().max()) for gradient in expected.values()) > 1e-3


def test_preference_loss_and_gradient_are_those_of_trl(llama: Path, tmp_path: Path):
    model, tokenizer = loaded(llama)
    reference, _ = loaded(llama)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=torch.Generator()))
    answers = [("yes", "no, the left lung is clear."), ("axial plane", "yes"), ("left", "right")]
    rows = [
        {
            "prompt": chat(text),
            "chosen": [{"role": "assistant", "content": good}],
            "rejected": [{"role": "assistant", "content": bad}],
        }
        for text, (good, bad) in zip(PROMPTS, answers, strict=True)
    ]
    trainer = DPOTrainer(
        model=model,
        ref_model=reference,
        processing_class=tokenizer,
        train_dataset=Dataset.from_list(rows),
        args=DPOConfig(**quiet(tmp_path), beta=0.3, per_device_train_batch_size=len(rows)),
    )
    batch = next(iter(trainer.get_train_dataloader()))
    trainer.model.train()
    theirs = trainer._compute_loss(trainer.model, dict(batch), False)
    theirs.backward()
    expected = gradients(trainer.model)

    def summed(of: Any) -> torch.Tensor:
        logits = of(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        every = logits[:, :-1].float().log_softmax(-1)
        chosen = every.gather(2, batch["input_ids"][:, 1:].unsqueeze(2)).squeeze(2)
        return (chosen * batch["completion_mask"][:, 1:]).sum(1)

    with torch.no_grad():
        before = summed(trainer.ref_model).chunk(2)
    loss = preference_loss(*summed(trainer.model).chunk(2), *before, beta=0.3).mean()
    loss.backward()
    assert abs(loss.item() - theirs.item()) < 1e-5
    for name, gradient in gradients(trainer.model).items():
        torch.testing.assert_close(gradient, expected[name], atol=1e-5, rtol=0)
    assert abs(loss.item() - np.log(2)) > 1e-3
