"""Out of memory, in one line that says what to change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from medsift.errors import ModelError
from training.loop.throughput import MEGABYTE, peak_memory_mb
from training.recipe import TrainingRecipe

if TYPE_CHECKING:
    from training.dataset.collate import MicroBatch

CPU_WORDS: Final = "can't allocate memory"


@contextmanager
def explain_oom(
    recipe: TrainingRecipe, device: str, step: int, micro: MicroBatch | None = None
) -> Iterator[None]:
    """Turn what does not fit into memory into a ModelError with the measured peak.

    It is a batch, or without one what the optimiser keeps.
    """
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        raise ModelError(_advice(recipe, device, step, micro), code="memory_exhausted") from error
    except RuntimeError as error:
        if CPU_WORDS not in str(error):
            raise
        raise ModelError(_advice(recipe, device, step, micro), code="memory_exhausted") from error


def _advice(recipe: TrainingRecipe, device: str, step: int, micro: MicroBatch | None) -> str:
    if micro is None:
        changes = ["train adapters instead of lora.full" if recipe.lora.full else "lower lora.rank"]
        return _line(step, "the optimiser's moments", device, changes)
    rows, width = micro.inputs["input_ids"].shape
    changes = [f"lower batches.max_tokens (now {recipe.batches.max_tokens})"]
    if "pixel_values" in micro.inputs:
        changes.append(f"lower data.max_pixels (now {recipe.data.max_pixels or 'without limit'})")
    if not recipe.gradient_checkpointing:
        changes.append("set gradient_checkpointing: true")
    return _line(step, f"{rows} x {width} tokens", device, changes)


def _line(step: int, what: str, device: str, changes: Sequence[str]) -> str:
    mend = ", or ".join(changes)
    return f"out of memory in step {step + 1} on {what}: {_held(device)}; {mend}"


def _held(device: str) -> str:
    import torch

    peak = f"the peak was {peak_memory_mb(device):.0f} MiB"
    if device == "cpu":
        return peak
    return f"{peak} of {torch.cuda.mem_get_info()[1] / MEGABYTE:.0f}"
