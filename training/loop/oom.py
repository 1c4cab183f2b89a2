"""Explain out of memory in one line that says what to change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from medsift.errors import ModelError
from training.loop.throughput import MEGABYTE, peak_memory_mb
from training.recipe import TrainingRecipe

if TYPE_CHECKING:
    from training.dataset.collate import MicroBatch

CPU_MESSAGE: Final = "can't allocate memory"
"""torch raises no type of its own where a CPU runs out of memory."""


@contextmanager
def explain_oom(
    recipe: TrainingRecipe, device: str, step: int, micro: MicroBatch | None = None
) -> Iterator[None]:
    """Turn out of memory into a ModelError with the measured peak and a remedy.

    Args:
        recipe: the settings that can be changed.
        device: where memory ran out.
        step: the step, from 0.
        micro: the batch that did not fit; None means the optimiser's moments.
    """
    import torch

    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and CPU_MESSAGE not in str(error):
            raise
        what, changes = _remedies(recipe, micro)
        peak = peak_memory_mb(device)
        total = "" if device == "cpu" else f" of {torch.cuda.mem_get_info()[1] / MEGABYTE:.0f}"
        raise ModelError(
            f"out of memory in step {step + 1} on {what}: the peak was {peak:.0f} MiB{total}; "
            f"{', or '.join(changes.values())}",
            code="memory_exhausted",
            step=step + 1,
            peak_mb=peak,
            changes=list(changes),
        ) from error


def _remedies(recipe: TrainingRecipe, micro: MicroBatch | None) -> tuple[str, dict[str, str]]:
    """Return what did not fit, and for each setting that can be changed, how."""
    if micro is None:
        full = {"lora.full": "train adapters instead of lora.full"}
        rank = {"lora.rank": "lower lora.rank"}
        return "the optimiser's moments", full if recipe.lora.full else rank
    rows, width = micro.inputs["input_ids"].shape
    tokens, pixels = recipe.batches.max_tokens, recipe.data.max_pixels or "without limit"
    changes = {"batches.max_tokens": f"lower batches.max_tokens (now {tokens})"}
    if "pixel_values" in micro.inputs:
        changes["data.max_pixels"] = f"lower data.max_pixels (now {pixels})"
    if not recipe.gradient_checkpointing:
        changes["gradient_checkpointing"] = "set gradient_checkpointing: true"
    return f"{rows} x {width} tokens", changes
