"""Estimate the memory of a training before its first step, by what needs it.

    learn    = weights + gradients + optimiser + activations + logits
    generate = weights + gradients + optimiser + cache

Weights, gradients, moments and the cache of keys and values follow from shapes, and are exact. What
a layer keeps for the backward pass differs by model and kernel: it is estimated for a decoder with
gated layers and attention that keeps no scores. What the vision tower needs is left out.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from medsift.errors import ModelError
from training.dataset.batches import cost
from training.loop.throughput import MEGABYTE
from training.model.sharding import without_adapters
from training.model.trainable import trained_parameters

if TYPE_CHECKING:
    from training.prepare import Prepared

FLOAT: Final = 4
"""Bytes of a number that learns, of its gradient, and of each of AdamW's two moments."""
WIDTHS_KEPT: Final = 12
"""Vectors of the layer's width that a layer keeps for each token: around norms and attention."""
INNER_KEPT: Final = 4
"""Vectors of the gated layer's inner width that it keeps."""
LOGITS_KEPT: Final = 3
"""Logits, their softmax, and the gradient."""
CGROUP: Final = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """What a training needs of each worker's device, in MiB; `cache` is that of generation."""

    weights: float
    gradients: float
    optimiser: float
    activations: float
    logits: float
    cache: float
    device: float

    @property
    def learn(self) -> float:
        """While learning."""
        learned = self.gradients + self.optimiser + self.activations + self.logits
        return self.weights + learned

    @property
    def generate(self) -> float:
        """While replies are drawn: the gradients of the step before are still there."""
        return self.weights + self.gradients + self.optimiser + self.cache

    @property
    def peak(self) -> float:
        """The larger of the two."""
        return max(self.learn, self.generate)

    def figures(self) -> dict[str, float]:
        """Return parts and sums by name, in whole MiB."""
        sums = {"learn": self.learn, "generate": self.generate}
        return {name: float(round(value)) for name, value in (asdict(self) | sums).items()}


def estimate_memory(prepared: Prepared) -> MemoryEstimate:
    """Estimate the memory of a training that is ready to begin."""
    recipe, model = prepared.recipe, prepared.model
    config = without_adapters(model).config.get_text_config()
    size = 2 if prepared.objective.dtype == "bfloat16" else FLOAT
    learned = sum(weight.numel() for weight in trained_parameters(model).values())
    weights = sum(weight.numel() * weight.element_size() for weight in model.parameters())
    # Sharded weights are shared out with their gradients and moments.
    shares = recipe.workers.count if recipe.workers.strategy == "fsdp" else 1
    layers, width = config.num_hidden_layers, config.hidden_size
    heads = config.num_attention_heads
    keys = getattr(config, "num_key_value_heads", None) or heads
    key_width = keys * (getattr(config, "head_dim", None) or width // heads)
    tokens, answered, cached = _largest_batch(prepared)
    kept = WIDTHS_KEPT * width + 4 * key_width + INNER_KEPT * config.intermediate_size
    # Recomputed activations are the inputs of all layers, and the contents of one.
    per_token = layers * width + kept if recipe.gradient_checkpointing else layers * kept
    return MemoryEstimate(
        weights=weights / shares / MEGABYTE,
        gradients=FLOAT * learned / shares / MEGABYTE,
        optimiser=2 * FLOAT * learned / shares / MEGABYTE,
        activations=tokens * per_token * size / MEGABYTE,
        logits=answered * config.vocab_size * LOGITS_KEPT * FLOAT / MEGABYTE,
        cache=cached * layers * 2 * key_width * size / MEGABYTE,
        device=device_memory(prepared.base.device) / MEGABYTE,
    )


def _largest_batch(prepared: Prepared) -> tuple[int, int, int]:
    """Return the largest micro-batch's tokens and learned tokens, and the tokens of the cache."""
    recipe, split = prepared.recipe, prepared.training
    if recipe.objective == "grpo":
        # The prompt is as long as the sample, whose answer it lacks and whose instruction it has.
        reply = recipe.policy.max_new_tokens
        width, group = int(split.plan.lengths.max()) + reply, recipe.policy.group
        rows = min(group, max(1, recipe.batches.max_tokens // width))
        return rows * width, rows * reply, group * width
    batch = max(split.plan.batches(0), key=lambda one: cost(one, split.plan.lengths))
    tokens = cost(batch, split.plan.lengths)
    return tokens, int(split.supervised[batch.members].sum()), 0


def device_memory(device: str) -> int:
    """Return the bytes of a device: of the GPU, or of this machine as far as it may be used."""
    if device != "cpu":
        import torch

        return int(torch.cuda.mem_get_info()[1])
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = CGROUP.read_text().strip() if CGROUP.is_file() else ""
    return min(machine, int(limit)) if limit.isdigit() else machine


def check_memory(estimate: MemoryEstimate) -> str | None:
    """Return a warning where the estimate is more than the device has.

    Raises ModelError where what is known exactly is more: weights, gradients and moments.
    """
    exact = estimate.weights + estimate.gradients + estimate.optimiser
    if exact > estimate.device:
        raise ModelError(
            f"weights, gradients and the optimiser's moments alone need {exact:,.0f} MiB, and the "
            f"device has {estimate.device:,.0f}; train adapters instead of lora.full, lower "
            "lora.rank, or share the weights out with workers.strategy: fsdp",
            code="memory_exhausted",
            needed_mb=exact,
            device_mb=estimate.device,
        )
    if estimate.peak <= estimate.device:
        return None
    return (
        f"memory may run out: about {estimate.peak:,.0f} MiB are needed and the device has "
        f"{estimate.device:,.0f}; lower batches.max_tokens, or set gradient_checkpointing: true"
    )


def measured_memory(
    prepared: float, steps: Sequence[Mapping[str, Any]], policy: Sequence[Mapping[str, Any]]
) -> dict[str, float]:
    """Return the measured peaks in whole MiB, from the lines of a training's curves.

    `prepared` is the peak before the first step, weights included; `generate` that after the first
    replies were drawn, when nothing was learned yet. On a CPU each is that of the whole process.
    """
    learn = max((line["peak_memory_mb"] for line in steps), default=0.0)
    peaks = {"prepared": prepared, "learn": learn}
    if policy:
        peaks["generate"] = policy[0]["generate_memory_mb"]
    return {name: float(round(value)) for name, value in peaks.items()}
